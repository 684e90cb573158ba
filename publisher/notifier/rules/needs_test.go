package rules

import (
	"reflect"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// needOf returns what one rule needs of the table orders, of which the log has the key
// alone; nil if the rule selects nothing of it.
func needOf(t *testing.T, r config.Rule, topic func(publisher.Action) string) *Need {
	t.Helper()
	s, err := New([]config.NamedRule{ruleOf(r)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := s.Needs(orders, topic)
	if len(all) == 0 {
		return nil
	}
	if len(all) > 1 || all[0].Rule != "rule" || all[0].Section != "notifier.rules[3]" {
		t.Errorf("needs are %+v", all)
	}
	return &all[0]
}

func TestNeedsAreTheOldValuesThatTheLogLacks(t *testing.T) {
	field := func(c config.Condition) config.Conditions { return config.Conditions{c} }
	for name, tt := range map[string]struct {
		rule config.Rule
		old  []string
	}{
		"old value":            {config.Rule{Conditions: field(config.Condition{Field: "status", OldValue: pointer("x")})}, []string{"status"}},
		"old value of the key": {config.Rule{Conditions: field(config.Condition{Field: "id", OldValue: pointer("x")})}, nil},
		"changed":              {config.Rule{Conditions: field(config.Condition{Field: "status", Changed: pointer(true)})}, []string{"status"}},
		"changed key":          {config.Rule{Conditions: field(config.Condition{Field: "id", Changed: pointer(false)})}, nil},
		"new value":            {config.Rule{Conditions: field(config.Condition{Field: "status", NewValue: pointer("x")})}, nil},
		"changed, of inserts":  {config.Rule{OpType: []string{"insert"}, Conditions: field(config.Condition{Field: "status", Changed: pointer(true)})}, nil},
		"in, of updates":       {config.Rule{OpType: []string{"update"}, Conditions: field(config.Condition{Field: "status", In: []string{"x"}})}, nil},
		"in, of deletes":       {config.Rule{OpType: []string{"delete"}, Conditions: field(config.Condition{Field: "status", In: []string{"x"}})}, []string{"status"}},
		"null, of deletes":     {config.Rule{OpType: []string{"delete"}, Conditions: field(config.Condition{Field: "note", IsNull: pointer(true)})}, []string{"note"}},
		"bound, of deletes":    {config.Rule{OpType: []string{"delete"}, Conditions: field(config.Condition{Field: "price", GT: pointer("1")})}, []string{"price"}},
		"regex, of deletes":    {config.Rule{OpType: []string{"delete"}, Conditions: field(config.Condition{Field: "note", Regex: "x"})}, []string{"note"}},
		"two":                  {config.Rule{Conditions: config.Conditions{{Field: "status", OldValue: pointer("x")}, {Field: "note", OldValue: pointer("x")}}}, []string{"status", "note"}},
		"truncates":            {config.Rule{OpType: []string{"truncate"}}, nil},
		"no condition":         {config.Rule{}, nil},

		"when":                        {config.Rule{When: "old.status == 'x'"}, []string{"status"}},
		"when of the key":             {config.Rule{When: "old.id != new.id"}, nil},
		"when of the new row":         {config.Rule{When: "new.status == 'x' && new.note matches 'y'"}, nil},
		"when of inserts":             {config.Rule{When: "action == 'INSERT' && (new.status == 'x' || old.status == 'y')"}, nil},
		"when of inserts, or another": {config.Rule{When: "action == 'INSERT' && old.status == 'x' || old.note == 'y'"}, []string{"note"}},
		"when of every kind": {
			config.Rule{When: "not (old.status in ['a', 'b']) or old.note matches 'x' or old.paid or old.price > new.price"},
			[]string{"status", "note", "paid", "price"},
		},
		"when with functions":  {config.Rule{When: "len(old.note) > 1 && lower(new.status) == 'x'"}, []string{"note"}},
		"when of rows":         {config.Rule{When: "len(old) > 1"}, nil},
		"when of another name": {config.Rule{When: `old["Mixed Name"] == 'x'`}, []string{"Mixed Name"}},
	} {
		t.Run(name, func(t *testing.T) {
			if n := needOf(t, tt.rule, topicOf(orders)); n == nil || !reflect.DeepEqual(n.Old, tt.old) || n.Missing != nil {
				t.Errorf("needs are %+v, want old values of %q", n, tt.old)
			}
		})
	}
}

func TestNeedsNameColumnsThatTheTableLacks(t *testing.T) {
	for _, r := range []config.Rule{
		{Conditions: config.Conditions{{Field: "status", NewValue: pointer("x")}, {Field: "gone", NewValue: pointer("x")}, {Field: "Status", Changed: pointer(true)}}},
		{When: "new.status == 'x' and (upper(new.gone) == 'y' or old.Status > 1)"},
	} {
		n := needOf(t, r, topicOf(orders))
		if n == nil || !reflect.DeepEqual(n.Columns, []string{"status", "gone", "Status"}) || !reflect.DeepEqual(n.Missing, []string{"gone", "Status"}) {
			t.Errorf("needs are %+v", n)
		}
	}
}

func TestRuleThatSelectsNothingNeedsNothing(t *testing.T) {
	all := topicOf(orders)
	inserts := func(a publisher.Action) string {
		if a == publisher.Insert {
			return "public_orders"
		}
		return ""
	}
	old := config.Conditions{{Field: "status", OldValue: pointer("x")}}
	for _, tt := range []struct {
		rule  config.Rule
		topic func(publisher.Action) string
	}{
		{config.Rule{Table: "others", Conditions: old}, all},
		{config.Rule{Topic: "others", Conditions: old}, all},
		{config.Rule{OpType: []string{"update"}, Conditions: old}, inserts},
	} {
		if n := needOf(t, tt.rule, tt.topic); n != nil {
			t.Errorf("%+v: needs are %+v", tt.rule, n)
		}
	}
	if n := needOf(t, config.Rule{Conditions: old}, inserts); n == nil || n.Old != nil {
		t.Errorf("of inserts alone the needs are %+v", n)
	}
}
