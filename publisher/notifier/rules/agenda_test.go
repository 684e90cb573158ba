package rules

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/walherald/walherald/config"
)

// drawRule draws a rule with a condition or an expression that others may share a
// column with.
func drawRule(t *rapid.T) config.Rule {
	text := func() string { return rapid.SampledFrom(texts).Draw(t, "text") }
	field := rapid.SampledFrom([]string{"status", "note", "price"}).Draw(t, "field")
	switch rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 6}).Draw(t, "rule") {
	case 0:
		return config.Rule{Conditions: []config.Condition{{Field: field, NewValue: pointer(text())}}}
	case 1:
		return config.Rule{Conditions: []config.Condition{{Field: field, OldValue: pointer(text())}}}
	case 2:
		return config.Rule{Conditions: []config.Condition{{Field: field, In: []string{text(), text()}, Not: []string{text()}}}}
	case 3:
		return config.Rule{Conditions: []config.Condition{{Field: field, GT: pointer(text()), Changed: pointer(true)}}}
	case 4:
		junction := rapid.SampledFrom([]string{"&&", "||"}).Draw(t, "junction")
		return config.Rule{When: fmt.Sprintf("new.%s == %q %s old.note == %q", field, text(), junction, text())}
	case 5:
		return config.Rule{When: fmt.Sprintf("old.%s in [%q, %q]", field, text(), text())}
	}
	return config.Rule{When: (&writer{t: t}).expression(1)}
}

func TestManyRulesDecideAsEachAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(drawRule), 40, 140).Draw(rt, "rules")
		var told []string
		all := planOf(t, orders, &told, list...)
		var alone []*Plan
		toldAlone := make([][]string, len(list))
		for i, r := range list {
			alone = append(alone, planOf(t, orders, &toldAlone[i], r))
		}
		for range 5 {
			e := drawEvent(rt)
			want, wantErr := -1, error(nil)
			for i, p := range alone {
				if rule, err := p.Match(e); rule == 0 {
					want, wantErr = i, err
					break
				}
			}
			if got, err := all.Match(e); got != want || (err == nil) != (wantErr == nil) {
				rt.Fatalf("%s: rule %d, %v; alone %d, %v", e.Action, got, err, want, wantErr)
			}
			if got, want := len(told), len(slices.Concat(toldAlone...)); got != want {
				rt.Fatalf("%s: told %d times; alone %d", e.Action, got, want)
			}
		}
	})
}

func TestRulesWithTheSameColumnAreFoundByItsText(t *testing.T) {
	p := planFor(t, equalityRules())
	for _, i := range []int{0, 63, 64, 99} {
		if rule, err := p.Match(inserted(fmt.Sprintf("status=state%d", i))); rule != i || err != nil {
			t.Errorf("rule %d, %v; want %d", rule, err, i)
		}
	}
	if gates := len(p.agendas[1].gates); gates != 1 {
		t.Errorf("%d gates, want 1", gates)
	}
}
