package pages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// texts returns all string literals of the sources that are no tests, one to a line;
// those that are put together by + as one.
func texts(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, folder := range []string{"cmd/walherald", "config", "internal/service", "listener", "metrics", "publisher"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				e, ok := n.(ast.Expr)
				if !ok {
					return true
				}
				text := literal(e)
				if text != "" {
					all.WriteString(text + "\n")
				}
				return text == ""
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// literal returns the text of a literal, or of literals and other things that are put
// together; of the latter a line break.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		left, right := literal(e.X), literal(e.Y)
		if e.Op == token.ADD && left+right != "" {
			return orBreak(left) + orBreak(right)
		}
	}
	return ""
}

func orBreak(text string) string {
	if text == "" {
		return "\n"
	}
	return text
}

var (
	// firstCell is the first cell of a line of a table, code what it quotes.
	firstCell = regexp.MustCompile(`(?m)^\| ([^|]*) \|`)
	code      = regexp.MustCompile("`([^`]+)`")
)

// quotedLeast is the shortest part of a message between what differs that is looked for:
// shorter ones stand everywhere.
const quotedLeast = 8

func TestMessagesThatPagesQuoteStandInTheSources(t *testing.T) {
	sources := texts(t)
	var found int
	for _, cell := range firstCell.FindAllStringSubmatch(read(t, "docs/troubleshooting.md"), -1) {
		for _, quoted := range code.FindAllStringSubmatch(cell[1], -1) {
			if !strings.Contains(quoted[1], " ") {
				continue // a name, such as that of a view of PostgreSQL
			}
			for part := range strings.SplitSeq(quoted[1], "…") {
				if part = strings.TrimSpace(part); len(part) < quotedLeast {
					continue
				}
				found++
				if !strings.Contains(sources, part) {
					t.Errorf("%q stands nowhere in the sources (of %q)", part, quoted[1])
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d parts of messages are found on the page", found)
	}
}
