package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	exampleFile = "../config_example.yml"
	manualFile  = "../docs/configuration.md"
)

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

// rowPattern takes apart a row of the manual that describes a key.
var rowPattern = regexp.MustCompile("(?m)^\\| `([\\w.]+)` \\| ([^|]+) \\|([^|]*)\\| ([^|]+) \\| (.+) \\|$")

func TestManualAgreesWithTheSchema(t *testing.T) {
	rows := rowPattern.FindAllStringSubmatch(read(t, manualFile), -1)
	cfg := Default()
	for _, k := range schema {
		i := slices.IndexFunc(rows, func(row []string) bool { return row[1] == k.path })
		if i < 0 {
			t.Errorf("%s is not in the manual", k.path)
			continue
		}
		v := k.in(&cfg)
		if got, want := rows[i][2], typeName(v.Type()); got != want {
			t.Errorf("%s: the manual gives the type %q, want %q", k.path, got, want)
		}
		if got, want := strings.TrimSpace(rows[i][3]), defaultCell(v); got != want {
			t.Errorf("%s: the manual gives the default %q, want %q", k.path, got, want)
		}
		if got, want := rows[i][4], "`"+strings.Join(k.env, "`, `")+"`"; got != want {
			t.Errorf("%s: the manual gives the variables %s, want %s", k.path, got, want)
		}
		rows = slices.Delete(rows, i, i+1)
	}
	for _, row := range rows {
		t.Errorf("the manual describes %s, which does not exist or is there twice", row[1])
	}
}

// itemSections are the headings below which the manual tells of the keys of the
// items of lists, and an item of each as it begins.
var itemSections = map[string]any{
	"A rule": Rule{}, "A condition": Condition{}, "A destination": defaultDestination(),
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

// itemRow takes apart a row of the manual that describes a key of an item.
var itemRow = regexp.MustCompile("(?m)^\\| `([\\w.]+)` \\| ([^|]+) \\|([^|]*)\\| ([^|]+) \\|$")

func TestManualAgreesWithTheKeysOfItems(t *testing.T) {
	manual := read(t, manualFile)
	for heading, item := range itemSections {
		_, text, _ := strings.Cut(manual, "\n### "+heading+"\n")
		text, _, _ = strings.Cut(text, "\n##")
		rows := itemRow.FindAllStringSubmatch(text, -1)
		for _, k := range itemKeysOf(reflect.ValueOf(item), "") {
			i := slices.IndexFunc(rows, func(row []string) bool { return row[1] == k.name })
			if i < 0 {
				t.Errorf("%s: %s is not in the manual", heading, k.name)
				continue
			}
			checkItemRow(t, heading, rows[i], k)
			rows = slices.Delete(rows, i, i+1)
		}
		for _, row := range rows {
			t.Errorf("%s: the manual describes %s, which does not exist or is there twice", heading, row[1])
		}
	}
}

func checkItemRow(t *testing.T, heading string, row []string, k itemKey) {
	t.Helper()
	if got, want := row[2], typeName(k.typ); got != want {
		t.Errorf("%s: %s has the type %q in the manual, want %q", heading, k.name, got, want)
	}
	if got, want := strings.TrimSpace(row[3]), defaultCell(k.value); got != want {
		t.Errorf("%s: %s has the default %q in the manual, want %q", heading, k.name, got, want)
	}
	if k.alias != "" && !strings.Contains(row[4], "Also `"+k.alias+"`.") {
		t.Errorf("%s: the manual does not say that %s is also %s", heading, k.name, k.alias)
	}
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
	for path, item := range map[string]string{
		"notifier.rules": "A rule", "notifier.rules.conditions": "A condition", "notifier.destinations": "A destination",
	} {
		for _, k := range itemKeysOf(reflect.ValueOf(itemSections[item]), path) {
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

func typeName(typ reflect.Type) string {
	switch name := strings.TrimPrefix(typ.String(), "*"); name {
	case "time.Duration":
		return "duration"
	case "config.ByteSize":
		return "size"
	case "config.Secret":
		return "secret"
	case "config.TopicsMap":
		return "mapping"
	case "[]time.Duration":
		return "list of durations"
	case "config.Masks", "config.Publishers", "config.Destinations", "config.Rules", "config.Conditions":
		return "list of mappings"
	case "config.DestinationRef":
		return "name or mapping"
	case "config.DestinationRefs":
		return "list of names or mappings"
	case "[]config.Secret":
		return "list of secrets"
	case "map[string]config.Secret":
		return "mapping of secrets"
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	names := map[reflect.Kind]string{
		reflect.String: "text", reflect.Int: "number", reflect.Float64: "number", reflect.Bool: "true or false",
		reflect.Slice: "list", reflect.Map: "mapping",
	}
	return names[typ.Kind()]
}

func defaultCell(v reflect.Value) string {
	if ds, ok := v.Interface().([]time.Duration); ok {
		return durationsCell(ds)
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		return ""
	}
	text := fmt.Sprint(v.Interface())
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// durationsCell writes durations as people do, 5m and not 5m0s.
func durationsCell(ds []time.Duration) string {
	if len(ds) == 0 {
		return ""
	}
	texts := make([]string, len(ds))
	for i, d := range ds {
		texts[i] = d.String()
		for _, zero := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(texts[i], zero) {
				texts[i] = strings.TrimSuffix(texts[i], zero[1:])
			}
		}
	}
	return "`" + strings.Join(texts, ", ") + "`"
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
