package rules

import (
	"slices"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// conditionCase is a condition and the events it does and does not hold for.
type conditionCase struct {
	name         string
	condition    config.Condition
	holds, fails []*publisher.Event
}

type events = []*publisher.Event

func checkConditions(t *testing.T, cases []conditionCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := planOf(t, orders, nil, config.Rule{Conditions: []config.Condition{c.condition}})
			for i, e := range c.holds {
				if !matches(t, p, e) {
					t.Errorf("%s %d does not match", e.Action, i)
				}
			}
			for i, e := range c.fails {
				if matches(t, p, e) {
					t.Errorf("%s %d matches", e.Action, i)
				}
			}
		})
	}
}

func TestValuesAreComparedAsTheDatabaseWritesThem(t *testing.T) {
	full := func(old, after string) *publisher.Event {
		return updated([]string{"price=" + old, "paid=" + old, "Mixed Name=" + old}, []string{"price=" + after, "paid=" + after, "Mixed Name=" + after})
	}
	checkConditions(t, []conditionCase{
		{
			"new_value",
			config.Condition{Field: "price", NewValue: pointer("10")},
			events{inserted("price=10"), full("9", "10")},
			events{inserted("price=10.0"), inserted("price=9"), full("10", "9"), deleted("price=10"), truncated()},
		},
		{
			"old_value",
			config.Condition{Field: "price", OldValue: pointer("10")},
			events{full("10", "9"), full("10", "10"), deleted("price=10")},
			events{inserted("price=10"), full("9", "10"), deleted("price=9"), truncated()},
		},
		{
			"old_value and new_value",
			config.Condition{Field: "price", OldValue: pointer("9"), NewValue: pointer("10")},
			events{full("9", "10")},
			events{full("10", "9"), full("9", "9"), inserted("price=10"), deleted("price=9")},
		},
		{
			"boolean",
			config.Condition{Field: "paid", NewValue: pointer("t")},
			events{inserted("paid=t")},
			events{inserted("paid=f"), inserted("paid=true")},
		},
		{
			"mixed case",
			config.Condition{Field: "Mixed Name", NewValue: pointer("")},
			events{inserted("Mixed Name=")},
			events{inserted("Mixed Name=x"), inserted()},
		},
		{
			"in",
			config.Condition{Field: "price", In: []string{"3", "1", "2", "1"}},
			events{inserted("price=1"), inserted("price=2"), inserted("price=3"), full("9", "3"), deleted("price=2")},
			events{inserted("price=0"), inserted("price=4"), inserted("price=11"), full("3", "9"), deleted("price=9"), truncated()},
		},
		{
			"not",
			config.Condition{Field: "price", Not: []string{"2", "1"}},
			events{inserted("price=0"), deleted("price=3"), full("1", "3")},
			events{inserted("price=1"), inserted("price=2"), deleted("price=1"), full("3", "1"), truncated()},
		},
		{
			"regex",
			config.Condition{Field: "note", Regex: "^a+b"},
			events{inserted("note=aab!"), deleted("note=ab")},
			events{inserted("note=xab"), inserted("note="), truncated()},
		},
	})
}

func TestBoundsCompareNumbersAsNumbersAndAllElseAsText(t *testing.T) {
	gt := func(field, v string) config.Condition { return config.Condition{Field: field, GT: &v} }
	lt := func(field, v string) config.Condition { return config.Condition{Field: field, LT: &v} }
	checkConditions(t, []conditionCase{
		{
			"10 is above 9", gt("price", "9"),
			events{inserted("price=10"), inserted("price=9.1"), inserted("price=1e400"), inserted("price=NaN"), inserted("price=Infinity"), deleted("price=10")},
			events{inserted("price=9"), inserted("price=9.00"), inserted("price=8"), inserted("price=-10"), inserted("price=-Infinity"), deleted("price=9"), truncated()},
		},
		{
			"below 10", lt("price", "10"),
			events{inserted("price=9"), inserted("price=9.999999999999999999999999"), inserted("price=-1e400")},
			events{inserted("price=10"), inserted("price=10.000"), inserted("price=NaN")},
		},
		{"-0 is 0", lt("price", "0"), events{inserted("price=-1e-400")}, events{inserted("price=-0"), inserted("price=0.0")}},
		{"beyond floating point", gt("price", "9007199254740992"), events{inserted("price=9007199254740993")}, events{inserted("price=9007199254740992")}},
		{
			"dates", gt("note", "2024-09-30"),
			events{inserted("note=2024-10-01"), inserted("note=2025-01-01"), inserted("note=infinity")},
			events{inserted("note=2024-09-30"), inserted("note=2024-09-09"), inserted("note=-infinity")},
		},
		{"text beside a number", gt("note", "10"), events{inserted("note=9 pieces")}, events{inserted("note=")}},
		{
			"between",
			config.Condition{Field: "price", GT: pointer("1"), LT: pointer("2")},
			events{inserted("price=1.5")},
			events{inserted("price=1"), inserted("price=2")},
		},
	})
}

func TestNullMatchesOnlyIsNullAndChanged(t *testing.T) {
	none := inserted("note=" + sqlNull)
	text := inserted("note=x")
	set := updated([]string{"note=" + sqlNull}, []string{"note=x"})
	unset := updated([]string{"note=x"}, []string{"note=" + sqlNull})
	still := updated([]string{"note=" + sqlNull}, []string{"note=" + sqlNull})
	gone := deleted("note=" + sqlNull)
	checkConditions(t, []conditionCase{
		{"new_value", config.Condition{Field: "note", NewValue: pointer("")}, nil, events{none, unset, still}},
		{"old_value", config.Condition{Field: "note", OldValue: pointer("")}, nil, events{set, still, gone}},
		{"in", config.Condition{Field: "note", In: []string{"", "x"}}, events{text, set}, events{none, unset, gone}},
		{"not", config.Condition{Field: "note", Not: []string{"y"}}, events{text, set}, events{none, unset, gone}},
		{"gt", config.Condition{Field: "note", GT: pointer("")}, events{text}, events{none, unset, gone}},
		{"lt", config.Condition{Field: "note", LT: pointer("y")}, events{text}, events{none, unset, gone}},
		{"regex", config.Condition{Field: "note", Regex: ".*"}, events{text}, events{none, unset, gone}},
		{"is_null", config.Condition{Field: "note", IsNull: pointer(true)}, events{none, unset, still, gone}, events{text, set, deleted("note="), truncated()}},
		{"is not null", config.Condition{Field: "note", IsNull: pointer(false)}, events{text, set, deleted("note=")}, events{none, unset, gone, truncated()}},
		{"changed", config.Condition{Field: "note", Changed: pointer(true)}, events{set, unset}, events{none, text, still, gone, truncated()}},
		{"not changed", config.Condition{Field: "note", Changed: pointer(false)}, events{still}, events{set, unset, none, text, gone}},
	})
}

func TestUnchangedLargeValueHasNotChanged(t *testing.T) {
	known := updated([]string{"note=large"}, []string{"note=" + unchanged})
	unknown := updated(nil, []string{"note=" + unchanged})
	checkConditions(t, []conditionCase{
		{"changed", config.Condition{Field: "note", Changed: pointer(true)}, nil, events{known, unknown}},
		{"not changed", config.Condition{Field: "note", Changed: pointer(false)}, events{known, unknown}, nil},
		{"is_null", config.Condition{Field: "note", IsNull: pointer(true)}, nil, events{known, unknown}},
		{"is not null", config.Condition{Field: "note", IsNull: pointer(false)}, events{known, unknown}, nil},
		{"new_value", config.Condition{Field: "note", NewValue: pointer("large")}, events{known}, events{unknown}},
		{"not", config.Condition{Field: "note", Not: []string{"small"}}, events{known}, events{unknown}},
		{"regex", config.Condition{Field: "note", Regex: "^lar"}, events{known}, events{unknown}},
	})
}

func TestValueThatTheLogDoesNotHoldMatchesNothing(t *testing.T) {
	keyOnly := updated([]string{"id=1", "note=" + absent}, []string{"id=2", "note=x"})
	noOld := updated(nil, []string{"id=2", "note=x"})
	gone := deleted("id=1", "note="+absent)
	hidden := inserted("note=" + absent)
	for name, c := range map[string]config.Condition{
		"old_value": {Field: "note", OldValue: pointer("")}, "changed": {Field: "note", Changed: pointer(true)},
		"not changed": {Field: "note", Changed: pointer(false)},
	} {
		checkConditions(t, []conditionCase{{name, c, nil, events{keyOnly, noOld, gone}}})
	}
	for name, c := range map[string]config.Condition{
		"is_null": {Field: "note", IsNull: pointer(true)}, "is not null": {Field: "note", IsNull: pointer(false)},
		"not": {Field: "note", Not: []string{"x"}}, "in": {Field: "note", In: []string{""}}, "regex": {Field: "note", Regex: "^$"},
		"lt": {Field: "note", LT: pointer("z")},
	} {
		checkConditions(t, []conditionCase{{name, c, nil, events{gone, hidden}}})
	}
}

func TestKeyBeforeAnUpdateWithoutOldRowIsTheSame(t *testing.T) {
	kept := updated(nil, []string{"id=7"})
	moved := updated([]string{"id=6", "note=" + absent}, []string{"id=7"})
	checkConditions(t, []conditionCase{
		{"changed", config.Condition{Field: "id", Changed: pointer(true)}, events{moved}, events{kept}},
		{"not changed", config.Condition{Field: "id", Changed: pointer(false)}, events{kept}, events{moved}},
		{"old_value", config.Condition{Field: "id", OldValue: pointer("7")}, events{kept}, events{moved}},
	})
	var blind []string
	p := planOf(t, orders, &blind, config.Rule{Conditions: []config.Condition{{Field: "id", Changed: pointer(true)}}})
	matches(t, p, kept)
	if blind != nil {
		t.Errorf("told that %q cannot be seen", blind)
	}
}

func TestAllConditionsMustHold(t *testing.T) {
	p := planOf(t, orders, nil, config.Rule{Conditions: []config.Condition{
		{Field: "status", NewValue: pointer("paid")}, {Field: "price", GT: pointer("100")},
	}})
	for want, e := range map[bool]*publisher.Event{true: inserted("status=paid", "price=101"), false: inserted("status=paid", "price=99")} {
		if got := matches(t, p, e); got != want {
			t.Errorf("matches: %t, want %t", got, want)
		}
	}
	if matches(t, p, inserted("status=open", "price=101")) {
		t.Error("one condition is enough")
	}
}

func TestRulesThatCannotSeeWhatTheyNeedAreToldOnce(t *testing.T) {
	for name, c := range map[string]struct {
		rule   config.Rule
		column string
		e      *publisher.Event
	}{
		"column that is not there": {config.Rule{Conditions: []config.Condition{{Field: "nowhere", NewValue: pointer("x")}}}, "nowhere", inserted()},
		"case of a column":         {config.Rule{Conditions: []config.Condition{{Field: "Status", NewValue: pointer("x")}}}, "Status", inserted()},
		"old value of an UPDATE":   {config.Rule{Conditions: []config.Condition{{Field: "note", OldValue: pointer("x")}}}, "note", updated(nil, nil)},
		"old value of a DELETE":    {config.Rule{Conditions: []config.Condition{{Field: "note", Not: []string{"x"}}}}, "note", deleted("note=" + absent)},
		"change of an UPDATE":      {config.Rule{Conditions: []config.Condition{{Field: "note", Changed: pointer(true)}}}, "note", updated(nil, nil)},
		"null in a DELETE":         {config.Rule{Conditions: []config.Condition{{Field: "note", IsNull: pointer(true)}}}, "note", deleted("note=" + absent)},
		"when, no such column":     {config.Rule{When: `new.nowhere == "x"`}, "nowhere", inserted()},
		"when, old value":          {config.Rule{When: `old.note == "x"`}, "note", updated(nil, nil)},
		"when, machine":            {config.Rule{When: `len(old.note ?? "") > 3`}, "note", updated(nil, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			var blind []string
			p := planOf(t, orders, &blind, c.rule)
			for range 3 {
				if matches(t, p, c.e) {
					t.Error("matches")
				}
			}
			if want := []string{"rule public.orders " + c.column}; !slices.Equal(blind, want) {
				t.Errorf("told %q, want %q", blind, want)
			}
		})
	}
}

func TestNobodyIsToldOfWhatDoesNotMatter(t *testing.T) {
	for name, c := range map[string]struct {
		rule config.Rule
		e    *publisher.Event
	}{
		"old value of an INSERT": {config.Rule{Conditions: []config.Condition{{Field: "note", OldValue: pointer("x")}}}, inserted()},
		"NULL":                   {config.Rule{Conditions: []config.Condition{{Field: "note", NewValue: pointer("x")}}}, inserted()},
		"large value unchanged":  {config.Rule{Conditions: []config.Condition{{Field: "note", Changed: pointer(true)}}}, updated(nil, []string{"note=" + unchanged})},
		"other table":            {config.Rule{Table: "other", Conditions: []config.Condition{{Field: "nowhere", NewValue: pointer("x")}}}, inserted()},
		"other table in when":    {config.Rule{When: `new.nowhere == 1 && table == "other"`}, inserted()},
		"other action in when":   {config.Rule{When: `action == "DELETE" && new.nowhere == 1`}, inserted()},
		"when on an INSERT":      {config.Rule{When: `old.note == "x"`}, inserted()},
	} {
		t.Run(name, func(t *testing.T) {
			var blind []string
			matches(t, planOf(t, orders, &blind, c.rule), c.e)
			if blind != nil {
				t.Errorf("told %q", blind)
			}
		})
	}
}
