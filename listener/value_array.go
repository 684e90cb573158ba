package listener

import (
	"strings"

	"github.com/walherald/walherald/publisher/format"
)

// maxArrayDepth is how many dimensions an array of PostgreSQL can have (MAXDIM).
const maxArrayDepth = 6

// arrayAppender returns the function that appends an array as a JSON array,
// nested as the array has dimensions. Lower bounds are left out. Elements are
// written by element; between them stands delimiter. Text that is no array
// becomes a JSON string.
func arrayAppender(element appender, delimiter byte) appender {
	a := arrayType{element: element, delimiter: delimiter}
	return func(dst, text []byte) []byte {
		before := len(dst)
		dst, rest, ok := a.append(dst, withoutBounds(text), maxArrayDepth)
		if !ok || len(rest) > 0 {
			return format.AppendString(dst[:before], text)
		}
		return dst
	}
}

// withoutBounds cuts off the bounds of the dimensions, which the output of
// arrays whose indices do not begin at 1 starts with: [0:2][-1:1]={...}.
func withoutBounds(text []byte) []byte {
	if len(text) == 0 || text[0] != '[' {
		return text
	}
	n := 0
	for n < len(text) && (isDigit(text[n]) || strings.IndexByte("[]:-", text[n]) >= 0) {
		n++
	}
	if n == len(text) || text[n] != '=' {
		return text
	}
	return text[n+1:]
}

// arrayType reads the text form of arrays (PostgreSQL documentation, "Array
// Input and Output Syntax").
type arrayType struct {
	element   appender
	delimiter byte
}

// append appends the array that text begins with, of at most depth dimensions,
// and returns what follows it. ok is false if there is none.
func (a *arrayType) append(dst, text []byte, depth int) (_, rest []byte, ok bool) {
	if len(text) < 2 || text[0] != '{' || depth == 0 {
		return dst, nil, false
	}
	dst = append(dst, '[')
	if text[1] == '}' {
		return append(dst, ']'), text[2:], true
	}
	for {
		dst, text, ok = a.appendItem(dst, text[1:], depth)
		if !ok || len(text) == 0 {
			return dst, nil, false
		}
		switch text[0] {
		case '}':
			return append(dst, ']'), text[1:], true
		case a.delimiter:
			dst = append(dst, ',')
		default:
			return dst, nil, false
		}
	}
}

// appendItem appends the array or element that text begins with.
func (a *arrayType) appendItem(dst, text []byte, depth int) (_, rest []byte, ok bool) {
	switch {
	case len(text) == 0:
		return dst, nil, false
	case text[0] == '{':
		return a.append(dst, text, depth-1)
	case text[0] == '"':
		return a.appendQuoted(dst, text[1:])
	}
	n := 0
	for n < len(text) && text[n] != a.delimiter && text[n] != '}' {
		if c := text[n]; c == '{' || c == '"' || c == '\\' {
			return dst, nil, false // PostgreSQL would have quoted the element
		}
		n++
	}
	switch string(text[:n]) {
	case "":
		return dst, nil, false
	case "NULL":
		return append(dst, "null"...), text[n:], true
	}
	return a.element(dst, text[:n]), text[n:], true
}

// appendQuoted appends the element that text begins with, after its opening
// quote.
func (a *arrayType) appendQuoted(dst, text []byte) (_, rest []byte, ok bool) {
	escaped := false
	for n := 0; n < len(text); n++ {
		switch text[n] {
		case '\\':
			escaped = true
			n++
		case '"':
			if escaped {
				return a.appendEscaped(dst, text[:n]), text[n+1:], true
			}
			return a.element(dst, text[:n]), text[n+1:], true
		}
	}
	return dst, nil, false
}

// appendEscaped appends an element in which backslashes escape the byte after
// them. The element's own text is first written behind dst, where it needs no
// memory of its own, and its JSON behind that and then moved down over it.
func (a *arrayType) appendEscaped(dst, escaped []byte) []byte {
	start := len(dst)
	for i := 0; i < len(escaped); i++ {
		if escaped[i] == '\\' {
			i++
		}
		dst = append(dst, escaped[i])
	}
	end := len(dst)
	dst = a.element(dst, dst[start:])
	return append(dst[:start], dst[end:]...)
}
