package listener

import "github.com/walherald/walherald/publisher/format"

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
	const lowest, highest = "0000-00-00 00:00:00", "9999-99-99 99:99:99"
	n := len(lowest)
	if len(text) < n || !within(text[:n], lowest, highest) {
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
