package rules

import (
	"slices"

	"github.com/walherald/walherald/publisher"
)

// Need is what a rule asks of a table that it selects changes of.
type Need struct {
	// Rule is the rule's name, Section its place in the configuration.
	Rule, Section string
	// Columns are all columns that the rule looks at, each once.
	Columns []string
	// Missing are those of them that the table does not have.
	Missing []string
	// Old are those whose value before an UPDATE, or in a row that is deleted, the
	// rule looks at although the log does not hold it. An UPDATE of a large (TOAST)
	// value can lack more, which nobody knows beforehand.
	Old []string
}

// Needs returns what each rule needs that selects changes of t, whose Columns say by
// Key which ones the log has of the old row. Topic is as for [Set.Plan]; of actions
// for which it returns nothing, no change comes.
func (s *Set) Needs(t *publisher.Table, topic func(publisher.Action) string) []Need {
	var all []Need
	for i := range s.rules {
		r := &s.rules[i]
		n := Need{Rule: r.name, Section: r.section}
		selected := false
		for a := publisher.Insert; a <= publisher.Truncate; a++ {
			if part := topic(a); part != "" && r.selects(t, a, part) {
				selected = true
				n.addOld(t, r.looksBack(t, a, part))
			}
		}
		if !selected {
			continue
		}
		for _, name := range r.columns() {
			if add(&n.Columns, name); !slices.ContainsFunc(t.Columns, func(c publisher.Column) bool { return c.Name == name }) {
				add(&n.Missing, name)
			}
		}
		all = append(all, n)
	}
	return all
}

// add appends what is not there yet.
func add(names *[]string, name string) {
	if !slices.Contains(*names, name) {
		*names = append(*names, name)
	}
}

func (n *Need) addOld(t *publisher.Table, looked []column) {
	for _, c := range looked {
		if c.old && !c.key {
			add(&n.Old, t.Columns[c.index].Name)
		}
	}
}

// columns returns the names of the columns that the rule looks at.
func (r *rule) columns() (names []string) {
	for i := range r.conditions {
		names = append(names, r.conditions[i].field)
	}
	if r.when != nil {
		eachOperand(r.when.term, func(o *operand) {
			if o.isColumn {
				names = append(names, o.column)
			}
		})
	}
	return names
}

// looksBack returns the columns that the rule looks at for an action, as the plan
// binds them: what the action itself decides is not looked at.
func (r *rule) looksBack(t *publisher.Table, a publisher.Action, topic string) (looked []column) {
	p := &Plan{set: &Set{rules: []rule{*r}}, table: t, told: make(map[int]bool)}
	p.add(0, r, binding{plan: p, action: a, topic: topic})
	for _, one := range p.agendas[a].rules {
		for _, c := range one.checks {
			looked = append(looked, c.(interface{ looksAt() column }).looksAt())
		}
		if one.when != nil {
			eachOperand(one.when, func(o *operand) {
				if o.isColumn {
					looked = append(looked, p.cells.all[o.slot].column)
				}
			})
		}
	}
	return looked
}

// looksAt is the column that a check is about.
func (c column) looksAt() column { return c }

// looksAt is that of the old row: the new one is there.
func (c *changed) looksAt() column { return c.before() }

// eachOperand visits the operands of a term. Those of a program that looks at whole
// rows are no more than the columns it names.
func eachOperand(t term, visit func(*operand)) {
	switch t := t.(type) {
	case *junction:
		eachOperand(t.left, visit)
		eachOperand(t.right, visit)
	case *not:
		eachOperand(t.term, visit)
	case *truth:
		visit(&t.operand)
	case *comparison:
		visit(&t.left)
		visit(&t.right)
	case *listed:
		visit(&t.operand)
	case *pattern:
		visit(&t.operand)
	case *program:
		t.eachOperand(visit)
	}
}

// eachOperand visits the columns that the program names: those of the source, or once
// it is bound those that the action's rows have.
func (g *program) eachOperand(visit func(*operand)) {
	switch {
	case g.bound() && g.rows:
	case g.bound():
		for _, slot := range g.slots {
			visit(&operand{isColumn: true, slot: slot})
		}
	default:
		for i := range g.columns {
			visit(&g.columns[i])
		}
	}
}

// bound reports whether the program is for the events of one action.
func (g *program) bound() bool { return g.topic != nil }
