package rules

import (
	"bytes"
	"slices"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// condition is a config.Condition made ready: checks of one column.
type condition struct {
	field  string
	checks []check // which name no column yet
}

// A check is one thing that must hold of a column.
type check interface {
	// in returns the check for an action and the column, and false if the rows of
	// the action can never pass it.
	in(a publisher.Action, c column) (check, bool)
	// holds decides of the plan's event.
	holds(p *Plan) bool
}

// newCondition makes the condition's checks, those first that cost least. Its error
// lacks the section and the condition's place.
func newCondition(c *config.Condition) (condition, *Error) {
	made := condition{field: c.Field}
	add := func(ch check) { made.checks = append(made.checks, ch) }
	if c.NewValue != nil {
		add(&equal{want: *c.NewValue})
	}
	if c.OldValue != nil {
		add(&equal{column: column{old: true}, want: *c.OldValue})
	}
	if c.IsNull != nil {
		add(&null{want: *c.IsNull})
	}
	if len(c.In) > 0 {
		add(&member{list: sorted(c.In), want: true})
	}
	if len(c.Not) > 0 {
		add(&member{list: sorted(c.Not)})
	}
	if c.Changed != nil {
		add(&changed{want: *c.Changed})
	}
	if c.GT != nil {
		add(newBound(*c.GT, 1))
	}
	if c.LT != nil {
		add(newBound(*c.LT, -1))
	}
	if c.Regex == "" {
		return made, nil
	}
	re, err := newTextPattern(c.Regex)
	if err != nil {
		return made, &Error{Key: "regex", Err: err}
	}
	add(&match{re: re})
	return made, nil
}

// sorted returns the list in order.
func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// bind returns the checks for an action on the column, and false if no row of that
// action can pass them.
func (c *condition) bind(a publisher.Action, col column) ([]check, bool) {
	bound := make([]check, len(c.checks))
	for i, ch := range c.checks {
		var ok bool
		if bound[i], ok = ch.in(a, col); !ok {
			return nil, false
		}
	}
	return bound, true
}

// side makes c the column of the row that an action is about: of a DELETE the old
// one. A TRUNCATE has none.
func (c column) side(a publisher.Action) (column, bool) {
	c.old = a == publisher.Delete
	return c, a != publisher.Truncate
}

// equal asks for a text in the old or the new row.
type equal struct {
	column // of which in keeps the side
	want   string
}

func (q equal) in(a publisher.Action, c column) (check, bool) {
	c.old = q.old
	q.column = c
	return &q, hasRow(a, c.old)
}

func (q *equal) holds(p *Plan) bool {
	text, ok := q.text(p)
	return ok && string(text) == q.want
}

// null asks whether the value is NULL.
type null struct {
	column
	want bool
}

func (n null) in(a publisher.Action, c column) (_ check, ok bool) {
	n.column, ok = c.side(a)
	return &n, ok
}

func (n *null) holds(p *Plan) bool {
	switch v := n.value(p.event); v.Kind {
	case publisher.Null:
		return n.want
	case publisher.Text, publisher.Unchanged: // only what is not NULL is left out
		return !n.want
	}
	p.unseen = n.index
	return false
}

// member asks whether the value is in a list.
type member struct {
	column
	list []string // in order
	want bool
}

func (m member) in(a publisher.Action, c column) (_ check, ok bool) {
	m.column, ok = c.side(a)
	return &m, ok
}

func (m *member) holds(p *Plan) bool {
	text, ok := m.text(p)
	return ok && contains(m.list, text) == m.want
}

// contains looks text up in a list that is in order.
func contains(list []string, text []byte) bool {
	from, to := 0, len(list)
	for from < to {
		middle := int(uint(from+to) / 2)
		switch s := list[middle]; {
		case s == string(text):
			return true
		case s < string(text):
			from = middle + 1
		default:
			to = middle
		}
	}
	return false
}

// bound asks for a value on one side of another.
type bound struct {
	column
	limit   []byte
	number  number
	numeric bool // number is set
	sign    int  // 1 for values above, -1 for values below
}

func newBound(limit string, sign int) *bound {
	b := &bound{limit: []byte(limit), sign: sign}
	b.number, b.numeric = parseNumber(b.limit)
	return b
}

func (b bound) in(a publisher.Action, c column) (_ check, ok bool) {
	b.column, ok = c.side(a)
	return &b, ok
}

func (b *bound) holds(p *Plan) bool {
	text, ok := b.text(p)
	if !ok {
		return false
	}
	if b.numeric {
		if n, ok := p.number(text); ok {
			return n.compare(&b.number) == b.sign
		}
	}
	return bytes.Compare(text, b.limit) == b.sign
}

// match asks for a regular expression to match.
type match struct {
	column
	re textPattern
}

func (m match) in(a publisher.Action, c column) (_ check, ok bool) {
	m.column, ok = c.side(a)
	return &m, ok
}

func (m *match) holds(p *Plan) bool {
	text, ok := m.text(p)
	return ok && m.re.match(text)
}

// changed asks whether the values of the two rows differ.
type changed struct {
	column
	want bool
}

func (c changed) in(a publisher.Action, col column) (check, bool) {
	c.column = col
	return &c, a == publisher.Update
}

func (c *changed) holds(p *Plan) bool {
	if c.index < len(p.event.New) && p.event.New[c.index].Kind == publisher.Unchanged {
		return !c.want
	}
	o, n := c.before().value(p.event), c.value(p.event)
	if !known(o) || !known(n) {
		p.unseen = c.index
		return false
	}
	same := o.Kind == n.Kind && bytes.Equal(o.Text, n.Text)
	return same != c.want
}

// before returns the column of the old row.
func (c column) before() column {
	c.old = true
	return c
}
