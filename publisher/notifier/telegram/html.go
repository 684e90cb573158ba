package telegram

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// tags are those of Telegram's HTML (https://core.telegram.org/bots/api#html-style).
var tags = []string{
	"a", "b", "blockquote", "code", "del", "em", "i", "ins", "pre", "s", "span", "strike", "strong", "tg-emoji", "tg-spoiler", "u",
}

var (
	// tag is a tag with its attributes, whose values can hold a >.
	tag = regexp.MustCompile(`^<(/?)([A-Za-z][A-Za-z0-9-]*)((?:[ \t\r\n]+[A-Za-z-]+(?:=(?:"[^"]*"|'[^']*'|[^\s"'<>]+))?)*)[ \t\r\n]*>`)
	// spoiler is the attribute that a span must have.
	spoiler = regexp.MustCompile(`(?i)^\s+class=["']?tg-spoiler["']?$`)
	// reference is a character that is written as another.
	reference = regexp.MustCompile(`^&(?:(lt|gt|amp|quot)|#([0-9]{1,7})|#[xX]([0-9A-Fa-f]{1,6}));`)
)

// scanner reads HTML piece by piece.
type scanner struct {
	rest string
	open []string // the tags that are open
}

// piece is a tag, a reference or a character.
type piece struct {
	source string
	units  int  // how many UTF-16 code units of text it is
	blank  bool // it is a tag or white space
}

// next returns the next piece of what is left, which is not empty.
func (s *scanner) next() (piece, error) {
	var p piece
	var err error
	switch s.rest[0] {
	case '<':
		p, err = s.tag()
	case '&':
		p = refer(s.rest)
	default:
		r, size := utf8.DecodeRuneInString(s.rest)
		p = character(s.rest[:size], r)
	}
	s.rest = s.rest[len(p.source):]
	return p, err
}

func character(source string, r rune) piece {
	return piece{source, max(1, utf16.RuneLen(r)), unicode.IsSpace(r)}
}

// refer reads what begins with an ampersand. One that begins no reference stands for
// itself.
func refer(text string) piece {
	g := reference.FindStringSubmatch(text)
	if g == nil {
		return character("&", '&')
	}
	if g[1] != "" {
		return piece{g[0], 1, false}
	}
	digits, base := g[2], 10
	if digits == "" {
		digits, base = g[3], 16
	}
	code, err := strconv.ParseInt(digits, base, 32)
	if err != nil || code == 0 || !utf8.ValidRune(rune(code)) {
		return character("&", '&')
	}
	return character(g[0], rune(code))
}

// tag reads a tag. The errors name tags of Telegram alone: everything else could be a
// value of the row.
func (s *scanner) tag() (piece, error) {
	g := tag.FindStringSubmatch(s.rest)
	if g == nil {
		return piece{}, errors.New("has a < that begins no tag; write &lt;")
	}
	name := strings.ToLower(g[2])
	if !slices.Contains(tags, name) {
		return piece{}, fmt.Errorf("has a tag that Telegram does not know; it knows %s", strings.Join(tags, ", "))
	}
	p := piece{source: g[0], blank: true}
	last := len(s.open) - 1
	switch {
	case g[1] == "":
		if name == "span" && !spoiler.MatchString(g[3]) {
			return p, errors.New(`has a span that is no <span class="tg-spoiler">`)
		}
		s.open = append(s.open, name)
	case last < 0:
		return p, fmt.Errorf("has a </%s> without a <%s>", name, name)
	case s.open[last] != name:
		return p, fmt.Errorf("has a </%s> where </%s> should be", name, s.open[last])
	default:
		s.open = s.open[:last]
	}
	return p, nil
}

// measure returns how many UTF-16 code units of text html is. It is an error if it is
// not Telegram's HTML or shows nothing.
func measure(html string) (units int, err error) {
	s := scanner{rest: html}
	blank := true
	for s.rest != "" {
		p, err := s.next()
		if err != nil {
			return 0, err
		}
		units += p.units
		blank = blank && p.blank
	}
	if len(s.open) > 0 {
		last := s.open[len(s.open)-1]
		return 0, fmt.Errorf("has a <%s> without a </%s>", last, last)
	}
	if blank {
		return 0, errors.New("is empty")
	}
	return units, nil
}

// fit returns html if it is limit UTF-16 code units of text at most, and else its
// beginning and an ellipsis, with the tags closed that are open there. The limit is
// at least 1. An error continues a sentence about html, and quotes nothing of it but
// Telegram's tags.
func fit(html string, limit int) (string, error) {
	units, err := measure(html)
	if err != nil || units <= limit {
		return html, err
	}
	s := scanner{rest: html}
	kept, units := 0, 0 // of html in bytes, of text
	for {
		p, err := s.next()
		if err != nil {
			return "", err
		}
		if units += p.units; units > limit-1 {
			break
		}
		kept += len(p.source)
	}
	var out strings.Builder
	out.WriteString(html[:kept])
	out.WriteString("…")
	for _, name := range slices.Backward(s.open) {
		out.WriteString("</" + name + ">")
	}
	return out.String(), nil
}
