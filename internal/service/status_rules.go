package service

import (
	"fmt"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/metrics/console"
)

// rules says of each rule what it asks for and what became of what it selected.
func (s *service) rules(cfg *config.Config) []console.Rule {
	var all []console.Rule
	at := make(map[string]int)
	for _, n := range cfg.Notifications() {
		met := s.met.Destination(n.Name)
		for _, r := range n.Rules {
			i, ok := at[r.Name]
			if !ok {
				i = len(all)
				at[r.Name] = i
				all = append(all, console.Rule{Name: r.Name, Match: describeRule(&r.Rule)})
			}
			t := met.RuleTotals(r.Name)
			all[i].Destinations = append(all[i].Destinations, console.RuleCount{
				Destination: n.Name, Matched: t.Matched, Delivered: t.Delivered, Parked: t.Parked, Other: t.Other,
			})
		}
	}
	return all
}

// describeRule writes in one line what a rule asks for. Values that it compares with
// are part of the configuration, not of a row.
func describeRule(r *config.Rule) string {
	actions := "any change"
	if len(r.OpType) > 0 && r.OpType[0] != "*" {
		actions = strings.ToUpper(strings.Join(r.OpType, ", "))
	}
	text := actions + " of any table"
	if r.Table != "" && r.Table != "*" {
		text = actions + " of " + r.Table
	}
	if r.Topic != "" {
		text += " in topic " + r.Topic
	}
	if r.When != "" {
		return text + " when " + r.When
	}
	var conditions []string
	for i := range r.Conditions {
		conditions = append(conditions, describeCondition(&r.Conditions[i]))
	}
	if len(conditions) > 0 {
		text += " where " + strings.Join(conditions, " and ")
	}
	return text
}

func describeCondition(c *config.Condition) string {
	var parts []string
	say := func(is bool, format string, args ...any) {
		if is {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	say(c.OldValue != nil, "was %q", deref(c.OldValue))
	say(c.NewValue != nil, "is %q", deref(c.NewValue))
	say(c.Changed != nil && *c.Changed, "changed")
	say(c.Changed != nil && !*c.Changed, "did not change")
	say(len(c.In) > 0, "is in %q", c.In)
	say(len(c.Not) > 0, "is not in %q", c.Not)
	say(c.GT != nil, "> %s", deref(c.GT))
	say(c.LT != nil, "< %s", deref(c.LT))
	say(c.Regex != "", "matches /%s/", c.Regex)
	say(c.IsNull != nil && *c.IsNull, "is NULL")
	say(c.IsNull != nil && !*c.IsNull, "is not NULL")
	return c.Field + " " + strings.Join(parts, ", ")
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
