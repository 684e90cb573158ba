package rules

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/expr-lang/expr/vm/runtime"
)

// scalar is a value of an expression. The zero value is nil.
type scalar struct {
	kind    kind
	boolean bool
	integer int
	float   float64
	text    []byte // of a text, or the JSON of a document
}

// kind says which member of a scalar holds its value.
type kind uint8

const (
	isNil kind = iota
	isBoolean
	isInteger
	isFloat
	isText
	isDocument // an array or object
)

func textOf(s string) scalar { return scalar{kind: isText, text: []byte(s)} }

// parseJSON reads a JSON value (RFC 8259), which must be a valid one. A text that
// has escapes is written to buf, which is returned.
func parseJSON(value, buf []byte) (scalar, []byte) {
	value = bytes.TrimSpace(value)
	switch value[0] {
	case '"':
		inner := value[1 : len(value)-1]
		if bytes.IndexByte(inner, '\\') < 0 {
			return scalar{kind: isText, text: inner}, buf
		}
		start := len(buf)
		buf = appendUnescaped(buf, inner)
		return scalar{kind: isText, text: buf[start:]}, buf
	case 't', 'f':
		return scalar{kind: isBoolean, boolean: value[0] == 't'}, buf
	case 'n':
		return scalar{}, buf
	case '{', '[':
		return scalar{kind: isDocument, text: value}, buf
	}
	return parseJSONNumber(value), buf
}

// parseJSONNumber reads a JSON number: one without point and exponent as an integer
// if it is within 64 bits.
func parseJSONNumber(value []byte) scalar {
	if !bytes.ContainsAny(value, ".eE") {
		if i, ok := parseInteger(value); ok {
			return scalar{kind: isInteger, integer: i}
		}
	}
	return scalar{kind: isFloat, float: parseFloat(value)}
}

// parseInteger reads digits that may have a minus before them.
func parseInteger(text []byte) (int, bool) {
	digits := bytes.TrimPrefix(text, []byte("-"))
	if len(digits) > 19 { // which uint64 can hold whatever they are
		return 0, false
	}
	var n uint64
	for _, c := range digits {
		n = 10*n + uint64(c-'0')
	}
	switch negative := len(digits) < len(text); {
	case negative && n <= 1<<63:
		return int(-n), true
	case !negative && n < 1<<63:
		return int(n), true
	}
	return 0, false
}

// parseFloat returns the nearest float64, infinity for numbers beyond.
func parseFloat(text []byte) float64 {
	// The error of strconv would be allocated for numbers that are far beyond.
	if n, ok := parseNumber(text); ok && n.power > 308 && n.class == positive {
		return math.Inf(1)
	} else if ok && n.power > 308 && n.class == negative {
		return math.Inf(-1)
	}
	// Strconv does not keep the text, and long ones would be allocated.
	f, _ := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
	return f
}

// appendUnescaped appends the inner part of a JSON string without its escapes. Half
// a surrogate pair becomes U+FFFD.
func appendUnescaped(dst, inner []byte) []byte {
	for {
		at := bytes.IndexByte(inner, '\\')
		if at < 0 {
			return append(dst, inner...)
		}
		dst = append(dst, inner[:at]...)
		c := inner[at+1]
		inner = inner[at+2:]
		switch strings.IndexByte("bfnrtu", c) {
		case 0, 1, 2, 3, 4:
			dst = append(dst, "\b\f\n\r\t"[strings.IndexByte("bfnrt", c)])
		case 5:
			var r rune
			r, inner = escapedRune(inner)
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
}

// escapedRune reads what follows \u, and a second such escape if the two are a
// surrogate pair.
func escapedRune(text []byte) (r rune, rest []byte) {
	r, rest = hexRune(text), text[4:]
	if utf16.IsSurrogate(r) && len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
		if pair := utf16.DecodeRune(r, hexRune(rest[2:])); pair != utf8.RuneError {
			return pair, rest[6:]
		}
	}
	return r, rest // AppendRune makes U+FFFD of a half
}

// hexRune reads four hexadecimal digits.
func hexRune(text []byte) (r rune) {
	for _, c := range text[:4] {
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c&^0x20 - 'A' + 10
		}
		r = r<<4 | rune(c)
	}
	return r
}

// value returns the scalar as expr's virtual machine takes it.
func (s *scalar) value() any {
	switch s.kind {
	case isBoolean:
		return s.boolean
	case isInteger:
		return s.integer
	case isFloat:
		return s.float
	case isText:
		return string(s.text)
	case isDocument:
		return decodeDocument(s.text)
	}
	return nil
}

// decodeDocument decodes an array or object.
func decodeDocument(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil // never, for a column writes valid JSON
	}
	return withNumbers(v)
}

// withNumbers replaces the numbers in a decoded document as parseJSONNumber does.
func withNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		n := parseJSONNumber([]byte(v))
		return n.value()
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = withNumbers(v[name])
		}
	}
	return v
}

// scalarOf is the inverse of value for all but documents.
func scalarOf(v any) (scalar, bool) {
	switch v := v.(type) {
	case nil:
		return scalar{}, true
	case bool:
		return scalar{kind: isBoolean, boolean: v}, true
	case int:
		return scalar{kind: isInteger, integer: v}, true
	case float64:
		return scalar{kind: isFloat, float: v}, true
	case string:
		return textOf(v), true
	}
	return scalar{}, false
}

func (s *scalar) isNumber() bool { return s.kind == isInteger || s.kind == isFloat }

// asFloat returns a number as a float64.
func (s *scalar) asFloat() float64 {
	if s.kind == isInteger {
		return float64(s.integer)
	}
	return s.float
}

// equals reports whether two values are equal, as expr's == does.
func (s *scalar) equals(o *scalar) bool {
	if s.kind != o.kind {
		return s.isNumber() && o.isNumber() && s.asFloat() == o.asFloat()
	}
	switch s.kind {
	case isBoolean:
		return s.boolean == o.boolean
	case isInteger:
		return s.integer == o.integer
	case isFloat:
		return s.float == o.float
	case isText:
		return bytes.Equal(s.text, o.text)
	case isDocument:
		return runtime.Equal(s.value(), o.value())
	}
	return true
}

// order compares two values that are not nil; ok is false if they have no order.
func (s *scalar) order(o *scalar) (c int, ok bool) {
	switch {
	case s.kind == isInteger && o.kind == isInteger:
		return cmp.Compare(s.integer, o.integer), true
	case s.isNumber() && o.isNumber():
		return cmp.Compare(s.asFloat(), o.asFloat()), true
	case s.kind == isText && o.kind == isText:
		return bytes.Compare(s.text, o.text), true
	case s.kind == isText && o.isNumber():
		return beyond(s.text)
	case s.isNumber() && o.kind == isText:
		c, ok = beyond(o.text)
		return -c, ok
	}
	return 0, false
}

// beyond reports whether a text is one that columns of numbers have for something
// above (1) or below (-1) all numbers that have digits.
func beyond(text []byte) (c int, ok bool) {
	switch string(text) {
	case "NaN", "Infinity":
		return 1, true
	case "-Infinity":
		return -1, true
	}
	return 0, false
}
