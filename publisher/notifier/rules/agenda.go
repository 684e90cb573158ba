package rules

import "math/bits"

// minGate is how many rules have to ask for texts of one column for a look-up to cost
// less than asking each of them.
const minGate = 4

// agenda is the rules of a plan for one action, in order, and how to find those that
// an event may match.
type agenda struct {
	rules []planned
	gates []gate
	open  ruleSet // those behind no gate
}

// gate is a column that has to have one of some texts for the rules behind it.
type gate struct {
	source source
	rules  ruleSet // all behind it
	texts  map[string]ruleSet
}

// ruleSet is a set of indexes into agenda.rules.
type ruleSet []uint64

func (s ruleSet) add(i int) { s[i/64] |= 1 << (i % 64) }

func (s ruleSet) addAll(o ruleSet) {
	for i := range o {
		s[i] |= o[i]
	}
}

// source is where a gate has its text from: a column as the database writes it, or,
// for expressions, as it stands in bodies.
type source struct {
	column
	inBody bool
	slot   int // if inBody
}

// text returns the text in the plan's event. ok is false if there is none, which the
// plan is told where the log does not hold it.
func (s *source) text(p *Plan) (text []byte, ok bool) {
	if !s.inBody {
		return s.column.text(p)
	}
	v := &p.look(s.slot).value
	return v.text, v.kind == isText
}

// wants returns texts of which the source must have one if the rule is to match.
func (r *planned) wants() (s source, texts []string) {
	for _, c := range r.checks {
		switch c := c.(type) {
		case *equal:
			return source{column: c.column}, []string{c.want}
		case *member:
			if c.want {
				return source{column: c.column}, c.list
			}
		}
	}
	return wantedBy(r.when)
}

// wantedBy is wants for an expression. Only what is evaluated first counts, for
// another part may fail before.
func wantedBy(t term) (s source, texts []string) {
	switch t := t.(type) {
	case *junction:
		if t.deciding == no {
			return wantedBy(t.left)
		}
	case *comparison:
		column, constant := &t.left, &t.right
		if !column.isColumn {
			column, constant = constant, column
		}
		if t.operator == equalTo && !constant.isColumn && constant.constant.kind == isText {
			return source{inBody: true, slot: column.slot}, []string{string(constant.constant.text)}
		}
	case *listed:
		for i := range t.list {
			if t.list[i].kind != isText {
				return source{}, nil
			}
			texts = append(texts, string(t.list[i].text))
		}
		return source{inBody: true, slot: t.slot}, texts
	}
	return source{}, nil
}

// close makes the gates once all rules are there.
func (a *agenda) close() {
	behind := make(map[source][]int)
	for i := range a.rules {
		if s, texts := a.rules[i].wants(); texts != nil {
			behind[s] = append(behind[s], i)
		}
	}
	a.open = a.newSet()
	for i := range a.rules {
		s, texts := a.rules[i].wants()
		switch {
		case texts == nil || len(behind[s]) < minGate:
			a.open.add(i)
		case behind[s][0] == i:
			a.addGate(s, behind[s])
		}
	}
}

// newSet makes a set of rules that is empty.
func (a *agenda) newSet() ruleSet { return make(ruleSet, (len(a.rules)+63)/64) }

// addGate puts a gate before rules.
func (a *agenda) addGate(s source, rules []int) {
	g := gate{source: s, rules: a.newSet(), texts: make(map[string]ruleSet)}
	for _, i := range rules {
		g.rules.add(i)
		_, texts := a.rules[i].wants()
		for _, text := range texts {
			if g.texts[text] == nil {
				g.texts[text] = a.newSet()
			}
			g.texts[text].add(i)
		}
	}
	a.gates = append(a.gates, g)
}

// candidates returns the rules that the plan's event may match, in set, which is
// used again for the next event. Where a column cannot be seen they are all those
// that look at it, which will tell.
func (a *agenda) candidates(p *Plan, set ruleSet) ruleSet {
	set = append(set[:0], a.open...)
	for i := range a.gates {
		g := &a.gates[i]
		text, ok := g.source.text(p)
		switch {
		case ok:
			set.addAll(g.texts[string(text)])
		case p.unseen != seen:
			set.addAll(g.rules)
			p.unseen = seen
		}
	}
	return set
}

// next takes the first rule out of a set; ok is false if there is none. Those below
// from must have been taken before.
func (s ruleSet) next(from int) (i int, ok bool) {
	for w := from / 64; w < len(s); w++ {
		if s[w] != 0 {
			i = w*64 + bits.TrailingZeros64(s[w])
			s[w] &= s[w] - 1
			return i, true
		}
	}
	return 0, false
}
