package config

import (
	"bytes"
	_ "embed"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed reference.yml
var referenceText []byte

// meaning is what the reference says of a key and no struct tells.
type meaning struct {
	// Key is the path, that of an item's key behind the name of the kind of item.
	Key string `yaml:"key"`
	// Text is Markdown on one line.
	Text string `yaml:"text"`
	// Values are all that the key takes, or its items do; none means any.
	Values []string `yaml:"values"`
	// Least and Most bound a number.
	Least *float64 `yaml:"least"`
	Most  *float64 `yaml:"most"`
	// Required says that an item is none without the key.
	Required bool `yaml:"required"`
}

// referenceFile is the reference as it is written.
type referenceFile struct {
	Sections map[string]string `yaml:"sections"`
	Keys     []meaning         `yaml:"keys"`
	Items    []meaning         `yaml:"items"`
}

// reference returns the reference. It is part of the program, so that it can only be
// broken by whoever changes it.
var reference = sync.OnceValue(func() *referenceFile {
	dec := yaml.NewDecoder(bytes.NewReader(referenceText))
	dec.KnownFields(true)
	var r referenceFile
	if err := dec.Decode(&r); err != nil {
		panic(fmt.Sprintf("reference.yml: %v", err))
	}
	return &r
})

// meanings are all of them by path.
var meanings = sync.OnceValue(func() map[string]meaning {
	all := make(map[string]meaning)
	r := reference()
	for path, text := range r.Sections {
		all[path] = meaning{Key: path, Text: text}
	}
	for _, list := range [][]meaning{r.Keys, r.Items} {
		for _, m := range list {
			all[m.Key] = m
		}
	}
	return all
})

// itemKind is a kind of items that lists have.
type itemKind struct {
	name string
	// item is one as it begins.
	item any
}

// itemKinds are those with keys of their own, in the order of the manual.
var itemKinds = []itemKind{
	{"mask", Mask{}}, {"publisher", defaultPublisher()}, {"rule", Rule{}}, {"condition", Condition{}}, {"destination", defaultDestination()},
}

var (
	markdownLink = regexp.MustCompile(`\[([^\]]+)\]\([^)]+\)`)
	sentence     = regexp.MustCompile(`^(?:Required\. )?.*?\.(?: |$)`)
)

// plain returns the text without links.
func (m meaning) plain() string { return markdownLink.ReplaceAllString(m.Text, "$1") }

// brief returns the first sentence of the text, without any marks.
func (m meaning) brief() string {
	text := strings.ReplaceAll(m.plain(), "`", "")
	if first := sentence.FindString(text); first != "" {
		text = first
	}
	return strings.TrimRight(text, " .")
}

// typeNames are the types that are called something else than their kind.
var typeNames = map[reflect.Type]string{
	reflect.TypeFor[time.Duration]():     "duration",
	reflect.TypeFor[ByteSize]():          "size",
	reflect.TypeFor[Secret]():            "secret",
	reflect.TypeFor[TopicsMap]():         "mapping",
	reflect.TypeFor[[]time.Duration]():   "list of durations",
	reflect.TypeFor[Masks]():             "list of mappings",
	reflect.TypeFor[Publishers]():        "list of mappings",
	reflect.TypeFor[Destinations]():      "list of mappings",
	reflect.TypeFor[Rules]():             "list of mappings",
	reflect.TypeFor[Conditions]():        "list of mappings",
	reflect.TypeFor[DestinationRef]():    "name or mapping",
	reflect.TypeFor[DestinationRefs]():   "list of names or mappings",
	reflect.TypeFor[[]Secret]():          "list of secrets",
	reflect.TypeFor[map[string]Secret](): "mapping of secrets",
}

var kindNames = map[reflect.Kind]string{
	reflect.String: "text", reflect.Int: "number", reflect.Float64: "number", reflect.Bool: "true or false",
	reflect.Slice: "list", reflect.Map: "mapping",
}

// typeName returns what people call the type of a key.
func typeName(typ reflect.Type) string {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if name, ok := typeNames[typ]; ok {
		return name
	}
	return kindNames[typ.Kind()]
}

// defaultText writes the default of a key; empty if there is none.
func defaultText(v reflect.Value) string {
	switch d := v.Interface().(type) {
	case time.Duration:
		return durationText(d)
	case []time.Duration:
		return strings.Join(durationTexts(d), ", ")
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		return ""
	}
	return fmt.Sprint(v.Interface())
}

func durationTexts(ds []time.Duration) []string {
	texts := make([]string, len(ds))
	for i, d := range ds {
		texts[i] = durationText(d)
	}
	return texts
}

// durationText writes a duration as people do, 5m and not 5m0s.
func durationText(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}
