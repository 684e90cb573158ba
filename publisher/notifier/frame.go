package notifier

import (
	"encoding/binary"
	"errors"
)

// A message of a destination's window is a frame: what the deliverer has to know
// beside the event, then the payload. A frame never leaves the process.
//
//	uvarint  index of the rule that selected the event
//	uvarint  length of the failure
//	bytes    the failure: why the rule could not be evaluated; empty if it could
//	rest     the payload

// appendFrame appends a frame up to its payload.
func appendFrame(dst []byte, rule int, failure string) []byte {
	dst = binary.AppendUvarint(dst, uint64(rule))
	return append(binary.AppendUvarint(dst, uint64(len(failure))), failure...)
}

// frame is one taken apart.
type frame struct {
	rule             int
	failure, payload []byte
}

var errFrame = errors.New("notification is not one that a selection made")

// parseFrame takes a frame of one of as many rules apart.
func parseFrame(b []byte, rules int) (frame, error) {
	rule, n := binary.Uvarint(b)
	if n <= 0 || rule >= uint64(rules) {
		return frame{}, errFrame
	}
	b = b[n:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return frame{}, errFrame
	}
	b = b[n:]
	return frame{int(rule), b[:size:size], b[size:]}, nil
}
