package format

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaFolder = "../../docs/schemas"

// schema compiles the published schema of an envelope.
func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	s, err := c.Compile(filepath.Join(schemaFolder, name+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// parsed returns a body as the validator wants it.
func parsed(t *testing.T, body []byte) any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return doc
}

// goldenBodies returns the bodies of a golden file by their cases.
func goldenBodies(t *testing.T, name string) map[string][]byte {
	t.Helper()
	f, err := os.ReadFile("testdata/" + name + ".golden.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string][]byte{}
	lines := bufio.NewScanner(bytes.NewReader(f))
	for lines.Scan() {
		var line struct {
			Case string
			Body json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		bodies[line.Case] = line.Body
	}
	if len(bodies) != len(goldenCases()) {
		t.Fatalf("%d bodies of %s, want %d", len(bodies), name, len(goldenCases()))
	}
	return bodies
}

func TestBodiesSatisfyTheirSchemas(t *testing.T) {
	for name := range envelopes(t) {
		s := schema(t, name)
		for about, body := range goldenBodies(t, name) {
			if err := s.Validate(parsed(t, body)); err != nil {
				t.Errorf("%s: %s: %v", name, about, err)
			}
		}
	}
}

// A schema that takes everything would prove nothing.
func TestSchemasRefuseWhatIsNoBody(t *testing.T) {
	optional := []string{"setu/old"} // the old row, which only the log may hold
	for name := range envelopes(t) {
		s := schema(t, name)
		for about, body := range goldenBodies(t, name) {
			whole := parsed(t, body).(map[string]any)
			for _, member := range slices.Sorted(maps.Keys(whole)) {
				part := maps.Clone(whole)
				delete(part, member)
				if s.Validate(part) == nil && !slices.Contains(optional, name+"/"+member) {
					t.Errorf("%s: %s: a body without %s is taken", name, about, member)
				}
				part[member] = []any{true}
				if s.Validate(part) == nil && name+"/"+member != "pgevents/id" { // which may be anything
					t.Errorf("%s: %s: a body with another %s is taken", name, about, member)
				}
			}
			whole["another"] = true
			if s.Validate(whole) == nil {
				t.Errorf("%s: %s: a body with a member that is not described is taken", name, about)
			}
		}
	}
}

// The parts of source, too, are all there.
func TestSchemasRefuseSourcesThatLackAPart(t *testing.T) {
	for _, name := range []string{EnvelopeWalherald, EnvelopeDebezium} {
		s := schema(t, name)
		body := parsed(t, goldenBodies(t, name)["an insert"]).(map[string]any)
		whole := body["source"].(map[string]any)
		for part := range whole {
			body["source"] = maps.Clone(whole)
			delete(body["source"].(map[string]any), part)
			if s.Validate(body) == nil {
				t.Errorf("%s: a source without %s is taken", name, part)
			}
		}
	}
}

func TestEverySchemaBelongsToAnEnvelope(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(schemaFolder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, strings.TrimSuffix(filepath.Base(f), ".schema.json"))
	}
	want := slices.Sorted(maps.Keys(envelopes(t)))
	want = slices.Sorted(slices.Values(append(want, "config"))) // that of configurations
	if !slices.Equal(got, want) {
		t.Errorf("%s holds the schemas of %q, want %q", schemaFolder, got, want)
	}
}
