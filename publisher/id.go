package publisher

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Bits of an ID. Their sum with the 6 fixed bits of a UUID is 128.
const (
	lsnBits     = 60
	ordinalBits = 36
	sourceBits  = 26
)

// The largest values an ID can hold: 2^60 bytes of log, which a server that
// writes 1 GB a second reaches after 36 years, and 2^36 changes in one
// transaction.
const (
	MaxLSN     = 1<<lsnBits - 1
	MaxOrdinal = 1<<ordinalBits - 1
)

// ID names one change for ever: the same change has the same ID on every
// redelivery, from every restart. It is a UUID of version 8 (RFC 9562 section
// 5.8) made of, from its most significant bit, the commit LSN (60 bits), the
// change's ordinal within its transaction (36 bits) and a digest of the source
// (26 bits). IDs of one source therefore sort in commit order, both as bytes
// and as text, which is how a destination can tell what it already holds.
type ID [16]byte

// NewID makes the ID of the change with the given ordinal in the transaction
// whose commit record is at lsn. Of source the lowest 26 bits count. It is an
// error if lsn or ordinal is above [MaxLSN] or [MaxOrdinal].
func NewID(lsn, ordinal uint64, source uint32) (ID, error) {
	if lsn > MaxLSN || ordinal > MaxOrdinal {
		return ID{}, fmt.Errorf("make event id: LSN %X or ordinal %d is beyond what an id can hold (%d and %d bits)",
			lsn, ordinal, lsnBits, ordinalBits)
	}
	var id ID
	// 48 bits of LSN, the version, the remaining 12 bits of LSN.
	binary.BigEndian.PutUint64(id[:8], lsn>>12<<16|8<<12|lsn&0xfff)
	// The variant, the ordinal, the source.
	binary.BigEndian.PutUint64(id[8:], 0b10<<62|ordinal<<sourceBits|uint64(source)&(1<<sourceBits-1))
	return id, nil
}

// LSN returns the position of the commit record of the change's transaction.
func (id ID) LSN() uint64 {
	hi := binary.BigEndian.Uint64(id[:8])
	return hi>>16<<12 | hi&0xfff
}

// Ordinal returns the change's ordinal within its transaction.
func (id ID) Ordinal() uint64 {
	return binary.BigEndian.Uint64(id[8:]) << 2 >> 2 >> sourceBits
}

// Compare orders IDs of one source by commit order: it is negative if id comes
// before other, 0 if they are equal.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// AppendText appends the UUID's 36 characters to dst. The error is always nil.
func (id ID) AppendText(dst []byte) ([]byte, error) {
	// It is written at least once for every event, in one piece.
	var text [36]byte
	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:36], id[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return append(dst, text[:]...), nil
}

// String returns the UUID's 36 characters.
func (id ID) String() string {
	b, _ := id.AppendText(make([]byte, 0, 36))
	return string(b)
}

// ParseID reads the 36 characters that String writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, fmt.Errorf("parse event id: %q is not a UUID of 36 characters", s)
	}
	var digits [32]byte
	n := copy(digits[:], s[:8])
	n += copy(digits[n:], s[9:13])
	n += copy(digits[n:], s[14:18])
	n += copy(digits[n:], s[19:23])
	copy(digits[n:], s[24:])
	if _, err := hex.Decode(id[:], digits[:]); err != nil {
		return ID{}, fmt.Errorf("parse event id %q: %w", s, err)
	}
	return id, nil
}
