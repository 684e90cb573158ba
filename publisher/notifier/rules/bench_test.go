package rules

import (
	"fmt"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

const manyRules = 100

// many makes rules that match none of the events of unmatched.
func many(one func(i int) config.Rule) (rs []config.NamedRule) {
	for i := range manyRules {
		rs = append(rs, ruleOf(one(i)))
	}
	return rs
}

func conditionRules() []config.NamedRule {
	return many(func(i int) config.Rule {
		c := []config.Condition{
			{Field: "status", NewValue: pointer(fmt.Sprintf("state%d", i))},
			{Field: "status", In: []string{"void", "lost", fmt.Sprint("state", i)}},
			{Field: "price", GT: pointer(fmt.Sprint(100000 + i))},
			{Field: "note", Regex: fmt.Sprintf("^urgent %d", i)},
			{Field: "status", Changed: pointer(true)},
		}[i%5]
		return config.Rule{Table: "orders", Conditions: []config.Condition{c}}
	})
}

func equalityRules() []config.NamedRule {
	return many(func(i int) config.Rule {
		return config.Rule{Table: "orders", Conditions: []config.Condition{{Field: "status", NewValue: pointer(fmt.Sprintf("state%d", i))}}}
	})
}

func whenRules() []config.NamedRule {
	return many(func(i int) config.Rule {
		return config.Rule{Table: "orders", When: []string{
			fmt.Sprintf(`new.status == "state%d"`, i),
			fmt.Sprintf(`new.status in ["void", "lost", "state%d"]`, i),
			fmt.Sprintf(`action == "UPDATE" && new.price > %d`, 100000+i),
			fmt.Sprintf(`new.note startsWith "urgent %d" || new.note == nil`, i),
			`old.status != new.status && action != "DELETE"`,
		}[i%5]}
	})
}

func machineRules() []config.NamedRule {
	return many(func(i int) config.Rule {
		return config.Rule{Table: "orders", When: fmt.Sprintf(`len(new.note ?? "") > %d`, 1000+i)}
	})
}

func unmatched() *publisher.Event {
	return updated([]string{"id=17", "status=shipped", "price=99.95", "note=left at the door"},
		[]string{"id=17", "status=shipped", "price=99.90", "note=left at the door"})
}

func planFor(tb testing.TB, rs []config.NamedRule) *Plan {
	tb.Helper()
	s, err := New(rs, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return s.Plan(orders, topicOf(orders))
}

func BenchmarkHundredRulesThatMatchNothing(b *testing.B) {
	for name, rs := range map[string][]config.NamedRule{
		"conditions": conditionRules(), "equality": equalityRules(), "when": whenRules(), "machine": machineRules(),
	} {
		b.Run(name, func(b *testing.B) {
			p, e := planFor(b, rs), unmatched()
			b.ReportAllocs()
			for b.Loop() {
				if rule, err := p.Match(e); rule != -1 || err != nil {
					b.Fatal(rule, err)
				}
			}
		})
	}
}

func BenchmarkTableWithoutRules(b *testing.B) {
	s, err := New(conditionRules(), nil)
	if err != nil {
		b.Fatal(err)
	}
	other := &publisher.Table{Schema: "public", Name: "other", Columns: orders.Columns}
	p, e := s.Plan(other, topicOf(other)), unmatched()
	for b.Loop() {
		if p.Passes(e.Action) {
			b.Fatal("passes")
		}
	}
}
