// Package pgoutput reads what a PostgreSQL walsender sends for a slot with the
// output plugin pgoutput, protocol version 1, and writes the standby's answer.
//
// Messages arrive in CopyData, in two layers. The outer one belongs to streaming
// replication (PostgreSQL documentation, "Streaming Replication Protocol"):
// [DecodeXLogData] opens a piece of the log, [DecodeKeepalive] a keepalive, and
// [AppendStandbyStatus] writes the status update that confirms positions. The
// inner one is the payload of XLogData, a single message of the "Logical
// Replication Message Formats", which a [Decoder] reads.
//
// Decoding copies no row data: a decoded message and its slices are views, into
// the Decoder and into the bytes it was given, valid until the next Decode or
// until those bytes change, whichever is first. In steady state nothing is
// allocated; only the names in a Relation or Type message become strings.
//
// Input is not trusted. Whatever the bytes, decoding returns a message or a
// [*DecodeError]; it does not panic, read outside its input or reserve memory
// for a count that the remaining bytes cannot hold. Messages of the later
// protocol versions (streamed and prepared transactions) are unknown here.
//
// The package imports nothing but the standard library.
package pgoutput

import (
	"errors"
	"fmt"
)

// What a [DecodeError] can wrap.
var (
	// ErrShort: the message ends before its last field, or a length or count in
	// it promises more than there is.
	ErrShort = errors.New("message ends early")
	// ErrTrailing: bytes are left after the last field.
	ErrTrailing = errors.New("bytes left after the end of the message")
	// ErrMalformed: a byte says what the protocol does not allow at its place,
	// or a count is negative.
	ErrMalformed = errors.New("value not allowed here by protocol version 1")
)

// DecodeError says where a message could not be read. It holds no data of the
// message: it can be logged.
type DecodeError struct {
	// Message is the message type's name as in the documentation, such as
	// "Insert"; for an unknown type it is the quoted type byte.
	Message string
	// Offset is where decoding stopped, in bytes from the message's type byte.
	Offset int
	// Err is [ErrShort], [ErrTrailing] or [ErrMalformed].
	Err error
}

// Error names the message type, the byte offset and the reason.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("decode %s message at byte %d: %v", e.Message, e.Offset, e.Err)
}

// Unwrap returns the reason.
func (e *DecodeError) Unwrap() error { return e.Err }

// Message is a decoded message: [*Begin], [*Commit], [*Origin], [*Relation],
// [*Type], [*Insert], [*Update], [*Delete], [*Truncate] or [*LogicalMessage].
type Message interface {
	// decode reads src, which begins with the message's type byte.
	decode(src []byte) error
}

// largeMessage is the size in bytes from which on a message's memory is not
// kept for longer than the message is in use.
const largeMessage = 1 << 20

// Decoder reads messages into memory that it uses again for each message. The
// zero value is ready. A Decoder belongs to one goroutine at a time.
type Decoder struct {
	large bool // the last message was of largeMessage bytes or more

	begin    Begin
	commit   Commit
	origin   Origin
	relation Relation
	typ      Type
	insert   Insert
	update   Update
	delete   Delete
	truncate Truncate
	logical  LogicalMessage
}

// Decode reads the one message that src holds, type byte first. The message
// belongs to d and its slices are views into src: both are valid until the next
// Decode. The error is a [*DecodeError]; the next message can be read after it.
func (d *Decoder) Decode(src []byte) (Message, error) {
	if d.large {
		*d = Decoder{} // or a view would keep the large buffer from being freed
	}
	d.large = len(src) >= largeMessage
	if len(src) == 0 {
		return nil, &DecodeError{Message: "empty", Err: ErrShort}
	}
	m := d.message(src[0])
	if m == nil {
		return nil, &DecodeError{Message: fmt.Sprintf("%q", src[0]), Err: ErrMalformed}
	}
	if err := m.decode(src); err != nil {
		return nil, err
	}
	return m, nil
}

// message returns the place for a message of the type that tag names, or nil.
func (d *Decoder) message(tag byte) Message {
	switch tag {
	case 'I':
		return &d.insert
	case 'U':
		return &d.update
	case 'D':
		return &d.delete
	case 'B':
		return &d.begin
	case 'C':
		return &d.commit
	case 'R':
		return &d.relation
	case 'T':
		return &d.truncate
	case 'Y':
		return &d.typ
	case 'O':
		return &d.origin
	case 'M':
		return &d.logical
	}
	return nil
}

// Decode reads the one message that src holds with a Decoder of its own. Use a
// [Decoder] where there are many.
func Decode(src []byte) (Message, error) {
	return new(Decoder).Decode(src)
}
