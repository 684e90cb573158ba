package pgoutput

import (
	"encoding/binary"
	"time"
)

// The first byte of what the server sends in CopyData.
const (
	TagXLogData  = 'w'
	TagKeepalive = 'k'
)

// XLogData carries one message of the output plugin.
type XLogData struct {
	// Start is the position of what Data tells of; 0 for messages that belong
	// to no position, such as a Relation.
	Start LSN
	// ServerEnd is the end of the log on the server when this was sent.
	ServerEnd LSN
	// ServerTime is when this was sent.
	ServerTime Timestamp
	// Data is the message, for [Decoder.Decode]; a view.
	Data []byte
}

// DecodeXLogData reads the payload of a CopyData message that begins with
// [TagXLogData]. The error is a [*DecodeError].
func DecodeXLogData(src []byte) (XLogData, error) {
	r := reader{src: src}
	if r.uint8() != TagXLogData {
		r.reject()
	}
	x := XLogData{Start: r.lsn(), ServerEnd: r.lsn(), ServerTime: r.timestamp()}
	x.Data = r.take(len(r.src) - r.off)
	if err := r.finish("XLogData"); err != nil {
		return XLogData{}, err
	}
	return x, nil
}

// Keepalive tells how far the server's log reaches, in idle times too.
type Keepalive struct {
	// ServerEnd is the end of the log that the walsender has looked through.
	ServerEnd LSN
	// ServerTime is when this was sent.
	ServerTime Timestamp
	// ReplyRequested asks for a status update at once: without one the server
	// closes the connection after wal_sender_timeout.
	ReplyRequested bool
}

// DecodeKeepalive reads the payload of a CopyData message that begins with
// [TagKeepalive]. The error is a [*DecodeError].
func DecodeKeepalive(src []byte) (Keepalive, error) {
	r := reader{src: src}
	if r.uint8() != TagKeepalive {
		r.reject()
	}
	k := Keepalive{ServerEnd: r.lsn(), ServerTime: r.timestamp(), ReplyRequested: r.uint8() != 0}
	if err := r.finish("Primary keepalive"); err != nil {
		return Keepalive{}, err
	}
	return k, nil
}

// AppendStandbyStatus appends the payload of a CopyData message that tells the
// server how far the log is written, flushed and applied, each the position
// after the last byte. What lies before flush will not be sent again. With
// reply the server answers at once with a keepalive. now is the clock.
func AppendStandbyStatus(dst []byte, write, flush, apply LSN, now time.Time, reply bool) []byte {
	dst = append(dst, 'r')
	dst = binary.BigEndian.AppendUint64(dst, uint64(write))
	dst = binary.BigEndian.AppendUint64(dst, uint64(flush))
	dst = binary.BigEndian.AppendUint64(dst, uint64(apply))
	dst = binary.BigEndian.AppendUint64(dst, uint64(TimestampOf(now)))
	if reply {
		return append(dst, 1)
	}
	return append(dst, 0)
}
