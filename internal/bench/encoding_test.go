package main

import (
	"strings"
	"testing"
)

// printed is what three runs of the benchmark print.
const printed = `goos: linux
pkg: github.com/walherald/walherald/listener
BenchmarkBodyOfSixColumnRow-2   	 5121214	       235.5 ns/op	1371.42 MB/s	       0 B/op	       0 allocs/op
BenchmarkBodyOfSixColumnRow-2   	 5121214	       229 ns/op	1410.48 MB/s	       0 B/op	       0 allocs/op
BenchmarkBodyOfSixColumnRow-2   	 5121214	       301.25 ns/op	1072.20 MB/s	      16 B/op	       1 allocs/op
PASS
`

func TestEncodingIsReadFromWhatTheBenchmarkPrints(t *testing.T) {
	got, err := parseEncoding(printed, fromRow, 3)
	if err != nil {
		t.Fatal(err)
	}
	if want := (encoding{Title: fromRow.title, FromRow: true, Nanos: spread{235.5, 229, 301.25}, Allocs: spread{0, 0, 1}}); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
}

func TestEncodingWithoutItsRunsIsAnError(t *testing.T) {
	for what, text := range map[string]string{
		"renamed":             strings.ReplaceAll(printed, "BodyOf", "OtherBodyOf"),
		"no benchmark":        "testing: warning: no tests to run\nPASS\n",
		"no allocations":      strings.ReplaceAll(printed, "allocs/op", "others/op"),
		"not a number":        strings.Replace(printed, "235.5", "much", 1),
		"a run fewer":         strings.Replace(printed, "BenchmarkBodyOfSixColumnRow-2", "---", 1),
		"name without figure": "BenchmarkBodyOfSixColumnRow\n",
	} {
		if got, err := parseEncoding(text, fromRow, 3); err == nil {
			t.Errorf("%s: got %+v and no error", what, got)
		}
	}
}

func TestPatternSelectsOneEnvelopeAlone(t *testing.T) {
	e := encodingBenchmark{"walherald", formatPackage, "BenchmarkInsertOfSixColumns/walherald"}
	if got, want := e.pattern(), "^BenchmarkInsertOfSixColumns$/^walherald$"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
