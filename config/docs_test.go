package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const exampleFile = "../config_example.yml"

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExampleLoads(t *testing.T) {
	cfg := mustLoad(t, exampleFile)
	if cfg.Publisher.Type != PublisherNATS || len(cfg.Tags) == 0 {
		t.Errorf("the example is not the one for NATS: %+v", cfg)
	}
}

var (
	// leftOut is how the example writes a key that it does not set.
	leftOut = regexp.MustCompile(`(?m)^(\s*)#([\w-])`)
	comment = regexp.MustCompile(`(?m)^\s*# `)
)

// wholeExample decodes the example with the keys that it leaves out, which as a
// whole contradict each other, and returns its lines too.
func wholeExample(t *testing.T) (*Config, *decoder, []string) {
	t.Helper()
	text := leftOut.ReplaceAllString(read(t, exampleFile), "$1$2")
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	d := &decoder{source: exampleFile, lined: true, origins: origins{}}
	d.value(doc.Content[0], "", reflect.ValueOf(&cfg).Elem())
	if len(d.problems) > 0 {
		t.Errorf("with the keys it leaves out, the example has problems:\n%v", d.problems)
	}
	return &cfg, d, strings.Split(text, "\n")
}

func TestExampleShowsAndExplainsEveryKey(t *testing.T) {
	_, d, lines := wholeExample(t)
	for _, k := range schema {
		o, ok := d.origins[k.path]
		switch {
		case !ok:
			t.Errorf("%s is not in the example", k.path)
		case !comment.MatchString(lines[o.line-2]):
			t.Errorf("%s has no comment above its line %d", k.path, o.line)
		}
	}
}

// itemKey is a key of an item.
type itemKey struct {
	field
	value reflect.Value
}

// itemKeysOf returns the keys of an item, those of its sections behind their name.
func itemKeysOf(item reflect.Value, path string) []itemKey {
	var keys []itemKey
	for _, f := range fieldsOf(item.Type()) {
		f.name = join(path, f.name)
		if v := item.Field(f.index); v.Kind() == reflect.Struct {
			keys = append(keys, itemKeysOf(v, f.name)...)
		} else {
			keys = append(keys, itemKey{f, v})
		}
	}
	return keys
}

// itemOf returns an item of the kind as it begins.
func itemOf(kind string) any {
	i := slices.IndexFunc(itemKinds, func(k itemKind) bool { return k.name == kind })
	return itemKinds[i].item
}

var position = regexp.MustCompile(`\[\d+\]`)

func TestExampleShowsAndExplainsEveryKeyOfItems(t *testing.T) {
	cfg, d, lines := wholeExample(t)
	// A key can be in several items; it is explained in one of them.
	explained := make(map[string]bool)
	for path, o := range d.origins {
		if o.line > 1 && comment.MatchString(lines[o.line-2]) {
			explained[position.ReplaceAllString(path, "")] = true
		}
	}
	for path, kind := range map[string]string{
		"notifier.rules": "rule", "notifier.rules.conditions": "condition", "notifier.destinations": "destination",
	} {
		for _, k := range itemKeysOf(reflect.ValueOf(itemOf(kind)), path) {
			if !explained[k.name] {
				t.Errorf("%s is not in the example, or without a comment above it", k.name)
			}
		}
	}
	// What ${name} stands for is not known here.
	cfg.Secrets.Lenient = true
	for _, p := range cfg.check() {
		if position.MatchString(p.Path) && strings.HasPrefix(p.Path, "notifier.") {
			t.Errorf("the rules and destinations of the example are not valid: %v", p)
		}
	}
}

const notifierFile = "../docs/notifier.md"

var (
	yamlBlock   = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	placeholder = regexp.MustCompile(`\$\{[^}]+\}`)
)

func TestExamplesOfTheNotifiersManualAreRight(t *testing.T) {
	blocks := yamlBlock.FindAllStringSubmatch(read(t, notifierFile), -1)
	if len(blocks) < 2 {
		t.Fatalf("%s has %d examples", notifierFile, len(blocks))
	}
	for i, block := range blocks {
		text := strings.ReplaceAll(block[1], "${SLACK_URL}", "https://hooks.example.org/x")
		// What else is secret may be anything, as long as it can sign.
		text = placeholder.ReplaceAllString(text, strings.Repeat("A", 32))
		if i > 0 {
			text = strings.Replace(minimal, "publisher:\n  type: stdout\n", text, 1)
		}
		cfg := mustLoad(t, writeConfig(t, text))
		if len(cfg.Notifications()) == 0 {
			t.Errorf("example %d sends nothing anywhere", i)
		}
	}
}
