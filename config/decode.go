package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder copies YAML nodes into the configuration and notes every problem
// instead of stopping at the first. The nodes are decoded by hand, because the
// yaml package's own decoding quotes values in its errors and knows neither
// aliases nor positions.
type decoder struct {
	// source is the file or the variable that is being read.
	source string
	// lined says that the lines of the nodes are lines of source.
	lined    bool
	origins  origins
	problems Problems
	// secrets resolves placeholders; nil leaves them as they stand. unresolved are
	// those that stayed, fileProblems those of the secrets file.
	secrets                  *secretSource
	unresolved, fileProblems Problems
	// translations lead from the paths of keys to those of an activation file.
	translations []translation
	warnings     []string
}

// origin is the place where a key was set.
type origin struct {
	source string
	line   int
}

// origins remembers by path where each key was set.
type origins map[string]origin

// of returns the origin of path or of the nearest section around it.
func (o origins) of(path string) origin {
	for at := path; at != ""; at = parent(at) {
		if found, ok := o[at]; ok {
			return found
		}
	}
	return o[""]
}

// nodeDecoder is a type with a YAML form of its own.
type nodeDecoder interface {
	decodeNode(d *decoder, n *yaml.Node, path string)
}

func (d *decoder) at(n *yaml.Node) origin {
	if !d.lined {
		return origin{source: d.source}
	}
	return origin{d.source, n.Line}
}

func (d *decoder) problemAt(o origin, path, format string, args ...any) {
	d.problems = append(d.problems, &Problem{o.source, o.line, path, fmt.Sprintf(format, args...)})
}

func (d *decoder) problem(path, format string, args ...any) {
	d.problemAt(d.origins.of(path), path, format, args...)
}

// value copies n to v. A null leaves v as it is, as if the key were absent: an
// emptied section is written that way.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value) {
	n = target(n)
	if !d.plain(n, path) || isNull(n) {
		return
	}
	v = present(v)
	if own, ok := v.Addr().Interface().(nodeDecoder); ok {
		own.decodeNode(d, n, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.section(n, path, v)
	case reflect.Map:
		d.mapping(n, path, v)
	case reflect.Slice:
		d.list(n, path, v)
	default:
		d.scalar(n, path, v)
	}
}

// plain refuses what a value that should have been quoted turns into, a tag or
// an anchor of nothing: a password that begins with ! or & would vanish.
func (d *decoder) plain(n *yaml.Node, path string) bool {
	switch {
	case n.Style&yaml.TaggedStyle != 0 && !coreTags[n.ShortTag()]:
		d.problem(path, "has a YAML tag; quote a value that begins with !")
	case isNull(n) && n.Anchor != "":
		d.problem(path, "has an anchor and no value; quote a value that begins with &")
	default:
		return true
	}
	return false
}

var coreTags = map[string]bool{
	"!!null": true, "!!bool": true, "!!str": true, "!!int": true, "!!float": true,
	"!!timestamp": true, "!!seq": true, "!!map": true,
}

// section copies a mapping whose keys are those of a struct.
func (d *decoder) section(n *yaml.Node, path string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	seen := make(map[string]*yaml.Node)
	d.pairs(n, path, join, func(name string, key, value *yaml.Node) {
		for _, f := range fields {
			if !f.answersTo(name) {
				continue
			}
			at := join(path, f.name)
			if first, dup := seen[f.name]; dup {
				d.problemAt(d.at(key), join(path, name), "is the key %s again%s", f.name, d.firstSet(first))
				return
			}
			seen[f.name] = key
			d.origins[at] = d.at(key)
			d.value(value, at, v.Field(f.index))
			return
		}
		d.problemAt(d.at(key), join(path, name), "unknown key; %s", hint(name, fields))
	})
}

// pairs calls each for every entry of the mapping n and refuses names that
// occur twice. The function under makes the path of an entry.
func (d *decoder) pairs(n *yaml.Node, path string, under func(path, name string) string, each func(name string, key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.problem(path, "expected a mapping, not %s", kindOf(n))
		return
	}
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch first, dup := seen[key.Value]; {
		case key.ShortTag() == "!!merge":
			d.problemAt(d.at(key), path, "merge keys (<<) are not supported; write the keys out")
		case key.Kind != yaml.ScalarNode:
			d.problemAt(d.at(key), path, "expected a name as the key, not %s", kindOf(key))
		case dup:
			d.problemAt(d.at(key), under(path, key.Value), "the key is there twice%s", d.firstSet(first))
		default:
			seen[key.Value] = key
			each(key.Value, key, value)
		}
	}
}

// mapping copies a mapping whose keys are the user's; their case is kept.
func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value) {
	out := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	d.pairs(n, path, entry, func(name string, key, value *yaml.Node) {
		at := entry(path, name)
		d.origins[at] = d.at(key)
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(value, at, elem)
		out.SetMapIndex(reflect.ValueOf(name), elem)
	})
	v.Set(out)
}

// list copies a sequence. A list of text or durations may also be one text with commas, as
// wal-listener and the environment have it.
func (d *decoder) list(n *yaml.Node, path string, v reflect.Value) {
	items := n.Content
	switch {
	case n.Kind == yaml.ScalarNode && oneText(v.Type().Elem()):
		items = nil
		for _, text := range splitList(n.Value) {
			items = append(items, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: n.Line})
		}
	case n.Kind != yaml.SequenceNode:
		d.problem(path, "expected a list, not %s", kindOf(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		at := entry(path, strconv.Itoa(i))
		d.origins[at] = d.at(item)
		if isNull(target(item)) {
			d.problem(at, "the list has an empty item; remove it")
			continue
		}
		d.value(item, at, out.Index(i))
	}
	v.Set(out)
}

// oneText reports whether values of the type are single texts without commas.
func oneText(typ reflect.Type) bool {
	return typ.Kind() == reflect.String || typ == reflect.TypeFor[time.Duration]()
}

// hint points from an unknown key to a known one.
func hint(name string, fields []field) string {
	var here, spellings []string
	for _, f := range fields {
		here = append(here, f.name)
		spellings = append(spellings, f.name)
		if f.alias != "" {
			spellings = append(spellings, f.alias)
		}
	}
	for _, k := range schema {
		if strings.EqualFold(k.path[strings.LastIndexByte(k.path, '.')+1:], name) {
			return "did you mean " + k.path + "?"
		}
	}
	if near := nearest(name, spellings); near != "" {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	return "known here: " + strings.Join(here, ", ")
}

func (d *decoder) firstSet(n *yaml.Node) string {
	if !d.lined {
		return ""
	}
	return fmt.Sprintf(" (first on line %d)", n.Line)
}

// target follows an alias (*name) to its anchor.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	return "a single value"
}
