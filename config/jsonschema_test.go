package config

import (
	"bytes"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

const schemaFile = "../docs/schemas/config.schema.json"

func TestSchemaIsFresh(t *testing.T) {
	text, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	fresh(t, schemaFile, string(text))
}

func TestSchemaIsTheSameEveryTime(t *testing.T) {
	first, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if again, err := JSONSchema(); err != nil || !bytes.Equal(again, first) {
			t.Fatalf("another schema, error %v", err)
		}
	}
}

// compiled returns the schema that is made now, or the part of it at the pointer.
func compiled(t *testing.T, pointer string) *jsonschema.Schema {
	t.Helper()
	text, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.schema.json" + pointer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// conforms validates YAML as an editor does.
func conforms(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return s.Validate(doc)
}

// examples are the files that show configurations, beside the pages.
func examples(t *testing.T) []string {
	t.Helper()
	deployed, err := filepath.Glob("../deploy/examples/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	return append(deployed, exampleFile, "testdata/wal-listener.yml", "testdata/wal-listener-include.yml")
}

func TestSchemaAcceptsEveryExample(t *testing.T) {
	s := compiled(t, "")
	for _, path := range examples(t) {
		if err := conforms(t, s, read(t, path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := conforms(t, s, leftOut.ReplaceAllString(read(t, exampleFile), "$1$2")); err != nil {
		t.Errorf("%s with the keys that it leaves out: %v", exampleFile, err)
	}
}

func TestSchemaAcceptsEveryExampleOfThePages(t *testing.T) {
	whole, destinations := compiled(t, ""), compiled(t, "#/properties/notifier/properties/destinations")
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, page := range append(pages, "../README.md") {
		for _, parts := range yamlBlock.FindAllStringSubmatch(read(t, page), -1) {
			var doc yaml.Node
			if err := yaml.Unmarshal([]byte(parts[1]), &doc); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, parts[1])
				continue
			}
			s := whole
			switch root := doc.Content[0]; {
			case root.Kind == yaml.SequenceNode:
				s = destinations
			case isActivation(root), !isConfiguration(root):
				continue
			}
			seen++
			if err := conforms(t, s, parts[1]); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, parts[1])
			}
		}
	}
	if seen < 15 {
		t.Errorf("found %d examples", seen)
	}
}

// isConfiguration tells a piece of a configuration from other YAML, such as what is for
// Kubernetes or Prometheus: one of its keys is a section.
func isConfiguration(root *yaml.Node) bool {
	for _, f := range fieldsOf(reflect.TypeFor[Config]()) {
		if valueOf(root, f.name) != nil {
			return true
		}
	}
	return false
}

func TestSchemaRefusesWhatLoadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"key at the top":          "listners: {}",
		"misspelt key":            "publisher: {adress: a}",
		"key of another section":  "listener: {sentryDSN: a}",
		"key of an item":          "publishers: [{type: nats, topics: a}]",
		"key in a list in a list": "notifier: {rules: [{conditions: [{field: a, new: 1}]}]}",
		"key of a written one":    "notifier: {rules: [{destination: {type: webhook, adress: a}}]}",
		"destination without":     "notifier: {destinations: [{url: 'https://a'}]}",
		"condition without":       "notifier: {rules: [{conditions: [{new_value: 1}]}]}",
		"mask without":            "listener: {mask: [{table: a, with: hash}]}",
		"unknown value":           "publisher: {type: postcard}",
		"unknown action":          "listener: {filter: {tables: {a: [upsert]}}}",
		"duration without a unit": "listener: {ackTimeout: 10}",
		"duration of letters":     "listener: {ackTimeout: soon}",
		"negative duration":       "listener: {ackTimeout: -1s}",
		"size of letters":         "listener: {window: large}",
		"unit of size":            "listener: {window: 16Mi}",
		"text for a number":       "database: {port: many}",
		"number too large":        "database: {port: 65536}",
		"fraction":                "publisher: {nats: {replicas: 1.5}}",
		"text for a switch":       "database: {enableTLS: 'yes'}",
		"mapping for a text":      "database: {host: {a: b}}",
		"list for a mapping":      "publisher: [{type: nats}]",
		"text for a mapping":      "tags: a",
		"mapping for a list":      "notifier: {rules: {name: a}}",
	} {
		if _, err := load("config.yml", []byte(minimalBut(text))); err == nil {
			t.Errorf("%s: Load accepts %s", name, text)
		}
		if conforms(t, compiled(t, ""), text) == nil {
			t.Errorf("%s: the schema accepts %s", name, text)
		}
	}
}

// minimalBut returns the minimal configuration with the sections of text in the place
// of its own.
func minimalBut(text string) string {
	var base, over map[string]any
	if yaml.Unmarshal([]byte(minimal), &base) != nil || yaml.Unmarshal([]byte(text), &over) != nil {
		panic("no YAML: " + text)
	}
	for name, section := range over {
		below, isMap := base[name].(map[string]any)
		more, both := section.(map[string]any)
		if isMap && both {
			maps.Copy(below, more)
		} else {
			base[name] = section
		}
	}
	out, err := yaml.Marshal(base)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func TestSchemaAcceptsEveryWayToWriteAValue(t *testing.T) {
	for _, text := range []string{
		"listener: {ackTimeout: 1h30m, drainTimeout: 1.5s, heartbeatInterval: 500ms, refreshConnection: 0}",
		"listener: {window: 1048576}",
		"listener: {window: 64KiB}",
		"listener: {window: '1 MB'}",
		"listener: {publication: shop}",
		"listener: {publication: {name: shop, tables: 'a,b'}}",
		"listener: {messages: outbox, exclude: {columns: 'a, b', tables: [c]}}",
		"listener: {filter: {tables: {a: insert, b: 'insert,update', c: [delete]}}}",
		"listener: {exclude: , topicsMap: {a: b, /c(.*)/: 'd.${1}'}}",
		"listener: {maskKey: 0123456789abcdef0123, mask: [{table: a, column: b, with: null}, {table: a, column: c, with: hash}]}",
		"database: {name: 0123, password: 0123, user: true}",
		"publisher: {address: 'a:1,b:2', enable_tls: false}",
		"notifier: {parking: {schedule: '5s,1m', maxAge: 0}}",
		"notifier: {rules: [{op_type: update, destination: {type: slack, token: a, channel: b, backoff: 5s, rate: 0.5}}]}",
		"notifier: {rules: [{opType: '*', conditions: [{field: a, oldValue: 5, in: [1, 2], is_null: false}], destination: {type: webhook, url: 'http://a', headers: {A: 5}}}]}",
		"notifier:\n",
		"tags: {a: 5}",
	} {
		if _, err := load("config.yml", []byte(minimalBut(text))); err != nil {
			t.Errorf("Load refuses %s:\n%v", text, err)
		}
		if err := conforms(t, compiled(t, ""), text); err != nil {
			t.Errorf("the schema refuses %s:\n%v", text, err)
		}
	}
	// What ${name} stands for is not known to an editor.
	for _, text := range []string{"database: {port: '${PORT}', enableTLS: '${TLS}', sslMode: '${env:MODE}'}"} {
		if err := conforms(t, compiled(t, ""), text); err != nil {
			t.Errorf("the schema refuses %s:\n%v", text, err)
		}
	}
}

func TestSchemaDescribesEveryKey(t *testing.T) {
	var walk func(at string, s *jsonschema.Schema)
	walk = func(at string, s *jsonschema.Schema) {
		for name, p := range s.Properties {
			if p.Description == "" {
				t.Errorf("%s.%s has no description", at, name)
			}
			walk(at+"."+name, p)
		}
		for _, p := range s.AnyOf {
			walk(at, p)
		}
	}
	walk("", compiled(t, ""))
	for _, kind := range itemKinds {
		walk(kind.name, compiled(t, "#/$defs/"+kind.name))
	}
}

// inPlace returns YAML in which the key of the reference at path has the value, with
// what an item of its kind needs beside it, and the path that Load gives the key.
func inPlace(path, value string) (text, at string) {
	kind, rest, _ := strings.Cut(path, ".")
	around := map[string][2]string{
		"mask":        {"listener: {maskKey: 0123456789abcdef, mask: [{table: a, column: b, ", "listener.mask[0]"},
		"condition":   {"notifier: {rules: [{destination: d, conditions: [{", "notifier.rules[0].conditions[0]"},
		"rule":        {"notifier: {rules: [{", "notifier.rules[0]"},
		"destination": {"notifier: {destinations: [{name: d, url: 'https://a', ", "notifier.destinations[0]"},
	}
	head, item := around[kind][0], around[kind][1]
	if item == "" {
		head, item = kind+": {", kind
	} else if kind == "destination" && rest != "type" {
		head += "type: webhook, "
	}
	head += strings.ReplaceAll(rest, ".", ": {") + ": " + value
	text = head + balanced(head)
	return text, item + "." + rest
}

// balanced returns what closes the brackets that are open at the end of text.
func balanced(text string) string {
	var open []byte
	for i := range len(text) {
		switch text[i] {
		case '{', '[':
			open = append(open, text[i]+2) // } and ] are two behind
		case '}', ']':
			open = open[:len(open)-1]
		}
	}
	slices.Reverse(open)
	return string(open)
}

// complaints returns what Load says of the key at path, or of an item below it.
func complaints(text, path, about string) []string {
	_, err := load("config.yml", []byte(minimalBut(text)))
	var found []string
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if strings.Contains(line, " "+path) && strings.Contains(line, about) {
				found = append(found, line)
			}
		}
	}
	return found
}

var tableOf = regexp.MustCompile(`filter\.tables$|include\.tables$`)

func TestValuesOfTheReferenceAreThoseThatLoadTakes(t *testing.T) {
	for _, m := range slices.Concat(reference().Keys, reference().Items) {
		write := func(value string) string {
			if tableOf.MatchString(m.Key) {
				return "{t: [" + value + "]}"
			}
			return value
		}
		for _, value := range m.Values {
			text, at := inPlace(m.Key, write(strconv.Quote(value)))
			if got := complaints(text, at, "is none of"); len(got) > 0 {
				t.Errorf("%s: %q", m.Key, got)
			}
		}
		if len(m.Values) == 0 {
			continue
		}
		text, at := inPlace(m.Key, write("nonesuch"))
		got := complaints(text, at, "is none of")
		if len(got) != 1 {
			t.Errorf("%s: of an unknown value Load says %q in %s", m.Key, got, text)
			continue
		}
		for _, value := range m.Values {
			if !strings.Contains(got[0], value) {
				t.Errorf("%s: %s is not in %q", m.Key, value, got[0])
			}
		}
		_, list, _ := strings.Cut(got[0], "is none of ")
		if list, _, _ = strings.Cut(list, ";"); len(strings.Split(list, ", ")) != len(m.Values) {
			t.Errorf("%s: the reference has %q, Load %q", m.Key, m.Values, list)
		}
	}
}

func TestBoundsOfTheReferenceAreThoseThatLoadHolds(t *testing.T) {
	for _, m := range slices.Concat(reference().Keys, reference().Items) {
		try := func(bound *float64, beyond float64) {
			if bound == nil {
				return
			}
			text, at := inPlace(m.Key, strconv.FormatFloat(*bound, 'f', -1, 64))
			if got := complaints(text, at, "must"); len(got) > 0 {
				t.Errorf("%s: %q", m.Key, got)
			}
			text, at = inPlace(m.Key, strconv.FormatFloat(*bound+beyond, 'f', -1, 64))
			if got := complaints(text, at, "must"); len(got) != 1 {
				t.Errorf("%s: beyond its bound Load says %q", m.Key, got)
			}
		}
		try(m.Least, -1)
		try(m.Most, 1)
	}
}
