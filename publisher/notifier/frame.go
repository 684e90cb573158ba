package notifier

import (
	"encoding/binary"
	"errors"
)

// A message of a destination's window is a frame: what the deliverer has to know
// beside the event, then the payload. A frame never leaves the process.
//
//	byte     frameEvent or frameFailure
//	uvarint  index of the rule that selected the event
//	rest     the payload, or why there is none
const (
	frameEvent byte = iota
	frameFailure
)

// appendFrame appends the head of a frame.
func appendFrame(dst []byte, kind byte, rule int) []byte {
	return binary.AppendUvarint(append(dst, kind), uint64(rule))
}

// frame is one taken apart.
type frame struct {
	kind byte
	rule int
	rest []byte
}

var errFrame = errors.New("notification is not one that a selection made")

// parseFrame takes a frame of one of as many rules apart.
func parseFrame(b []byte, rules int) (frame, error) {
	if len(b) < 2 || b[0] > frameFailure {
		return frame{}, errFrame
	}
	rule, n := binary.Uvarint(b[1:])
	if n <= 0 || rule >= uint64(rules) {
		return frame{}, errFrame
	}
	return frame{b[0], int(rule), b[1+n:]}, nil
}
