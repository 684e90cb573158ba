package rules

import (
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/file"
)

// wholeProgram compiles an expression for the virtual machine alone.
func wholeProgram(t testing.TB, when string) term {
	t.Helper()
	config := newConfig(expr.Patch(nilRules{}))
	tree, err := checker.ParseCheck(when, config)
	if err != nil {
		t.Fatal(err)
	}
	c := compiler{config: config, source: file.NewSource(when)}
	made := c.program(tree.Node)
	if c.err != nil {
		t.Fatal(c.err)
	}
	return made
}
