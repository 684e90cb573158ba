package pgoutput

import (
	"bytes"
	"encoding/binary"
)

// reader reads the fields of one message in order. After its first failure
// every read returns zero, so that a message's decode has one check, in finish.
type reader struct {
	src []byte // the message; cut off at off once a read has failed
	off int    // the next byte to read
	err error  // the first failure
}

// newReader returns a reader that stands after the type byte of src.
func newReader(src []byte) reader {
	return reader{src: src, off: 1}
}

// fail records err at the reader's offset unless a read has failed before.
func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
		r.src = r.src[:r.off]
	}
}

// reject fails at the byte that was read last.
func (r *reader) reject() {
	if r.err == nil {
		r.off--
		r.fail(ErrMalformed)
	}
}

// finish returns the first failure, or an error if there are bytes left.
func (r *reader) finish(message string) error {
	if r.off < len(r.src) {
		r.fail(ErrTrailing)
	}
	if r.err == nil {
		return nil
	}
	return &DecodeError{Message: message, Offset: r.off, Err: r.err}
}

// take returns the next n bytes as a view that cannot be appended into what
// follows it, or nil if there are fewer.
func (r *reader) take(n int) []byte {
	end := r.off + n
	if n < 0 || end < r.off || end > len(r.src) {
		r.fail(ErrShort)
		return nil
	}
	b := r.src[r.off:end:end]
	r.off = end
	return b
}

func (r *reader) uint8() byte {
	if r.off >= len(r.src) {
		r.fail(ErrShort)
		return 0
	}
	b := r.src[r.off]
	r.off++
	return b
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) lsn() LSN             { return LSN(r.uint64()) }
func (r *reader) timestamp() Timestamp { return Timestamp(r.uint64()) }

// sized returns the bytes after a 32-bit length as a view.
func (r *reader) sized() []byte {
	return r.take(int(int32(r.uint32())))
}

// cstring returns the bytes before the next NUL as a view and skips the NUL.
func (r *reader) cstring() []byte {
	n := bytes.IndexByte(r.src[r.off:], 0)
	if n < 0 {
		r.fail(ErrShort)
		return nil
	}
	b := r.take(n)
	r.off++
	return b
}

// count accepts n as the number of items to come, of which none takes fewer
// than size bytes: what it returns may be allocated.
func (r *reader) count(n, size int) int {
	switch {
	case r.err != nil:
		return 0
	case n < 0:
		r.fail(ErrMalformed)
		return 0
	case n > (len(r.src)-r.off)/size:
		r.fail(ErrShort)
		return 0
	}
	return n
}

func (r *reader) count16(size int) int { return r.count(int(int16(r.uint16())), size) }

// resize returns a slice of n items, never nil, in s's memory if that is large
// enough. Its items are left over from earlier messages: each has to be set.
func resize[T any](s []T, n int) []T {
	if s == nil || cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
