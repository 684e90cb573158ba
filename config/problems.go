package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Source is the file or the environment variable; empty if neither is known.
	Source string
	// Line is the line in the file, from 1; 0 if there is none.
	Line int
	// Path is the key, as in "publisher.address[1]"; empty for a file that is
	// no YAML at all.
	Path string
	// Text says what is wrong and what to do. It never holds a value.
	Text string
}

// Error returns "source:line: path: text", without the parts that are unknown.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	return b.String() + p.Text
}

// Problems is everything that is wrong with a configuration, in the order of
// the file's lines.
type Problems []*Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As each [Problem].
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// err returns the problems as an error, nil if there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// sort puts the problems in the order of the lines; those without one, which
// come from the environment or from a missing section, follow.
func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b *Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Compare(a.Line, b.Line)
	})
}

// covers reports whether a problem stands at path or at what is around it.
func (ps Problems) covers(path string) bool {
	for at := path; ; at = parent(at) {
		if slices.ContainsFunc(ps, func(p *Problem) bool { return p.Path == at }) {
			return true
		}
		if at == "" {
			return false
		}
	}
}
