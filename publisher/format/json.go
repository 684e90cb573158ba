package format

import (
	"encoding/binary"
	"unicode/utf8"
)

// asIs marks the bytes that stand for themselves in a JSON string: all but
// control characters, the quote and the backslash (RFC 8259 section 7).
var asIs = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

// plain returns the length of the longest prefix of text whose bytes are all
// asIs, and whether these are all ASCII. Most text is nothing else, so it is
// looked at in words of 8 bytes.
func plain(text []byte) (n int, ascii bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	seen := uint64(0)
	for ; len(text)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(text[n:])
		// Of the bytes with a clear top bit, one below a space, a quote and a
		// backslash borrow in the subtraction made for them, which sets that bit.
		if ((w-ones*' ')|((w^ones*'"')-ones)|((w^ones*'\\')-ones))&^w&tops != 0 {
			break
		}
		seen |= w
	}
	for n < len(text) && asIs[text[n]] {
		seen |= uint64(text[n])
		n++
	}
	return n, seen&tops == 0
}

// AppendString appends text to dst as a JSON string. Only what has to be
// escaped is: quote, backslash and control characters. A byte that is not part
// of valid UTF-8 becomes U+FFFD.
func AppendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	for {
		n, ascii := plain(text)
		if ascii || utf8.Valid(text[:n]) {
			dst = append(dst, text[:n]...)
		} else {
			dst = appendRepaired(dst, text[:n])
		}
		if n == len(text) {
			return append(dst, '"')
		}
		dst = appendEscaped(dst, text[n])
		text = text[n+1:]
	}
}

// appendRepaired appends text with U+FFFD for each byte that is not part of
// valid UTF-8. A database without an encoding (SQL_ASCII) may hold such text.
func appendRepaired(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		dst = utf8.AppendRune(dst, r)
		text = text[size:]
	}
	return dst
}

// appendEscaped appends c, which is not asIs, as it has to stand in a JSON string.
func appendEscaped(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// AppendNumber appends text to dst as it is if it is a JSON number, of whatever
// length and precision, and else as a JSON string.
func AppendNumber(dst, text []byte) []byte {
	if number(text) == len(text) && len(text) > 0 {
		return append(dst, text...)
	}
	return AppendString(dst, text)
}

// AppendDocument appends text to dst as it is if it is one JSON document in
// valid UTF-8, white space included, and else as a JSON string.
func AppendDocument(dst, text []byte) []byte {
	if validDocument(text) {
		return append(dst, text...)
	}
	return AppendString(dst, text)
}
