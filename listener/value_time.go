package listener

import (
	"encoding/binary"

	"github.com/walherald/walherald/publisher/format"
)

// appendTimestamp appends a timestamp without time zone as RFC 3339, in UTC and
// with the fraction of the second that PostgreSQL wrote: 2024-02-29
// 12:34:56.789 becomes "2024-02-29T12:34:56.789Z". What RFC 3339 has no words
// for stays as PostgreSQL wrote it: infinity, -infinity, years before Christ
// and after 9999.
func appendTimestamp(dst, text []byte) []byte {
	n := dateTime(text)
	if n == 0 || n != len(text) {
		return format.AppendString(dst, text)
	}
	dst = appendDateTime(dst, text)
	return append(dst, `Z"`...)
}

// appendTimestamptz appends a timestamp with time zone as appendTimestamp does,
// with its offset: +00 becomes Z, +05 becomes +05:00, +05:30 stays. An offset
// with seconds, as before standard time, stays with the whole text as it is.
func appendTimestamptz(dst, text []byte) []byte {
	n := dateTime(text)
	if n == 0 {
		return format.AppendString(dst, text)
	}
	offset := text[n:]
	switch {
	case string(offset) == "+00":
		dst = appendDateTime(dst, text[:n])
		return append(dst, `Z"`...)
	case len(offset) == 0 || offset[0] != '+' && offset[0] != '-':
	case within(offset[1:], "00", "99"):
		dst = appendDateTime(dst, text)
		return append(dst, `:00"`...)
	case within(offset[1:], "00:00", "99:99"):
		dst = appendDateTime(dst, text)
		return append(dst, '"')
	}
	return format.AppendString(dst, text)
}

// appendDateTime appends text, of which dateTime has read the beginning, with a
// T between date and time and a quote before it.
func appendDateTime(dst, text []byte) []byte {
	const date = len("2006-01-02")
	dst = append(dst, '"')
	dst = append(dst, text[:date]...)
	dst = append(dst, 'T')
	return append(dst, text[date+1:]...)
}

// dateTime returns the length of the date and time that text begins with, or 0.
func dateTime(text []byte) int {
	const n = len("2006-01-02 15:04:05")
	if len(text) < n || !yearMonth.begins(text) || !dayHour.begins(text[8:]) || !clock.begins(text[11:]) {
		return 0
	}
	if n == len(text) || text[n] != '.' {
		return n
	}
	end := n + 1
	for end < len(text) && isDigit(text[end]) {
		end++
	}
	if end == n+1 {
		return 0
	}
	return end
}

// The pieces of a date and time, of which the last two overlap.
var (
	yearMonth = newPattern("0000-00-")
	dayHour   = newPattern("00 00:00")
	clock     = newPattern("00:00:00")
)

// pattern is what eight bytes look like, that are looked at together: a digit
// where it has a zero, and else the same byte. Against want a digit leaves 0 to 9
// and another byte 0; of what is more, add (6 or 15) makes more than four bits.
type pattern struct{ want, add uint64 }

func newPattern(bytes string) (p pattern) {
	for i := range 8 {
		p.want |= uint64(bytes[i]) << (8 * i)
		if bytes[i] == '0' {
			p.add |= 6 << (8 * i)
		} else {
			p.add |= 15 << (8 * i)
		}
	}
	return p
}

// begins reports whether text, of eight bytes or more, begins as p says.
func (p *pattern) begins(text []byte) bool {
	w := binary.LittleEndian.Uint64(text) ^ p.want
	return (w|(w+p.add))&0xF0F0F0F0F0F0F0F0 == 0
}

// within reports whether text is as long as lowest and highest and each of its
// bytes is in the range that the two give for its place.
func within(text []byte, lowest, highest string) bool {
	if len(text) != len(lowest) || len(text) != len(highest) {
		return false
	}
	for i, c := range text {
		if c < lowest[i] || c > highest[i] {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
