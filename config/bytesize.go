package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes, never negative. As text it is a whole number
// with a unit of 1000 (KB, MB, GB, TB), of 1024 (KiB, MiB, GiB, TiB), B or
// none; the unit's case is no matter.
type ByteSize int64

var byteUnits = []struct {
	suffix string
	bytes  int64
}{
	// The longer suffix is tried first, and of two that fit the size shown.
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

var errByteSize = errors.New(`parse size: want a whole number with a unit, such as "16MiB" or "64KB"`)

// String returns the size in the largest unit that makes it a whole number,
// 1024-based ones first.
func (b ByteSize) String() string {
	for _, u := range byteUnits {
		if b != 0 && int64(b)%u.bytes == 0 {
			return strconv.FormatInt(int64(b)/u.bytes, 10) + u.suffix
		}
	}
	return "0"
}

// MarshalText returns String's text.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what String returns and the other forms.
func (b *ByteSize) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for _, u := range byteUnits {
		if at := len(number) - len(u.suffix); at > 0 && strings.EqualFold(number[at:], u.suffix) {
			number, unit = strings.TrimRight(number[:at], " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return errByteSize
	}
	*b = ByteSize(n * unit)
	return nil
}
