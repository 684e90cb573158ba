package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// JSONSchema returns a JSON Schema (draft 2020-12) of configuration files, for editors:
// every key with its meaning, type, values and default. It refuses unknown keys. What
// keys mean together, and what is required, only [Load] knows: a variable can set what
// a file leaves out. The spelling is that of the manual; Load takes keys and values of
// fixed sets in any case. Files of setu are not described.
func JSONSchema() ([]byte, error) {
	root := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "Configuration of walherald"},
		{"description", schemaNote},
	}
	root = append(root, sectionSchema(reflect.ValueOf(Default()), "")...)
	defs := object{}
	for _, kind := range itemKinds {
		defs = append(defs, member{kind.name, sectionSchema(reflect.ValueOf(kind.item), kind.name)})
	}
	root = append(root, member{"$defs", defs})
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	return out.Bytes(), nil
}

const schemaNote = "Keys and values are spelt as in the manual. walherald itself takes keys, and values of fixed sets, " +
	"in any case. Every key can be set by a variable too, so that none is required here."

// object is a JSON object whose order is kept.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements [json.Marshaler].
func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		for j, part := range []any{m.name, m.value} {
			enc := json.NewEncoder(&out)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(part); err != nil {
				return nil, err
			}
			if j == 0 {
				out.WriteByte(':')
			}
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// sectionSchema describes a mapping with the keys of a struct, whose value has the defaults.
func sectionSchema(v reflect.Value, path string) object {
	properties := object{}
	var required []string
	for _, f := range fieldsOf(v.Type()) {
		at := join(path, f.name)
		properties = append(properties, member{f.name, keySchema(v.Field(f.index), at)})
		if f.alias != "" {
			other := append(object{{"description", "Another spelling of " + f.name + "."}}, valueSchema(f.typ, at)...)
			properties = append(properties, member{f.alias, other})
		}
		if meanings()[at].Required {
			required = append(required, f.name)
		}
	}
	o := object{{"type", orNull("object")}, {"additionalProperties", false}}
	if required != nil {
		o = append(o, member{"required", required})
	}
	return append(o, member{"properties", properties})
}

// keySchema describes the key at path, whose value has the default.
func keySchema(v reflect.Value, path string) object {
	o := object{{"description", meanings()[path].plain()}}
	if d, ok := jsonDefault(v); ok {
		o = append(o, member{"default", d})
	}
	s, ok := sectionType(v.Type())
	if s == reflect.TypeFor[Publisher]() {
		return append(o, refTo("publisher")...)
	}
	if ok && !hasShortForm(s) {
		if v.Kind() == reflect.Pointer {
			v = present(reflect.New(v.Type()).Elem())
		}
		return append(o, sectionSchema(v, path)...)
	}
	return append(o, valueSchema(v.Type(), path)...)
}

// hasShortForm reports whether a section of the type can be a single text, too.
func hasShortForm(t reflect.Type) bool {
	return t == reflect.TypeFor[Publication]() || t == reflect.TypeFor[DestinationRef]()
}

// valueSchema describes a value of the type, or none, at path.
func valueSchema(t reflect.Type, path string) object {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Publication]():
		return either(textSchema(true), sectionSchema(reflect.Zero(t), path))
	case reflect.TypeFor[DestinationRef]():
		return either(textSchema(true), refTo("destination"))
	case reflect.TypeFor[TopicsMap]():
		return mapTo(textSchema(true))
	}
	switch t.Kind() {
	case reflect.Map:
		if t.Elem().Kind() == reflect.Slice {
			return mapTo(listSchema(t.Elem(), path))
		}
		return mapTo(textSchema(true))
	case reflect.Slice:
		return listSchema(t, path)
	}
	s, values := scalarSchema(t, path), meanings()[path].Values
	if len(values) > 0 {
		s = enumSchema(values, true)
	}
	if free := t.Kind() == reflect.String && len(values) == 0; free || !takesPlaceholders(path, t) {
		return s
	}
	return either(s, object{{"type", "string"}, {"pattern", `\$\{`}})
}

// listSchema describes a list, which can be one text with commas where its items are single
// texts.
func listSchema(t reflect.Type, path string) object {
	elem := t.Elem()
	for _, kind := range itemKinds {
		if elem == reflect.TypeOf(kind.item) {
			return object{{"type", orNull("array")}, {"items", refTo(kind.name)}}
		}
	}
	if elem == reflect.TypeFor[DestinationRef]() {
		return object{{"type", orNull("array")}, {"items", either(textSchema(false), refTo("destination"))}}
	}
	items := textSchema(false)
	if elem == reflect.TypeFor[time.Duration]() {
		items = durationSchema(false)
	}
	if values := meanings()[path].Values; len(values) > 0 {
		items = enumSchema(values, false)
	}
	return either(object{{"type", orNull("array")}, {"items", items}}, items, object{{"type", "string"}, {"pattern", ","}})
}

// scalarSchema describes a single value of the type, or none.
func scalarSchema(t reflect.Type, path string) object {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return durationSchema(true)
	case reflect.TypeFor[ByteSize]():
		return object{{"type", orNull("string", "integer")}, {"pattern", sizePattern}, {"minimum", 0}}
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{{"type", orNull("boolean")}}
	case reflect.Int:
		return bounded(object{{"type", orNull("integer")}}, path)
	case reflect.Float64:
		return bounded(object{{"type", orNull("number")}}, path)
	}
	return textSchema(true)
}

// The forms of durations, as [time.ParseDuration] takes them, and sizes.
const (
	durationPattern = `^(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`
	sizePattern     = `^[0-9]+( *([KMGTkmgt][Ii]?)?[Bb])?$`
)

// A duration can be the number 0, which is the only one that needs no unit.
func durationSchema(orNone bool) object {
	return object{{"type", types(orNone, "string", "integer")}, {"pattern", durationPattern}, {"minimum", 0}, {"maximum", 0}}
}

// Text is any single value, as it was typed.
func textSchema(orNone bool) object {
	return object{{"type", types(orNone, "string", "number", "boolean")}}
}

func bounded(o object, path string) object {
	if least := meanings()[path].Least; least != nil {
		o = append(o, member{"minimum", *least})
	}
	if most := meanings()[path].Most; most != nil {
		o = append(o, member{"maximum", *most})
	}
	return o
}

// enumSchema describes values of a fixed set, or none.
func enumSchema(values []string, orNone bool) object {
	var all []any
	for _, v := range values {
		all = append(all, v)
	}
	if orNone {
		all = append(all, nil)
	}
	return object{{"enum", all}}
}

func either(schemas ...object) object { return object{{"anyOf", schemas}} }

func refTo(kind string) object { return object{{"$ref", "#/$defs/" + kind}} }

func mapTo(values object) object {
	return object{{"type", orNull("object")}, {"additionalProperties", values}}
}

// types returns the names of types, with that of no value at all if orNone.
func types(orNone bool, names ...string) []string {
	if orNone {
		return orNull(names...)
	}
	return names
}

// A key without a value counts as absent.
func orNull(names ...string) []string { return append(slices.Clone(names), "null") }

// jsonDefault returns the default of a key as JSON has it; ok is false if there is none.
func jsonDefault(v reflect.Value) (d any, ok bool) {
	switch value := v.Interface().(type) {
	case time.Duration, ByteSize:
		return defaultText(v), true
	case []time.Duration:
		return durationTexts(value), len(value) > 0
	}
	switch v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Float64:
		return v.Interface(), true
	case reflect.String:
		return v.String(), v.Len() > 0
	}
	return nil, false
}
