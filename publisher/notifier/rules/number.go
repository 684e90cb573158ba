package rules

import (
	"bytes"
	"cmp"
)

// number is the exact value of a decimal, as a view of its text.
type number struct {
	class class
	// digits are those from the first to the last that is not zero, with the
	// point if that is between them.
	digits []byte
	// power is the power of ten that the first of the digits counts.
	power int
}

// class orders numbers before their digits do.
type class int8

const (
	minusInfinity class = iota
	negative
	zero
	positive
	plusInfinity
	notANumber // greater than all others in PostgreSQL, and equal to itself
)

// maxExponentDigits bounds the exponents that are taken for one.
const maxExponentDigits = 9

// parseNumber reads a number as PostgreSQL writes it (numeric, float8 and integers)
// or a person might: a leading + and zeros do no harm. ok is false if text is none.
func parseNumber(text []byte) (n number, ok bool) {
	switch string(text) {
	case "NaN":
		return number{class: notANumber}, true
	case "Infinity":
		return number{class: plusInfinity}, true
	case "-Infinity":
		return number{class: minusInfinity}, true
	}
	n.class = positive
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			n.class = negative
		}
		text = text[1:]
	}
	mantissa, exponent, ok := cutExponent(text)
	return n, ok && n.setDigits(mantissa, exponent)
}

// cutExponent divides a number without sign at its e or E.
func cutExponent(text []byte) (mantissa []byte, exponent int, ok bool) {
	at := bytes.IndexByte(text, 'e')
	if at < 0 {
		at = bytes.IndexByte(text, 'E')
	}
	if at < 0 {
		return text, 0, true
	}
	mantissa, text = text[:at], text[at+1:]
	sign := 1
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			sign = -1
		}
		text = text[1:]
	}
	if len(text) == 0 || len(text) > maxExponentDigits {
		return nil, 0, false
	}
	for _, c := range text {
		if !isDigit(c) {
			return nil, 0, false
		}
		exponent = 10*exponent + int(c-'0')
	}
	return mantissa, sign * exponent, true
}

// setDigits sets the digits from a mantissa, of which it reports whether it is one.
func (n *number) setDigits(mantissa []byte, exponent int) bool {
	first, end, point, some := -1, 0, len(mantissa), false
	for i, c := range mantissa {
		switch {
		case isDigit(c):
			some = true
			if c != '0' {
				if first < 0 {
					first = i
				}
				end = i + 1
			}
		case c == '.' && point == len(mantissa):
			point = i
		default:
			return false
		}
	}
	if first < 0 {
		n.class = zero
		return some
	}
	n.digits = mantissa[first:end]
	n.power = exponent + point - first
	if first < point {
		n.power--
	}
	return true
}

// compare returns -1, 0 or 1 as n is less than, equal to or greater than m.
func (n *number) compare(m *number) int {
	if n.class != m.class || n.class != negative && n.class != positive {
		return cmp.Compare(n.class, m.class)
	}
	c := cmp.Compare(n.power, m.power)
	if c == 0 {
		c = compareDigits(n.digits, m.digits)
	}
	if n.class == negative {
		return -c
	}
	return c
}

// compareDigits compares digits that begin at the same power of ten and do not
// end in zero.
func compareDigits(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == '.':
			a = a[1:]
		case b[0] == '.':
			b = b[1:]
		case a[0] != b[0]:
			return cmp.Compare(a[0], b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	return cmp.Compare(len(a), len(b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
