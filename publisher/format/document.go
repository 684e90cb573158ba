package format

import "unicode/utf8"

// The functions of this file check JSON (RFC 8259) without building anything.
// Each takes the text from where its piece begins and returns the piece's
// length, or invalid.

const invalid = -1

// maxDepth is how deep a document may be nested to be taken over. The body adds
// two levels, and many a parser, encoding/json among them, gives up at 10,000.
const maxDepth = 9000

// validDocument reports whether text is one JSON document in valid UTF-8 that
// is nested no deeper than maxDepth.
func validDocument(text []byte) bool {
	start := space(text)
	n := value(text[start:], 0)
	if n == invalid {
		return false
	}
	end := start + n
	return end+space(text[end:]) == len(text)
}

// space returns the length of the white space that text begins with.
func space(text []byte) int {
	n := 0
	for n < len(text) && (text[n] == ' ' || text[n] == '\n' || text[n] == '\t' || text[n] == '\r') {
		n++
	}
	return n
}

// value reads a value without white space around it, inside depth others.
func value(text []byte, depth int) int {
	if len(text) == 0 {
		return invalid
	}
	switch text[0] {
	case '"':
		return quoted(text)
	case '{':
		return members(text, '}', depth)
	case '[':
		return members(text, ']', depth)
	case 't':
		return literal(text, "true")
	case 'f':
		return literal(text, "false")
	case 'n':
		return literal(text, "null")
	}
	return number(text)
}

// literal reads word.
func literal(text []byte, word string) int {
	if len(text) < len(word) || string(text[:len(word)]) != word {
		return invalid
	}
	return len(word)
}

// members reads an object or an array up to the closing bracket that ends it,
// inside depth others.
func members(text []byte, closing byte, depth int) int {
	if depth == maxDepth {
		return invalid
	}
	n := 1 + space(text[1:])
	if n < len(text) && text[n] == closing {
		return n + 1
	}
	for {
		size := member(text[n:], closing == '}', depth+1)
		if size == invalid {
			return invalid
		}
		n += size
		switch {
		case n == len(text):
			return invalid
		case text[n] == closing:
			return n + 1
		case text[n] != ',':
			return invalid
		}
		n++
		n += space(text[n:])
	}
}

// member reads a value, after its name if there is one, and the white space
// after it.
func member(text []byte, named bool, depth int) int {
	n := 0
	if named {
		if n = name(text); n == invalid {
			return invalid
		}
	}
	size := value(text[n:], depth)
	if size == invalid {
		return invalid
	}
	n += size
	return n + space(text[n:])
}

// name reads a member's name, the colon and the white space around it.
func name(text []byte) int {
	n := quoted(text)
	if n == invalid {
		return invalid
	}
	n += space(text[n:])
	if n == len(text) || text[n] != ':' {
		return invalid
	}
	n++
	return n + space(text[n:])
}

// quoted reads a string.
func quoted(text []byte) int {
	if len(text) == 0 || text[0] != '"' {
		return invalid
	}
	n := 1
	for {
		size, ascii := plain(text[n:])
		if !ascii && !utf8.Valid(text[n:n+size]) {
			return invalid
		}
		n += size
		if n == len(text) {
			return invalid
		}
		if text[n] == '"' {
			return n + 1
		}
		if size = escape(text[n:]); size == invalid {
			return invalid
		}
		n += size
	}
}

// escape reads a backslash and what it escapes.
func escape(text []byte) int {
	if len(text) < 2 || text[0] != '\\' {
		return invalid
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(text) >= 6 && isHex(text[2]) && isHex(text[3]) && isHex(text[4]) && isHex(text[5]) {
			return 6
		}
	}
	return invalid
}

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number reads a number.
func number(text []byte) int {
	n := 0
	if n < len(text) && text[n] == '-' {
		n++
	}
	whole := digits(text[n:])
	if whole == 0 || whole > 1 && text[n] == '0' {
		return invalid
	}
	n += whole
	if n < len(text) && text[n] == '.' {
		n++
		size := digits(text[n:])
		if size == 0 {
			return invalid
		}
		n += size
	}
	if n < len(text) && (text[n] == 'e' || text[n] == 'E') {
		n++
		if n < len(text) && (text[n] == '+' || text[n] == '-') {
			n++
		}
		size := digits(text[n:])
		if size == 0 {
			return invalid
		}
		n += size
	}
	return n
}

// digits returns how many digits text begins with.
func digits(text []byte) int {
	n := 0
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	return n
}
