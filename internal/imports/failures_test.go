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
	testName     = regexp.MustCompile("`((?:Test|Fuzz)[A-Z0-9]\\w*)`")
)

// testFunctions returns the names of all tests there are.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
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
			names[string(match[1])] = true
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
	if !exist["TestFailuresNameTestsThatExist"] {
		t.Fatal("the tests are not found")
	}
	var numbers []int
	for _, f := range readFailures(t) {
		numbers = append(numbers, f.number)
		names := testName.FindAllStringSubmatch(f.names, -1)
		for _, name := range names {
			if !exist[name[1]] {
				t.Errorf("line %d names %s, which does not exist", f.number, name[1])
			}
		}
		if strings.Trim(f.rest, ", ") != "" {
			t.Errorf("line %d: %q is the name of no test", f.number, f.rest)
		}
		switch about := f.number >= firstOfTheLog && f.number <= lastOfTheLog; {
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
