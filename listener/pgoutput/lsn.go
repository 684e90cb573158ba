package pgoutput

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// LSN is a position in the write-ahead log, in bytes from its beginning
// (PostgreSQL type pg_lsn). 0 is no position.
type LSN uint64

// String returns the position as the server writes it: two hexadecimal numbers
// of 32 bits without leading zeros, such as "16/B374D848".
func (l LSN) String() string {
	return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l))
}

// MarshalText writes the LSN as String does, in logs too.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ParseLSN reads what String writes, in either case and with leading zeros up
// to eight digits a half.
func ParseLSN(s string) (LSN, error) {
	high, low, _ := strings.Cut(s, "/")
	h, okHigh := parseHalf(high)
	l, okLow := parseHalf(low)
	if !okHigh || !okLow {
		return 0, fmt.Errorf("parse LSN %q: want two numbers of 1 to 8 hexadecimal digits with a slash between them, as in 16/B374D848", s)
	}
	return LSN(h<<32 | l), nil
}

// parseHalf reads one to eight hexadecimal digits.
func parseHalf(s string) (uint64, bool) {
	v, err := strconv.ParseUint(s, 16, 32)
	return v, err == nil && len(s) <= 8
}

// Timestamp is a time in microseconds since 2000-01-01 00:00:00 UTC, the epoch
// of PostgreSQL (type timestamptz).
type Timestamp int64

// unixToEpoch is PostgreSQL's epoch in microseconds since the Unix epoch.
const unixToEpoch = 946_684_800_000_000

// UnixMicro returns the time in microseconds since the Unix epoch.
func (t Timestamp) UnixMicro() int64 { return int64(t) + unixToEpoch }

// Time returns the time in UTC.
func (t Timestamp) Time() time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

// TimestampOf returns t cut to microseconds.
func TimestampOf(t time.Time) Timestamp { return Timestamp(t.UnixMicro() - unixToEpoch) }
