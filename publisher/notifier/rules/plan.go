package rules

import (
	"github.com/walherald/walherald/publisher"
)

// Plan decides about the events of one version of one table. It is used by one
// goroutine at a time.
type Plan struct {
	set       *Set
	table     *publisher.Table
	qualified string
	agendas   [publisher.LogicalMessage + 1]agenda
	told      map[int]bool // the rules whose blindness has been told

	event  *publisher.Event // the one that is decided about
	unseen int              // a column that the log does not hold and a rule looked at, or seen
	cells  cells            // what expressions look at
	last   parsed           // the number that was read last
	failed failure          // why the last expression failed
	chosen ruleSet          // the rules that it may match, kept for the next event
	vm     machine
}

// seen is Plan.unseen where the log holds all that rules looked at.
const seen = -1

// planned is what of a rule has to be decided for each event of one action.
type planned struct {
	rule   int
	checks []check
	when   term // or nil
}

// Plan prepares the matching of t's events; a table without schema and name is that
// of logical messages, for which blind is told the topic. Topic returns the table's
// part of the topic for an action; it is called before Plan returns.
func (s *Set) Plan(t *publisher.Table, topic func(publisher.Action) string) *Plan {
	p := &Plan{set: s, table: t, qualified: t.Name, told: make(map[int]bool), unseen: seen}
	messages := t.Schema == "" && t.Name == ""
	switch {
	case messages:
		p.qualified = topic(publisher.LogicalMessage)
	case t.Schema != "":
		p.qualified = t.Schema + "." + t.Name
	}
	for a := publisher.Insert; a <= publisher.LogicalMessage; a++ {
		if messages != (a == publisher.LogicalMessage) {
			continue
		}
		part := topic(a)
		for i := range s.rules {
			if r := &s.rules[i]; r.selects(t, a, part) {
				p.add(i, r, binding{plan: p, action: a, topic: part})
			}
		}
		p.agendas[a].close()
	}
	return p
}

// add adds the rule to those of an action, unless none of its events can match.
func (p *Plan) add(i int, r *rule, b binding) {
	one := planned{rule: i}
	for j := range r.conditions {
		c := &r.conditions[j]
		col, ok := columnOf(p.table, c.field)
		if !ok {
			p.tell(i, c.field)
			return
		}
		checks, ok := c.bind(b.action, col)
		if !ok {
			return
		}
		one.checks = append(one.checks, checks...)
	}
	if r.when != nil {
		var missing string
		if one.when, missing = r.when.term.bind(&b); missing != "" {
			p.tell(i, missing)
		}
		if one.when == no {
			return
		}
	}
	a := &p.agendas[b.action]
	a.rules = append(a.rules, one)
}

// tell says once that the rule looks at a column it cannot see.
func (p *Plan) tell(rule int, column string) {
	if p.set.blind == nil || p.told[rule] {
		return
	}
	p.told[rule] = true
	p.set.blind(p.set.rules[rule].name, p.qualified, column)
}

// Passes reports whether a rule can match events of the action.
func (p *Plan) Passes(a publisher.Action) bool {
	return int(a) < len(p.agendas) && len(p.agendas[a].rules) > 0
}

// Match returns the index of the first rule that matches e, an event of the plan's
// table, or -1 if none does. It is an [*Error] if the expression of a rule could not
// be evaluated before one matched; the index is then that rule's, and whether later
// ones match is not known. It allocates nothing unless an expression needs expr's
// virtual machine, and does not keep e.
func (p *Plan) Match(e *publisher.Event) (int, error) {
	if !p.Passes(e.Action) {
		return -1, nil
	}
	p.event = e
	p.cells.next()
	defer p.release()
	a := &p.agendas[e.Action]
	p.chosen = a.candidates(p, p.chosen)
	for i, ok := p.chosen.next(0); ok; i, ok = p.chosen.next(i) {
		r := &a.rules[i]
		v := r.holds(p)
		if p.unseen != seen {
			p.tell(r.rule, p.table.Columns[p.unseen].Name)
			p.unseen = seen
		}
		switch v {
		case yes:
			return r.rule, nil
		case failed:
			owner := &p.set.rules[r.rule]
			return r.rule, &Error{Section: owner.section, Key: "when", Err: owner.when.explain(p.failed)}
		}
	}
	return -1, nil
}

// release lets go of the event.
func (p *Plan) release() { p.event, p.last = nil, parsed{} }

// parsed is a text of the plan's event that has been read as a number.
type parsed struct {
	text   []byte
	number number
	ok     bool
}

// number reads a number. That of many rules in a row is mostly the same one.
func (p *Plan) number(text []byte) (*number, bool) {
	last := &p.last
	if len(text) == 0 || len(last.text) != len(text) || &last.text[0] != &text[0] {
		last.text = text
		last.number, last.ok = parseNumber(text)
	}
	return &last.number, last.ok
}

func (r *planned) holds(p *Plan) verdict {
	for _, c := range r.checks {
		if !c.holds(p) {
			return no
		}
	}
	if r.when == nil {
		return yes
	}
	return r.when.holds(p)
}
