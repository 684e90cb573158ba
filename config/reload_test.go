package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// alter makes a value another one, whatever its type.
func alter(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Slice:
		v.Set(reflect.Append(reflect.MakeSlice(v.Type(), 0, 1), reflect.New(v.Type().Elem()).Elem()))
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		m.SetMapIndex(reflect.ValueOf("x"), reflect.New(v.Type().Elem()).Elem())
		v.Set(m)
	default:
		t.Fatalf("no other value is known of %v", v.Type())
	}
}

// Keys of a section that can be left out are named by the section.
func TestEveryKeyIsFixedButThoseThatCanBeReloaded(t *testing.T) {
	var free []string
	for _, k := range schema {
		old, next := Default(), Default()
		old.Publisher.Embedded, next.Publisher.Embedded = &Embedded{}, &Embedded{}
		alter(t, k.in(&next))
		switch got := Fixed(&old, &next); {
		case len(got) == 0:
			free = append(free, k.path)
		case strings.HasPrefix(k.path, "publisher.embedded."):
			if !slices.Equal(got, []string{"publisher.embedded"}) {
				t.Errorf("%s: named as %q", k.path, got)
			}
		case !slices.Equal(got, []string{k.path}):
			t.Errorf("%s: named as %q", k.path, got)
		}
	}
	want := []string{
		"listener.filter.tables", "listener.include.tables", "listener.exclude.schemas", "listener.exclude.tables",
		"listener.exclude.columns", "listener.topicsMap", "listener.maxTransactionSize",
		"listener.values.numeric", "listener.values.bytea", "listener.mask", "listener.maskKey", "listener.topicTemplate",
		"listener.fallbackTopic", "listener.discardUnmatched", "listener.skipUnchangedUpdates",
		"publisher.filter.tables", "publisher.topicsMap", "publisher.topicTemplate", "publisher.fallbackTopic",
		"publisher.discardUnmatched",
		// A destination that no rule sends to is none, and a rule without one sends nowhere.
		"notifier.destinations", "notifier.rules",
		"logger.level", "tags",
	}
	if !slices.Equal(free, want) {
		t.Errorf("free to change are\n%q, want\n%q", free, want)
	}
}

func TestEveryReloadableKeyExists(t *testing.T) {
	for _, path := range reloadable {
		if !slices.ContainsFunc(schema, func(k key) bool { return k.path == path || strings.HasPrefix(k.path, path+".") }) {
			t.Errorf("there is no key %s", path)
		}
	}
}

func TestEmptyAndAbsentAreTheSame(t *testing.T) {
	old, next := valid(), valid()
	next.Publisher.MessageKeyFrom, next.Listener.Messages = []string{}, []string{}
	if got := Fixed(old, next); len(got) > 0 {
		t.Errorf("fixed are %q", got)
	}
}

func TestPublishersAreComparedPlaceByPlace(t *testing.T) {
	two := func(change func(a, b *Publisher)) *Config {
		c := valid()
		c.Publishers = Publishers{c.Publisher, c.Publisher}
		c.Publishers[1].Name = "other"
		c.Publisher = defaultPublisher()
		change(&c.Publishers[0], &c.Publishers[1])
		return c
	}
	old := two(func(_, _ *Publisher) {})
	for name, tt := range map[string]struct {
		next *Config
		want []string
	}{
		"nothing": {two(func(_, _ *Publisher) {}), nil},
		"selection and topics": {two(func(a, b *Publisher) {
			a.Filter.Tables = map[string][]string{"t": {"insert"}}
			b.TopicsMap, b.TopicTemplate, b.FallbackTopic, b.DiscardUnmatched = TopicsMap{{"a", "b"}}, "x", "y", true
		}), nil},
		"settings": {two(func(a, b *Publisher) { a.Topic, b.NATS.Token = "x", "hunter2" }), []string{"publishers[0].topic", "publishers[1].nats.token"}},
		"embedded": {two(func(_, b *Publisher) { b.Embedded = &Embedded{} }), []string{"publishers[1].embedded"}},
		"one more": {func() *Config {
			c := two(func(_, _ *Publisher) {})
			c.Publishers = append(c.Publishers, Publisher{Name: "third"})
			return c
		}(), []string{"publishers"}},
		"as the only one": {valid(), []string{"publisher.type", "publisher.address", "publisher.topic", "publishers"}},
	} {
		if got := Fixed(old, tt.next); !slices.Equal(got, tt.want) {
			t.Errorf("%s: fixed are %q, want %q", name, got, tt.want)
		}
	}
}

func TestRulesCanChangeAsLongAsTheirDestinationsStay(t *testing.T) {
	inline := func(d Destination) *DestinationRef { return &DestinationRef{Destination: d} }
	of := func(change func(n *Notifier)) *Config {
		c := rulesOf(t)
		c.Notifier.Destinations = Destinations{webhook("shared"), webhook("idle")}
		c.Notifier.Rules = append(c.Notifier.Rules, Rule{Name: "second", Destinations: DestinationRefs{{Ref: "shared"}}})
		change(&c.Notifier)
		return c
	}
	old := of(func(*Notifier) {})
	for name, tt := range map[string]struct {
		change func(n *Notifier)
		want   []string
	}{
		"nothing":       {func(*Notifier) {}, nil},
		"what is sent":  {func(n *Notifier) { n.Rules[0].Table, n.Rules[1].When = "t", "true" }, nil},
		"a rule more":   {func(n *Notifier) { n.Rules = append(n.Rules, Rule{Destination: &DestinationRef{Ref: "shared"}}) }, nil},
		"order":         {func(n *Notifier) { slices.Reverse(n.Rules) }, nil},
		"written where": {func(n *Notifier) { n.Rules[1] = Rule{Destination: inline(webhook("shared"))} }, nil},
		"idle":          {func(n *Notifier) { n.Destinations[1].URL = "https://example.com" }, nil},
		"settings": {
			func(n *Notifier) {
				n.Destinations[0].Circuit.OpenFor = time.Hour
				n.Rules[0].Destination = inline(webhook("orders"))
				n.Rules[0].Destination.Headers = map[string]Secret{"A": "hunter2"}
			},
			[]string{"notifier.rules[0].destination.headers", "notifier.destinations[0].circuit.openFor"},
		},
		"a new one": {func(n *Notifier) { n.Rules[1].Destination = &DestinationRef{Ref: "idle"} }, []string{"notifier.destinations[1]"}},
		"one less":  {func(n *Notifier) { n.Rules = n.Rules[:1] }, []string{"notifier.rules"}},
		"made name": {func(n *Notifier) { n.Rules[0].Destination = inline(webhook("")) }, []string{"notifier.rules[0].destination", "notifier.rules"}},
		"other key": {func(n *Notifier) { n.Parking.Store, n.Rules = StoreTopic, nil }, []string{"notifier.rules", "notifier.parking.store"}},
	} {
		if got := Fixed(old, of(tt.change)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: fixed are %q, want %q", name, got, tt.want)
		}
	}
}

func TestFixedLeavesBothAsTheyAre(t *testing.T) {
	old, next := rulesOf(t), valid()
	Fixed(old, next)
	if !reflect.DeepEqual(old, rulesOf(t)) || !reflect.DeepEqual(next, valid()) {
		t.Error("a configuration was changed")
	}
}
