package format

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// manual returns the sections of docs/envelopes.md by their titles.
func manual(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/envelopes.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(text), "\n## ")[1:] {
		title, rest, _ := strings.Cut(s, "\n")
		sections[title] = rest
	}
	return sections
}

// The examples may be broken into lines, and are a golden file's bodies else.
func TestExamplesOfTheManualAreRealBodies(t *testing.T) {
	example := regexp.MustCompile("(?s)```json\n(.*?)```")
	compact := func(text []byte) string {
		var out bytes.Buffer
		if err := json.Compact(&out, text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return out.String()
	}
	sections := manual(t)
	for name := range envelopes(t) {
		var bodies []string
		for _, b := range goldenBodies(t, name) {
			bodies = append(bodies, compact(b))
		}
		examples := example.FindAllStringSubmatch(sections[name], -1)
		if len(examples) == 0 {
			t.Errorf("the section on %s has no example", name)
		}
		for _, e := range examples {
			if !slices.Contains(bodies, compact([]byte(e[1]))) {
				t.Errorf("no golden body of %s is %s", name, e[1])
			}
		}
	}
}

func TestManualDescribesEveryMember(t *testing.T) {
	sections := manual(t)
	for name := range envelopes(t) {
		described := map[string]bool{}
		for _, line := range strings.Split(sections[name], "\n") {
			if cells := strings.Split(line, "|"); len(cells) > 2 && cells[0] == "" {
				for member := range strings.SplitSeq(cells[1], ",") {
					described[strings.Trim(member, " `")] = true
				}
			}
		}
		for about, body := range goldenBodies(t, name) {
			whole := parsed(t, body).(map[string]any)
			members := slices.Collect(maps.Keys(whole))
			if source, ok := whole["source"].(map[string]any); ok && name == EnvelopeDebezium {
				members = slices.AppendSeq(members, maps.Keys(source))
			}
			for _, member := range members {
				if !described[member] {
					t.Errorf("%s: %s: the manual says nothing of %s", name, about, member)
				}
			}
		}
	}
}
