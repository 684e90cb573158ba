package rules

import (
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// columnsOf makes columns of "name" or "name:type" (number, bool, json, time, or
// text), where * before the name makes it part of the key.
func columnsOf(spec ...string) (columns []publisher.Column) {
	writers := map[string]func(dst, text []byte) []byte{
		"": format.AppendString, "number": format.AppendNumber, "json": format.AppendDocument,
		"bool": func(dst, text []byte) []byte {
			if string(text) == "t" {
				return append(dst, "true"...)
			}
			return append(dst, "false"...)
		},
		"time": func(dst, text []byte) []byte {
			return format.AppendString(dst, []byte(strings.Replace(string(text), " ", "T", 1)+"Z"))
		},
	}
	for _, s := range spec {
		name, kind, _ := strings.Cut(s, ":")
		name, key := strings.CutPrefix(name, "*")
		columns = append(columns, publisher.Column{Name: name, Key: key, AppendJSON: writers[kind]})
	}
	return columns
}

// orders is the table that most tests are about.
var orders = &publisher.Table{Schema: "public", Name: "orders", Columns: columnsOf(
	"*id:number", "status", "price:number", "note", "paid:bool", "doc:json", "at:time", "Mixed Name")}

const (
	sqlNull   = "\x00null"
	absent    = "\x00absent"
	unchanged = "\x00unchanged"
)

// row makes a row of name=value pairs; columns that are not named are NULL.
func row(t *publisher.Table, pairs ...string) []publisher.Value {
	values := make([]publisher.Value, len(t.Columns))
	for i := range values {
		values[i].Kind = publisher.Null
	}
	for _, pair := range pairs {
		name, text, _ := strings.Cut(pair, "=")
		c, ok := columnOf(t, name)
		if !ok {
			panic("no column " + name)
		}
		values[c.index] = valueOf(text)
	}
	return values
}

func valueOf(text string) publisher.Value {
	switch text {
	case sqlNull:
		return publisher.Value{Kind: publisher.Null}
	case absent:
		return publisher.Value{}
	case unchanged:
		return publisher.Value{Kind: publisher.Unchanged}
	}
	return publisher.Value{Kind: publisher.Text, Text: []byte(text)}
}

func inserted(pairs ...string) *publisher.Event {
	return &publisher.Event{Action: publisher.Insert, Table: orders, New: row(orders, pairs...)}
}

func deleted(pairs ...string) *publisher.Event {
	return &publisher.Event{Action: publisher.Delete, Table: orders, Old: row(orders, pairs...)}
}

// updated makes an UPDATE; old is nil if the log holds no old row.
func updated(old, after []string) *publisher.Event {
	e := &publisher.Event{Action: publisher.Update, Table: orders, New: row(orders, after...)}
	if old != nil {
		e.Old = row(orders, old...)
	}
	return e
}

func truncated() *publisher.Event {
	return &publisher.Event{Action: publisher.Truncate, Table: orders}
}

// topicOf is the topic of the table for every action.
func topicOf(t *publisher.Table) func(publisher.Action) string {
	return func(publisher.Action) string { return t.Schema + "_" + t.Name }
}

// ruleOf makes a named rule.
func ruleOf(r config.Rule) config.NamedRule {
	r.Name = "rule"
	return config.NamedRule{Rule: r, Section: "notifier.rules[3]"}
}

// planOf makes the plan of rules for a table. Blind adds to the log, which may be nil.
func planOf(t *testing.T, table *publisher.Table, blind *[]string, rs ...config.Rule) *Plan {
	t.Helper()
	var named []config.NamedRule
	for _, r := range rs {
		named = append(named, ruleOf(r))
	}
	var tell func(rule, table, column string)
	if blind != nil {
		tell = func(rule, table, column string) { *blind = append(*blind, rule+" "+table+" "+column) }
	}
	s, err := New(named, tell)
	if err != nil {
		t.Fatal(err)
	}
	return s.Plan(table, topicOf(table))
}

// matches reports whether the plan's first rule matches, which must not fail.
func matches(t *testing.T, p *Plan, e *publisher.Event) bool {
	t.Helper()
	rule, err := p.Match(e)
	if err != nil {
		t.Fatal(err)
	}
	if rule >= 0 && !p.Passes(e.Action) {
		t.Error("a rule matches where Passes says that none can")
	}
	return rule == 0
}

func pointer[T any](v T) *T { return &v }
