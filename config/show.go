package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// Show returns what the configuration at path comes to, as YAML: every key with the
// value that holds, and in a comment where that was set, unless it is the default.
// Secrets, and user and password in addresses, are hidden. It is for reading: what it
// hides, and a ${ that stood for itself, would have to be put in again. The error is that
// of [Load].
func Show(path string) ([]byte, error) {
	src, err := source(path)
	if err != nil {
		return nil, err
	}
	d := newDecoder(path)
	cfg, err := d.load(path, src)
	if err != nil {
		return nil, err
	}
	root, err := shower{d.origins}.section(reflect.ValueOf(*cfg), "")
	if err != nil {
		return nil, fmt.Errorf("show configuration: %w", err)
	}
	return encode(&yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{root}})
}

// shower writes values as nodes and remarks where they were set.
type shower struct{ origins origins }

func (s shower) section(v reflect.Value, path string) (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range fieldsOf(v.Type()) {
		at, value := join(path, f.name), v.Field(f.index)
		if value.Kind() == reflect.Pointer && value.IsNil() || hasNoEffect(at, v) {
			continue
		}
		if err := s.pair(out, f.name, at, value); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// hasNoEffect reports whether the key at path of the whole configuration is the one
// publisher, in whose place there are others.
func hasNoEffect(path string, v reflect.Value) bool {
	cfg, ok := v.Interface().(Config)
	return ok && path == "publisher" && cfg.Publisher.Type == ""
}

// pair adds a key and its value to a mapping.
func (s shower) pair(out *yaml.Node, name, path string, v reflect.Value) error {
	var key yaml.Node
	if err := key.Encode(name); err != nil {
		return err
	}
	value, err := s.value(v, path)
	if err != nil {
		return err
	}
	if o, ok := s.origins[path]; ok {
		value.LineComment, key.LineComment = s.remark(o, value, true), s.remark(o, value, false)
	}
	out.Content = append(out.Content, &key, value)
	return nil
}

// remark says where a value was set, if the comment is to stand where it is asked for:
// behind the value, or behind the key of a value that begins on the next line. That a
// section is there says nothing.
func (s shower) remark(o origin, value *yaml.Node, behindValue bool) string {
	inline := value.Kind == yaml.ScalarNode || value.Style == yaml.FlowStyle
	if inline != behindValue || value.Kind == yaml.MappingNode {
		return ""
	}
	source := printable(filepath.Base(o.source))
	if o.line > 0 {
		source += ":" + strconv.Itoa(o.line)
	}
	return "# " + source
}

func (s shower) value(v reflect.Value, path string) (*yaml.Node, error) {
	v = reflect.Indirect(v)
	switch value := v.Interface().(type) {
	case time.Duration:
		return s.value(reflect.ValueOf(durationText(value)), path)
	case Addresses:
		return s.list(reflect.ValueOf(value.shown()), path)
	case DestinationRef:
		if value.Ref != "" {
			return s.value(reflect.ValueOf(value.Ref), path)
		}
		return s.section(reflect.ValueOf(value.Destination), path)
	case TopicsMap:
		out := &yaml.Node{Kind: yaml.MappingNode}
		for _, rule := range value {
			if err := s.pair(out, rule.Match, entry(path, rule.Match), reflect.ValueOf(rule.Topic)); err != nil {
				return nil, err
			}
		}
		return emptyInline(out), nil
	}
	switch v.Kind() {
	case reflect.Struct:
		return s.section(v, path)
	case reflect.Slice:
		return s.list(v, path)
	case reflect.Map:
		return s.mapping(v, path)
	}
	var out yaml.Node
	return &out, out.Encode(v.Interface())
}

// list writes single values in one line.
func (s shower) list(v reflect.Value, path string) (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for i := range v.Len() {
		item, err := s.value(v.Index(i), entry(path, strconv.Itoa(i)))
		if err != nil {
			return nil, err
		}
		if item.Kind != yaml.ScalarNode {
			out.Style = 0
		}
		out.Content = append(out.Content, item)
	}
	return out, nil
}

func (s shower) mapping(v reflect.Value, path string) (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.MappingNode}
	names := make(map[string]reflect.Value)
	for it := v.MapRange(); it.Next(); {
		names[it.Key().String()] = it.Value()
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := s.pair(out, name, entry(path, name), names[name]); err != nil {
			return nil, err
		}
	}
	return emptyInline(out), nil
}

// emptyInline makes an empty mapping {}.
func emptyInline(n *yaml.Node) *yaml.Node {
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}
