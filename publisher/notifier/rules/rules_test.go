package rules

import (
	"errors"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

var allActions = []publisher.Action{publisher.Insert, publisher.Update, publisher.Delete, publisher.Truncate, publisher.LogicalMessage}

// passing lists the actions that pass a plan.
func passing(p *Plan) string {
	var names []string
	for _, a := range allActions {
		if p.Passes(a) {
			names = append(names, strings.ToLower(a.String()))
		}
	}
	return strings.Join(names, " ")
}

func TestTablesAreComparedAsTheDatabaseSpellsThem(t *testing.T) {
	const every = "insert update delete truncate"
	for _, c := range []struct {
		rule, schema, table string
		want                bool
	}{
		{"", "public", "users", true},
		{"*", "public", "users", true},
		{"users", "public", "users", true},
		{"users", "sales", "users", true},
		{"public.users", "public", "users", true},
		{"public.users", "sales", "users", false},
		{"Users", "public", "users", false},
		{"users", "public", "Users", false},
		{"public.Users", "public", "Users", true},
		{"a.b", "public", "a.b", true},
		{"public.a.b", "public", "a.b", true},
		{"my.schema.users", "my.schema", "users", true},
		{"schema.users", "my.schema", "users", false},
		{"use*", "public", "users", false},
		{"größe", "public", "größe", true},
	} {
		p := planOf(t, &publisher.Table{Schema: c.schema, Name: c.table}, nil, config.Rule{Table: c.rule})
		want := ""
		if c.want {
			want = every
		}
		if got := passing(p); got != want {
			t.Errorf("table %q of a rule lets %q of %s.%s pass, want %q", c.rule, got, c.schema, c.table, want)
		}
	}
}

func TestActionsOfARuleAreThoseThatItNames(t *testing.T) {
	for _, c := range []struct {
		ops  []string
		want string
	}{
		{nil, "insert update delete truncate"},
		{[]string{"*"}, "insert update delete truncate"},
		{[]string{"insert"}, "insert"},
		{[]string{"Delete", "UPDATE"}, "update delete"},
		{[]string{"truncate", "*"}, "insert update delete truncate"},
	} {
		if got := passing(planOf(t, orders, nil, config.Rule{OpType: c.ops})); got != c.want {
			t.Errorf("op_type %q lets %q pass, want %q", c.ops, got, c.want)
		}
	}
}

func TestTopicsAreNamesPatternsOrExpressions(t *testing.T) {
	for pattern, want := range map[string]bool{
		"": true, "public_orders": true, "*": true, "public_*": true, "*_orders": true, "p*c_o*": true, "/orders$/": true, "/^public_(orders|users)$/": true,
		"Public_orders": false, "public": false, "sales_*": false, "/^orders/": false, "*x*": false,
	} {
		if got := passing(planOf(t, orders, nil, config.Rule{Topic: pattern})) != ""; got != want {
			t.Errorf("topic %q: passes %t, want %t", pattern, got, want)
		}
	}
}

func TestEachActionHasItsOwnTopic(t *testing.T) {
	s, err := New([]config.NamedRule{ruleOf(config.Rule{Topic: "*.delete"})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := s.Plan(orders, func(a publisher.Action) string { return "orders." + strings.ToLower(a.String()) })
	if got := passing(p); got != "delete" {
		t.Errorf("%q passes, want delete", got)
	}
}

func TestLogicalMessagesHaveToBeAskedForByTopic(t *testing.T) {
	messages := &publisher.Table{Columns: columnsOf("*prefix", "transactional:bool", "content", "contentBase64")}
	topic := func(publisher.Action) string { return "message_audit" }
	for _, c := range []struct {
		rule config.Rule
		want bool
	}{
		{config.Rule{}, false},
		{config.Rule{Table: "*", OpType: []string{"*"}}, false},
		{config.Rule{Topic: "*"}, true},
		{config.Rule{Topic: "message_*", Table: "*", OpType: []string{"*"}}, true},
		{config.Rule{Topic: "/audit/"}, true},
		{config.Rule{Topic: "message_other"}, false},
		{config.Rule{Topic: "*", Table: "audit"}, false},
		{config.Rule{Topic: "*", OpType: []string{"insert", "update", "delete", "truncate"}}, false},
		{config.Rule{Topic: "*", Conditions: []config.Condition{{Field: "content", Regex: "login"}}}, true},
		{config.Rule{Topic: "*", Conditions: []config.Condition{{Field: "content", NewValue: pointer("logout")}}}, false},
		{config.Rule{Topic: "*", Conditions: []config.Condition{{Field: "content", OldValue: pointer("login")}}}, false},
		{config.Rule{Topic: "*", When: `action == "MESSAGE" && new.prefix == "audit" && new.content startsWith "login"`}, true},
	} {
		s, err := New([]config.NamedRule{ruleOf(c.rule)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		e := &publisher.Event{Action: publisher.LogicalMessage, Table: messages, New: row(messages, "prefix=audit", "transactional=t", "content=login of 7")}
		if got := matches(t, s.Plan(messages, topic), e); got != c.want {
			t.Errorf("%+v: matches %t, want %t", c.rule, got, c.want)
		}
	}
}

func TestMessagesAndTablesAreToldApart(t *testing.T) {
	var told []string
	blind := func(_, table, column string) { told = append(told, table+" "+column) }
	rs := []config.NamedRule{
		ruleOf(config.Rule{Conditions: []config.Condition{{Field: "status", NewValue: pointer("x")}}}),
		ruleOf(config.Rule{Topic: "message_*", Conditions: []config.Condition{{Field: "nowhere", NewValue: pointer("x")}}}),
	}
	s, err := New(rs, blind)
	if err != nil {
		t.Fatal(err)
	}
	messages := &publisher.Table{Columns: columnsOf("*prefix", "transactional:bool", "content", "contentBase64")}
	p := s.Plan(messages, func(publisher.Action) string { return "message_audit" })
	if got := passing(p); got != "" {
		t.Errorf("%q passes of messages without such columns", got)
	}
	if len(told) != 1 || told[0] != "message_audit nowhere" {
		t.Errorf("told %q", told)
	}
	if got := passing(s.Plan(orders, topicOf(orders))); got != "insert update" {
		t.Errorf("%q passes of a table", got)
	}
}

func TestActionsThatNoRowCanMatchDoNotPass(t *testing.T) {
	for _, c := range []struct {
		name string
		rule config.Rule
		want string
	}{
		{"old_value", config.Rule{Conditions: []config.Condition{{Field: "note", OldValue: pointer("x")}}}, "update delete"},
		{"new_value", config.Rule{Conditions: []config.Condition{{Field: "note", NewValue: pointer("x")}}}, "insert update"},
		{"both", config.Rule{Conditions: []config.Condition{{Field: "note", NewValue: pointer("x"), OldValue: pointer("y")}}}, "update"},
		{"changed", config.Rule{Conditions: []config.Condition{{Field: "note", Changed: pointer(false)}}}, "update"},
		{"is_null", config.Rule{Conditions: []config.Condition{{Field: "note", IsNull: pointer(true)}}}, "insert update delete"},
		{"no such column", config.Rule{Conditions: []config.Condition{{Field: "nowhere", IsNull: pointer(true)}}}, ""},
		{"when action", config.Rule{When: `action == "UPDATE" and len(new.note) > 3`}, "update"},
		{"when action last", config.Rule{When: `new.price > 3 && action in ["INSERT", "DELETE"]`}, "insert"},
		{"when not", config.Rule{When: `!(action == "UPDATE" || action == "DELETE") and schema != "sales"`}, "insert truncate"},
		{"when table", config.Rule{When: `table == "users" && new.price > 3`}, ""},
		{"when topic", config.Rule{When: `topic matches "^public_" && schema + "." + table == "public.orders"`}, "insert update delete truncate"},
		{"when row", config.Rule{When: `old.price > 3 and old.price < new.price`}, "update"},
		{"when machine", config.Rule{When: `lower(action) in ["insert", "delete"] && (now() > date("2020-01-01") || len(new) > 99)`}, "insert delete"},
		{"when old row", config.Rule{When: `len(old.note ?? "") > 3`}, "update delete"},
		{"when false", config.Rule{When: `false`}, ""},
		{"when true", config.Rule{When: `true`}, "insert update delete truncate"},
	} {
		if got := passing(planOf(t, orders, nil, c.rule)); got != c.want {
			t.Errorf("%s: %q passes, want %q", c.name, got, c.want)
		}
	}
}

func TestUnknownActionPassesNoRule(t *testing.T) {
	p := planOf(t, orders, nil, config.Rule{})
	for _, a := range []publisher.Action{0, publisher.LogicalMessage + 1, 255} {
		rule, err := p.Match(&publisher.Event{Action: a, Table: orders})
		if p.Passes(a) || rule != -1 || err != nil {
			t.Errorf("action %d passes, or rule %d matches: %v", a, rule, err)
		}
	}
}

func TestFirstRuleThatMatchesIsNamed(t *testing.T) {
	p := planOf(t, orders, nil,
		config.Rule{Table: "users"},
		config.Rule{Conditions: []config.Condition{{Field: "status", NewValue: pointer("paid")}}},
		config.Rule{When: `new.price > 10`},
		config.Rule{Conditions: []config.Condition{{Field: "status", In: []string{"open", "paid"}}}},
		config.Rule{OpType: []string{"truncate"}})
	for want, e := range map[int]*publisher.Event{
		1: inserted("status=paid", "price=11"), 2: inserted("status=open", "price=11"), 3: inserted("status=open", "price=10"),
		4: truncated(), -1: inserted("status=lost", "price=9"),
	} {
		if rule, err := p.Match(e); rule != want || err != nil {
			t.Errorf("%s: rule %d, %v; want %d", e.Action, rule, err, want)
		}
	}
}

func TestErrorsNameTheirPlaceAndWhatToDo(t *testing.T) {
	for _, c := range []struct {
		rule config.Rule
		want string
	}{
		{config.Rule{Topic: "/(/"}, "notifier.rules[3].topic: is no regular expression: missing closing )"},
		{config.Rule{OpType: []string{"insert", "upsert"}}, `notifier.rules[3].op_type[1]: "upsert" is no action; use insert`},
		{config.Rule{OpType: []string{"message"}}, `notifier.rules[3].op_type[0]: "message" is no action`},
		{config.Rule{Conditions: []config.Condition{{Field: "a", IsNull: pointer(true)}, {Field: "a", Regex: "(secret"}}}, "notifier.rules[3].conditions[1].regex: is no regular expression: missing closing ); correct it"},
		{config.Rule{When: "true", Conditions: []config.Condition{{Field: "a", IsNull: pointer(true)}}}, "notifier.rules[3].when: goes in the place of conditions; remove one"},
		{config.Rule{When: "new.a > 1 && nwe.b"}, `notifier.rules[3].when: cannot be compiled at 1:14: unknown name nwe; an expression knows old, new, action, table, schema and topic, and columns as new.name or new["name"]`},
		{config.Rule{When: "new.a >"}, "notifier.rules[3].when: cannot be compiled at 1:"},
		{config.Rule{When: "new.a == 1 ||\n \"x\" - 1 == 2"}, "notifier.rules[3].when: cannot be compiled at 2:6: "},
		{config.Rule{When: "table"}, "notifier.rules[3].when: is no condition: expected bool, but got string; make it"},
		{config.Rule{When: "table > 3"}, "cannot be compiled at 1:7: invalid operation: > (mismatched types string and int)"},
		{config.Rule{When: "new"}, "notifier.rules[3].when: is no condition: expected bool, but got map"},
		{config.Rule{When: `new.a matches "("`}, "notifier.rules[3].when: cannot be compiled at 1:"},
		{config.Rule{When: "true &&\n action == \"insert\""}, `cannot be compiled at 2:12: action is never "insert"; it is one of INSERT, UPDATE, DELETE, TRUNCATE and MESSAGE`},
		{config.Rule{When: `action in ["INSERT", "Update"]`}, `action is never "Update"`},
		{config.Rule{When: `"delete" != action`}, `action is never "delete"`},
	} {
		_, err := New([]config.NamedRule{ruleOf(config.Rule{}), ruleOf(c.rule)}, nil)
		var broken *Error
		if !errors.As(err, &broken) {
			t.Errorf("%+v: no *Error but %v", c.rule, err)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: error %q, want %q in it", c.rule, err, c.want)
		}
		if broken.Section != "notifier.rules[3]" || errors.Unwrap(err) != broken.Err {
			t.Errorf("%+v: section %q", c.rule, broken.Section)
		}
	}
}
