package config

import (
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const manualFile = "../docs/configuration.md"

// update writes what is generated instead of comparing it: make docs.
var update = flag.Bool("update", false, "write the generated pages")

// fresh compares a generated file with what it should be, or writes it.
func fresh(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if read(t, path) != want {
		t.Errorf("%s is not what config/reference.yml and the structs say; run: make docs", path)
	}
}

// block is a place in the manual where a table is generated. It is marked with the
// sections whose keys the table has, or with a kind of items.
var block = regexp.MustCompile(`(?s)(<!-- (keys|items): ([\w ]+) -->\n).*?(<!-- end -->\n)`)

// listBlock is where the manual lists the keys that can be reloaded.
var listBlock = regexp.MustCompile(`(?s)(<!-- reloadable -->\n).*?(<!-- end -->\n)`)

// reloadableList writes them, a section or several a line.
func reloadableList() string {
	var b strings.Builder
	for i, path := range append(slices.Clone(reloadable), "notifier.rules") {
		section, _, _ := strings.Cut(path, ".")
		switch {
		case i > 0 && strings.HasPrefix(reloadable[i-1], section+"."):
			b.WriteString(", `" + path + "`")
		case i > 0:
			b.WriteString("\n- `" + path + "`")
		default:
			b.WriteString("- `" + path + "`")
		}
	}
	return b.String() + "\n"
}

func TestManualIsFresh(t *testing.T) {
	manual := listBlock.ReplaceAllStringFunc(read(t, manualFile), func(text string) string {
		parts := listBlock.FindStringSubmatch(text)
		return parts[1] + reloadableList() + parts[2]
	})
	fresh(t, manualFile, block.ReplaceAllStringFunc(manual, func(text string) string {
		parts := block.FindStringSubmatch(text)
		table := itemTable
		if parts[2] == "keys" {
			table = keyTable
		}
		return parts[1] + table(t, parts[3]) + parts[4]
	}))
}

func TestManualHasEveryTableOnce(t *testing.T) {
	var got []string
	for _, parts := range block.FindAllStringSubmatch(read(t, manualFile), -1) {
		got = append(got, strings.Fields(parts[3])...)
	}
	var want []string
	for _, f := range fieldsOf(reflect.TypeFor[Config]()) {
		want = append(want, f.name)
	}
	for _, kind := range itemKinds {
		if kind.name != "publisher" { // whose keys are those of the section
			want = append(want, kind.name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the manual has the tables %q, want %q", got, want)
	}
}

// cell writes a text as code, and nothing as nothing.
func cell(text string) string {
	if text == "" {
		return " "
	}
	return " `" + text + "` "
}

// also names the other spelling of a key.
func also(alias string) string {
	if alias == "" {
		return ""
	}
	return " Also `" + alias + "`."
}

func keyTable(t *testing.T, sections string) string {
	t.Helper()
	cfg := Default()
	var b strings.Builder
	b.WriteString("| key | type | default | variable | meaning |\n|---|---|---|---|---|\n")
	for _, m := range reference().Keys {
		if section, _, _ := strings.Cut(m.Key, "."); !slices.Contains(strings.Fields(sections), section) {
			continue
		}
		i := slices.IndexFunc(schema, func(k key) bool { return k.path == m.Key })
		if i < 0 {
			t.Errorf("the reference has %s, which is no key", m.Key)
			continue
		}
		v := schema[i].in(&cfg)
		b.WriteString("| `" + m.Key + "` | " + typeName(v.Type()) + " |" + cell(defaultText(v)) + "| `" +
			strings.Join(schema[i].env, "`, `") + "` | " + m.Text + also(aliasOf(m.Key)) + " |\n")
	}
	return b.String()
}

// aliasOf returns the other spelling of the key at path.
func aliasOf(path string) string {
	section, name, _ := strings.Cut(path, ".")
	if section != "publisher" {
		return ""
	}
	for _, f := range fieldsOf(reflect.TypeFor[Publisher]()) {
		if f.name == name {
			return f.alias
		}
	}
	return ""
}

func itemTable(t *testing.T, kind string) string {
	t.Helper()
	keys := itemKeysOf(reflect.ValueOf(itemOf(kind)), "")
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, m := range reference().Items {
		name, ok := strings.CutPrefix(m.Key, kind+".")
		if !ok {
			continue
		}
		i := slices.IndexFunc(keys, func(k itemKey) bool { return k.name == name })
		if i < 0 {
			t.Errorf("the reference has %s, which is no key", m.Key)
			continue
		}
		k := keys[i]
		b.WriteString("| `" + name + "` | " + typeName(k.typ) + " |" + cell(defaultText(k.value)) + "| " + m.Text + also(k.alias) + " |\n")
	}
	return b.String()
}

func TestReferenceTellsOfEveryKeyOnce(t *testing.T) {
	var want, got []string
	for _, k := range schema {
		want = append(want, k.path)
	}
	for _, kind := range itemKinds {
		if kind.name == "publisher" {
			continue
		}
		for _, k := range itemKeysOf(reflect.ValueOf(kind.item), kind.name) {
			want = append(want, k.name)
		}
	}
	for _, m := range slices.Concat(reference().Keys, reference().Items) {
		got = append(got, m.Key)
		if m.Text == "" || strings.ContainsAny(m.Text, "\n|") {
			t.Errorf("%s: the text has to be one line without |, and not empty", m.Key)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	for _, path := range want {
		if !slices.Contains(got, path) {
			t.Errorf("the reference does not tell of %s", path)
		}
	}
	for i, path := range got {
		if !slices.Contains(want, path) || i > 0 && got[i-1] == path {
			t.Errorf("the reference tells of %s, which does not exist or is there twice", path)
		}
	}
}
