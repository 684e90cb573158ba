package imports

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// failures is the page that says which test shows what.
const failures = root + "/docs/failures.md"

// Its lines are numbered to this one. Those that are about reading the log have
// a test each; others may say that there is nothing yet that could fail.
const (
	lastFailure       = 34
	firstOfTheLog     = 13
	lastOfTheLog      = 29
	columnsOfAFailure = 4
)

var (
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z0-9]\w*)\(\w+ \*testing\.[TF]\)`)
	// numbered is the comment above a test that names its lines of the page.
	numbered = regexp.MustCompile(`(?m)^// Failures? ([\d and]+) of docs/failures\.md\.\nfunc (\w+)\(`)
	testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Z0-9]\\w*)`")
)

// testFunctions returns all tests there are, by their names, with the numbers that
// the comments above them give.
func testFunctions(t *testing.T) map[string][]string {
	t.Helper()
	names := make(map[string][]string)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(file, entry.Name())
		}
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		for _, match := range testFunction.FindAllSubmatch(text, -1) {
			names[string(match[1])] = []string{}
		}
		for _, match := range numbered.FindAllSubmatch(text, -1) {
			names[string(match[2])] = strings.Split(string(match[1]), " and ")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// failure is a line of the page.
type failure struct {
	number      int
	instead     string // what walherald does
	names, rest string // of the tests, and what else stands in their place
}

// readFailures returns the numbered lines of the page.
func readFailures(t *testing.T) []failure {
	t.Helper()
	page, err := os.ReadFile(failures)
	if err != nil {
		t.Fatal(err)
	}
	var all []failure
	for line := range strings.Lines(string(page)) {
		inner, ok := strings.CutPrefix(strings.TrimSpace(line), "| ")
		if !ok {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(inner, "|"), " | ")
		number, err := strconv.Atoi(strings.TrimSpace(cells[0]))
		if err != nil {
			continue // the head of a table
		}
		if len(cells) != columnsOfAFailure {
			t.Fatalf("line %d has %d columns, want %d", number, len(cells), columnsOfAFailure)
		}
		all = append(all, failure{number: number, instead: cells[2], names: cells[3], rest: testName.ReplaceAllString(cells[3], "")})
	}
	return all
}

func TestFailuresNameTestsThatExist(t *testing.T) {
	exist := testFunctions(t)
	if exist["TestFailuresNameTestsThatExist"] == nil {
		t.Fatal("the tests are not found")
	}
	var numbers []int
	for _, f := range readFailures(t) {
		numbers = append(numbers, f.number)
		names := testName.FindAllStringSubmatch(f.names, -1)
		about := f.number >= firstOfTheLog && f.number <= lastOfTheLog
		for _, name := range names {
			switch numbers := exist[name[1]]; {
			case numbers == nil:
				t.Errorf("line %d names %s, which does not exist", f.number, name[1])
			case about && !slices.Contains(numbers, strconv.Itoa(f.number)):
				t.Errorf("line %d names %s, whose comment does not name line %d", f.number, name[1], f.number)
			}
		}
		if strings.Trim(f.rest, ", ") != "" {
			t.Errorf("line %d: %q is the name of no test", f.number, f.rest)
		}
		switch {
		case len(names) > 0:
		case about:
			t.Errorf("line %d names no test", f.number)
		case !strings.Contains(f.instead, "Not yet"):
			t.Errorf("line %d names no test and does not say that there is nothing to test yet", f.number)
		}
	}
	var want []int
	for n := range lastFailure {
		want = append(want, n+1)
	}
	if !slices.Equal(numbers, want) {
		t.Errorf("the lines are numbered %v, want 1 to %d", numbers, lastFailure)
	}
}

// named is a test that a page names, or a part of one.
var named = regexp.MustCompile("`((?:Test|Fuzz)[A-Z0-9]\\w*)(?:/\\w+)?`")

func TestPagesNameTestsThatExist(t *testing.T) {
	exist := testFunctions(t)
	pages, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("the pages are not found: %v", err)
	}
	for _, page := range append(pages, root+"/README.md", root+"/ARCHITECTURE.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range named.FindAllSubmatch(text, -1) {
			if exist[string(name[1])] == nil {
				t.Errorf("%s names %s, which does not exist", filepath.Base(page), name[1])
			}
		}
	}
}
