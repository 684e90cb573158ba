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

func TestExampleShowsAndExplainsEveryKey(t *testing.T) {
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
	lines := strings.Split(text, "\n")
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

func typeName(typ reflect.Type) string {
	switch name := typ.String(); name {
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
	case "config.Masks", "config.Publishers", "config.Destinations", "config.Rules":
		return "list of mappings"
	}
	names := map[reflect.Kind]string{
		reflect.String: "text", reflect.Int: "number", reflect.Bool: "true or false",
		reflect.Slice: "list", reflect.Map: "mapping",
	}
	return names[typ.Kind()]
}

func defaultCell(v reflect.Value) string {
	if ds, ok := v.Interface().([]time.Duration); ok {
		return durationsCell(ds)
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
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
