package rules

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// topicPattern is what a topic must be.
type topicPattern struct {
	pattern string
	re      *regexp.Regexp // or nil
}

func newTopicPattern(pattern string) (topicPattern, error) {
	p := topicPattern{pattern: pattern}
	expr, ok := (config.TopicRule{Match: pattern}).Expression()
	if !ok {
		return p, nil
	}
	var err error
	p.re, err = compileRegexp(expr)
	return p, err
}

// asked reports whether there is a pattern at all.
func (p *topicPattern) asked() bool { return p.pattern != "" }

func (p *topicPattern) matches(topic string) bool {
	if p.re != nil {
		return p.re.MatchString(topic)
	}
	return !p.asked() || publisher.MatchTopic(p.pattern, topic)
}

// compileRegexp compiles a regular expression. The error of package regexp quotes
// it, so only its kind is told.
func compileRegexp(expr string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(expr)
	var broken *syntax.Error
	if errors.As(err, &broken) {
		return nil, fmt.Errorf("is no regular expression: %s; correct it as package regexp of Go wants it", broken.Code)
	}
	return re, err
}

// textPattern is a regular expression for the texts of columns.
type textPattern struct {
	re    *regexp.Regexp
	start []byte // how a text that matches has to begin
}

func newTextPattern(expr string) (p textPattern, err error) {
	p.re, err = compileRegexp(expr)
	p.start = []byte(startOf(expr))
	return p, err
}

// match reports whether the expression matches in the text. The beginning tells
// faster than the expression.
func (p *textPattern) match(text []byte) bool {
	return bytes.HasPrefix(text, p.start) && p.re.Match(text)
}

// startOf returns what follows the ^ that an expression begins with, as far as it
// stands for itself.
func startOf(expr string) string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil || re.Op != syntax.OpConcat || re.Sub[0].Op != syntax.OpBeginText || re.Sub[1].Op != syntax.OpLiteral {
		return ""
	}
	start := string(re.Sub[1].Rune)
	if re.Sub[1].Flags&syntax.FoldCase != 0 || strings.ContainsRune(start, utf8.RuneError) {
		return ""
	}
	return start
}
