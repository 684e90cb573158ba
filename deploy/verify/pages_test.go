package verify

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const metricsPage = "../../docs/metrics.md"

// quoted is a name in a cell of a table.
var quoted = regexp.MustCompile("`(\\w+)`")

// pageOfMetrics returns what the tables of the page say, by name.
func pageOfMetrics(t *testing.T) map[string]family {
	t.Helper()
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]family)
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			t.Fatalf("a line has %d cells, want 5: %s", len(cells), line)
		}
		f := family{name: quoted.FindStringSubmatch(cells[0])[1], kind: strings.TrimSpace(cells[1])}
		for _, label := range quoted.FindAllStringSubmatch(cells[2], -1) {
			f.labels = append(f.labels, label[1])
		}
		slices.Sort(f.labels)
		if _, twice := all[f.name]; twice {
			t.Errorf("%s has two lines", f.name)
		}
		if strings.TrimSpace(cells[3]) == "" {
			t.Errorf("%s has no meaning", f.name)
		}
		all[f.name] = f
	}
	return all
}

func TestPageOfMetricsHasAllOfThemAndNoOther(t *testing.T) {
	page, code := pageOfMetrics(t), catalogue(t)
	for name, want := range code {
		got, there := page[name]
		switch {
		case !want.own():
		case !there:
			t.Errorf("%s is not on the page", name)
		case got.kind != want.kind || !slices.Equal(got.labels, want.labels):
			t.Errorf("%s is a %s with %v on the page, and a %s with %v in the code", name, got.kind, got.labels, want.kind, want.labels)
		}
	}
	for name := range page {
		if _, there := code[name]; !there {
			t.Errorf("%s is on the page and not in the code", name)
		}
	}
}

func TestPagesNameMetricsThatExist(t *testing.T) {
	all := catalogue(t)
	series := seriesOf(all)
	for _, file := range []string{metricsPage, runbooksFile, "../../docs/notifier.md"} {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile("`((?:walherald|process|go)_\\w+?)(?:\\{[^`]*)?`").FindAllSubmatch(page, -1) {
			_, asked := series[string(name[1])]
			if _, registered := all[string(name[1])]; !asked && !registered {
				t.Errorf("%s names %s, which does not exist", file, name[1])
			}
		}
	}
}
