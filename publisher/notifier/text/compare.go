package text

import (
	"cmp"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strings"
)

// decimal is the form of numbers in JSON.
var decimal = regexp.MustCompile(`^-?\d+(\.\d+)?([eE][+-]?\d{1,6})?$`)

// digits is how many bits numbers are compared and rounded with: more than 300
// decimal digits.
const digits = 1024

// number returns v as a number, if it is one or the text of one.
func number(v any) (*big.Float, bool) {
	text := String(v)
	if !decimal.MatchString(text) {
		return nil, false
	}
	f, _, err := big.ParseFloat(text, 10, digits, big.ToNearestEven)
	return f, err == nil
}

// order compares two values: as numbers where both are, else as text. It is not ok
// if one is NULL or missing.
func order(a, b any) (sign int, ok bool) {
	if isNothing(a) || isNothing(b) {
		return 0, false
	}
	x, isX := number(a)
	y, isY := number(b)
	if isX && isY {
		return x.Cmp(y), true
	}
	return cmp.Compare(String(a), String(b)), true
}

// equal reports whether a is one of others. NULL and what is missing equal only
// each other.
func equal(a any, others ...any) (bool, error) {
	if len(others) == 0 {
		return false, mistakef("eq has too few arguments")
	}
	for _, b := range others {
		sign, ok := order(a, b)
		if ok && sign == 0 || isNothing(a) && isNothing(b) {
			return true, nil
		}
	}
	return false, nil
}

func unequal(a, b any) (bool, error) {
	same, err := equal(a, b)
	return !same, err
}

// ordered returns the function that reports whether two values have an order that
// is as wanted.
func ordered(wanted func(sign int) bool) func(a, b any) bool {
	return func(a, b any) bool {
		sign, ok := order(a, b)
		return ok && wanted(sign)
	}
}

// formatted lets printf format a value of an event.
type formatted struct{ v any }

// Format implements [fmt.Formatter]: the verbs of numbers take numbers.
func (f formatted) Format(s fmt.State, verb rune) {
	n, ok := number(f.v)
	switch {
	case ok && verb == 'd' && n.IsInt():
		whole, _ := n.Int(nil)
		whole.Format(s, verb)
	case ok && strings.ContainsRune("eEfFgG", verb):
		n.Format(s, verb)
	case strings.ContainsRune("sqxX", verb):
		fmt.Fprintf(s, fmt.FormatString(s, verb), String(f.v))
	default: // %v, and a number's verb for something else
		_, _ = io.WriteString(s, String(f.v))
	}
}
