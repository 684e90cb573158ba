// Package imports holds the project to its own shape: which package may import
// which, and how long files and functions may become. Nothing imports it.
package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/walherald/walherald/"
)

// room says what the packages of a pattern may import of our own. A pattern is
// a package, "x/*" for those right below x, or "x/..." for x and all below it.
type room struct {
	pattern string
	may     []string
}

// product is everything that is shipped; what is in internal is not: it serves
// tests, the demo and measurements.
var product = []string{"internal/service", "listener/...", "publisher/...", "config", "metrics/..."}

// Imports run one way. The first room whose pattern fits a package holds.
var rooms = []room{
	{"internal/service", product},
	{"internal/...", append([]string{"internal/..."}, product...)},
	{"cmd/walherald", product},
	{"cmd/*", append([]string{"internal/..."}, product...)},
	{"listener", []string{"listener/pgoutput", "publisher", "publisher/format", "config", "metrics"}},
	{"listener/pgoutput", nil},
	{"publisher", []string{"config", "metrics"}},
	{"publisher/format", []string{"publisher"}},
	{"publisher/nats/embedded", []string{"config", "metrics"}},
	{"publisher/notifier", []string{"publisher", "publisher/format", "publisher/notifier/rules", "config", "metrics"}},
	{"publisher/notifier/rules", []string{"publisher", "config"}},
	{"publisher/notifier/httpsend", []string{"publisher", "publisher/notifier", "config"}},
	{"publisher/notifier/text", []string{"publisher", "publisher/notifier"}},
	{"publisher/notifier/parking", []string{"publisher", "publisher/notifier", "config"}},
	// One for each kind of place notifications go to.
	{"publisher/notifier/*", []string{"publisher", "publisher/notifier", "publisher/notifier/httpsend", "publisher/notifier/text", "config"}},
	{"publisher/*", []string{"publisher", "config", "metrics"}}, // one for each kind of destination
	{"config", nil},
	{"metrics", nil},
	{"metrics/console", []string{"metrics"}},
}

func fits(pattern, pkg string) bool {
	if top, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == top || strings.HasPrefix(pkg, top+"/")
	}
	ok, err := path.Match(pattern, pkg)
	return ok && err == nil
}

// roomOf returns the room of a package; found is false if it has none.
func roomOf(pkg string) (r room, found bool) {
	i := slices.IndexFunc(rooms, func(r room) bool { return fits(r.pattern, pkg) })
	if i < 0 {
		return room{}, false
	}
	return rooms[i], true
}

func (r room) mayImport(pkg string) bool {
	return slices.ContainsFunc(r.may, func(pattern string) bool { return fits(pattern, pkg) })
}

// source is one file that is no test, whatever system it is for.
type source struct {
	name string // from the root, with slashes
	pkg  string // its folder
	set  *token.FileSet
	ast  *ast.File
}

// sources parses them all.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(file, entry.Name())
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		name = filepath.ToSlash(name)
		all = append(all, source{name: name, pkg: path.Dir(name), set: set, ast: parsed})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no source is found")
	}
	return all
}

// skipFolder leaves out what the go command leaves out of "./...".
func skipFolder(folder, name string) error {
	if folder == root {
		return nil
	}
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	if err == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return filepath.SkipDir
	}
	return nil
}

func (s source) imports(t *testing.T) []string {
	var all []string
	for _, spec := range s.ast.Imports {
		pkg, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pkg)
	}
	return all
}

func TestNoPackageImportsUpward(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		r, found := roomOf(s.pkg)
		if !found {
			t.Errorf("%s: package %s has no rule here; give it one", s.name, s.pkg)
		}
		used[r.pattern] = true
		for _, imported := range s.imports(t) {
			if own, ok := strings.CutPrefix(imported, module); ok && found && !r.mayImport(own) {
				t.Errorf("%s imports %s, but %s may import only %v", s.name, own, r.pattern, r.may)
			}
		}
	}
	for _, r := range rooms {
		if !used[r.pattern] {
			t.Errorf("the rule for %s is for no package", r.pattern)
		}
	}
}

func TestTheRulesRefuseWhatRunsUpward(t *testing.T) {
	for _, tt := range []struct {
		importer, imported string
		want               bool
	}{
		{"cmd/walherald", "listener", true},
		{"cmd/walherald", "internal/service", true},
		{"cmd/walherald", "internal/pgserver", false},
		{"internal/service", "internal/pgserver/child", false},
		{"listener", "publisher/format", true},
		{"listener", "publisher/nats", false},
		{"listener", "internal/service", false},
		{"listener", "internal/pgserver", false},
		{"listener/pgoutput", "config", false},
		{"publisher", "publisher/format", false},
		{"publisher", "listener", false},
		{"publisher/format", "config", false},
		{"publisher/nats", "publisher", true},
		{"publisher/nats", "publisher/kafka", false},
		{"publisher/nats", "publisher/nats/embedded", false},
		{"publisher/nats/embedded", "publisher", false},
		{"publisher/notifier", "publisher/notifier/webhook", false},
		{"publisher/notifier/webhook", "publisher/notifier/httpsend", true},
		{"publisher/notifier/webhook", "publisher/notifier/slack", false},
		{"publisher/notifier/rules", "publisher/notifier", false},
		{"config", "metrics", false},
		{"metrics", "config", false},
		{"internal/bench", "internal/pgserver", true},
	} {
		r, found := roomOf(tt.importer)
		if got := found && r.mayImport(tt.imported); got != tt.want {
			t.Errorf("%s may import %s: %v", tt.importer, tt.imported, got)
		}
	}
	if r, found := roomOf("somewhere/else"); found {
		t.Errorf("a package of no room has the rule %v", r)
	}
}

// The decoder reads what strangers send, so all of it should be in sight.
func TestDecoderImportsTheStandardLibraryAlone(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg != "listener/pgoutput" {
			continue
		}
		for _, imported := range s.imports(t) {
			if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s", s.name, imported)
			}
		}
	}
}

// The most lines a file and a function may have.
const (
	maxFile     = 450
	maxFunction = 80
)

// longer lists what may be longer, as "file" or "file: function", and why.
var longer = map[string]string{}

func TestFilesAndFunctionsStayShort(t *testing.T) {
	excused := map[string]bool{}
	check := func(what string, lines, most int) {
		if lines <= most {
			return
		}
		excused[what] = true
		if longer[what] == "" {
			t.Errorf("%s has %d lines, %d are the most", what, lines, most)
		}
	}
	for _, s := range sources(t) {
		check(s.name, s.lines(s.ast.FileStart, s.ast.FileEnd), maxFile)
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				check(s.name+": "+f.Name.Name, s.lines(f.Pos(), f.End()), maxFunction)
			}
		}
	}
	for what := range longer {
		if !excused[what] {
			t.Errorf("%s need not be excused any more", what)
		}
	}
}

// lines counts the lines from one position to another.
func (s source) lines(from, to token.Pos) int {
	return s.set.PositionFor(to, false).Line - s.set.PositionFor(from, false).Line + 1
}
