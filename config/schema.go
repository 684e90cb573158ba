package config

import (
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// envPrefix begins the name of every variable that sets a key.
const envPrefix = "WAL"

// field is one key of a section, as the struct tags describe it.
type field struct {
	name  string
	alias string
	env   string
	index int
	typ   reflect.Type
}

// fieldsOf lists the keys of a section in the order of the struct.
func fieldsOf(section reflect.Type) []field {
	var fields []field
	for i := range section.NumField() {
		f := section.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		fields = append(fields, field{name, f.Tag.Get("alias"), f.Tag.Get("env"), i, f.Type})
	}
	return fields
}

// answersTo reports whether name is a spelling of the key. Case is no matter:
// wal-listener's is none either.
func (f field) answersTo(name string) bool {
	return strings.EqualFold(f.name, name) || f.alias != "" && strings.EqualFold(f.alias, name)
}

// key is one key of the whole schema that holds a value, not a section.
type key struct {
	path string
	// env names the variables that set the key, the first one first.
	env []string
	// index leads from Config to the field.
	index []int
}

// schema is every key in the order of the structs.
var schema = keysOf(reflect.TypeFor[Config](), "", nil)

func keysOf(section reflect.Type, path string, index []int) []key {
	var keys []key
	for _, f := range fieldsOf(section) {
		at, in := join(path, f.name), append(index[:len(index):len(index)], f.index)
		if s, ok := sectionType(f.typ); ok {
			keys = append(keys, keysOf(s, at, in)...)
			continue
		}
		env := []string{envName(at)}
		if f.alias != "" {
			env = append(env, envName(join(path, f.alias)))
		}
		if f.env != "" {
			env = append(env, f.env)
		}
		keys = append(keys, key{at, env, in})
	}
	return keys
}

// sectionType returns the struct that t is or points to.
func sectionType(t reflect.Type) (section reflect.Type, ok bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t, t.Kind() == reflect.Struct
}

// in returns the key's field in cfg, making the optional sections on the way.
func (k key) in(cfg *Config) reflect.Value {
	v := reflect.ValueOf(cfg).Elem()
	for _, i := range k.index {
		v = present(v).Field(i)
	}
	return v
}

// present follows v if it is a pointer, making what it should point to with its
// defaults.
func present(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
		if d, ok := v.Interface().(interface{ setDefaults() }); ok {
			d.setDefaults()
		}
	}
	return v.Elem()
}

// envName returns the variable that sets the key at path.
func envName(path string) string {
	return envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// join appends the name of a key to the path of its section.
func join(path, name string) string {
	if path == "" {
		return printable(name)
	}
	return path + "." + printable(name)
}

// entry appends a key that the user chose, as those of a map, to a path.
func entry(path, name string) string { return path + "[" + printable(name) + "]" }

// printable quotes a name that would break out of its line.
func printable(name string) string {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// parent returns the path of what is around path, "" for the whole file.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
