package rules

import (
	"bytes"
	"errors"

	"github.com/expr-lang/expr/file"

	"github.com/walherald/walherald/publisher"
)

// A term is a part of an expression that is true or not.
type term interface {
	// bind returns the term for the events of one action of one table, where much is
	// known: a verdict if all is. Missing is a column that the table does not have,
	// if the verdict depends on one.
	bind(b *binding) (bound term, missing string)
	// holds decides of the plan's event. After failed, Plan.failed says why.
	holds(p *Plan) verdict
}

// binding is what a term is bound to.
type binding struct {
	plan   *Plan
	action publisher.Action
	topic  string
}

// name returns the text that a name of the environment stands for.
func (b *binding) name(name string) string {
	switch name {
	case nameAction:
		return b.action.String()
	case nameTable:
		return b.plan.table.Name
	case nameSchema:
		return b.plan.table.Schema
	}
	return b.topic
}

// verdict is what comes of a term. It is a term itself.
type verdict uint8

const (
	no verdict = iota
	yes
	failed
)

func verdictOf(holds bool) verdict {
	if holds {
		return yes
	}
	return no
}

func (v verdict) bind(*binding) (term, string) { return v, "" }
func (v verdict) holds(*Plan) verdict          { return v }

// failure is why a term could not be evaluated.
type failure struct {
	at  file.Location
	err error
}

// The errors of evaluation. They hold nothing of the row.
var (
	errOrder   = errors.New("<, <=, > and >= compare two numbers or two texts, and got something else; convert with float(...) or string(...)")
	errText    = errors.New("contains, startsWith, endsWith and matches look at text, and got something else; convert with string(...)")
	errBoolean = errors.New("needs true or false here, and got something else; compare it with something")
)

// fail notes a failure.
func (p *Plan) fail(at file.Location, err error) verdict {
	p.failed = failure{at, err}
	return failed
}

// junction is all (and) or one (or) of two terms, evaluated from left to right as
// far as needed: deciding is what ends it, no for and and yes for or.
type junction struct {
	left, right term
	deciding    verdict
}

// bind lets a side that decides decide, even if the other one could not be
// evaluated or looks at a column that is missing.
func (j *junction) bind(b *binding) (term, string) {
	left, missingLeft := j.left.bind(b)
	right, missingRight := j.right.bind(b)
	missing := missingLeft
	if missing == "" {
		missing = missingRight
	}
	switch neutral := yes + no - j.deciding; {
	case left == j.deciding && missingLeft == "" || right == j.deciding && missingRight == "":
		return j.deciding, ""
	case left == j.deciding || right == j.deciding:
		return j.deciding, missing
	case left == neutral:
		return right, missing
	case right == neutral:
		return left, missing
	}
	return &junction{left, right, j.deciding}, missing
}

func (j *junction) holds(p *Plan) verdict {
	if v := j.left.holds(p); v == failed || v == j.deciding {
		return v
	}
	return j.right.holds(p)
}

// not turns a term round.
type not struct{ term }

func (n *not) bind(b *binding) (term, string) {
	inner, missing := n.term.bind(b)
	if v, ok := inner.(verdict); ok {
		return v.not(), missing
	}
	return &not{inner}, missing
}

func (n *not) holds(p *Plan) verdict { return n.term.holds(p).not() }

func (v verdict) not() verdict {
	if v == failed {
		return failed
	}
	return yes + no - v
}

// operand is a value in an expression: a constant, a name or a column.
type operand struct {
	constant scalar
	name     string // one of the names of the environment, or empty
	column   string // the name of a column if isColumn is set
	isColumn bool
	old      bool
	slot     int // of the column once bound, which isColumn then says
}

// bind returns the operand for an action, which is constant where it can be.
func (o *operand) bind(b *binding) (bound operand, missing string) {
	switch {
	case o.name != "":
		return operand{constant: textOf(b.name(o.name))}, ""
	case !o.isColumn:
		return *o, ""
	case !hasRow(b.action, o.old):
		return operand{}, ""
	}
	c, ok := columnOf(b.plan.table, o.column)
	if !ok {
		return operand{}, o.column
	}
	c.old = o.old
	return operand{isColumn: true, slot: b.plan.cells.slot(c)}, ""
}

func (o *operand) isConstantNil() bool { return !o.isColumn && o.constant.kind == isNil }

// value returns the value of a bound operand in the plan's event.
func (o *operand) value(p *Plan) *scalar {
	if o.isColumn {
		return &p.look(o.slot).value
	}
	return &o.constant
}

// truth is a value that is to be true.
type truth struct {
	operand
	at file.Location
}

func (t *truth) bind(b *binding) (term, string) {
	x, missing := t.operand.bind(b)
	return fold(&truth{x, t.at}, &x), missing
}

func (t *truth) holds(p *Plan) verdict {
	switch x := t.value(p); x.kind {
	case isNil:
		return no
	case isBoolean:
		return verdictOf(x.boolean)
	}
	return p.fail(t.at, errBoolean)
}

// fold evaluates a bound term whose operands are all constants.
func fold(t term, operands ...*operand) term {
	for _, o := range operands {
		if o.isColumn {
			return t
		}
	}
	if v := t.holds(new(Plan)); v != failed {
		return v
	}
	return t // and fails for every event that it matters for
}

// operator is one that compares two values.
type operator uint8

const (
	equalTo operator = iota
	unequalTo
	less
	atMost
	greater
	atLeast
	contain
	startWith
	endWith
)

// operators are the operators in the words of expr.
var operators = map[string]operator{
	"==": equalTo, "!=": unequalTo, "<": less, "<=": atMost, ">": greater, ">=": atLeast,
	"contains": contain, "startsWith": startWith, "endsWith": endWith,
}

// comparison compares two values.
type comparison struct {
	operator    operator
	left, right operand
	at          file.Location
}

func (c *comparison) bind(b *binding) (term, string) {
	left, missing := c.left.bind(b)
	right, missingRight := c.right.bind(b)
	if missing == "" {
		missing = missingRight
	}
	if c.operator > unequalTo && (left.isConstantNil() || right.isConstantNil()) {
		return no, missing
	}
	return fold(&comparison{c.operator, left, right, c.at}, &left, &right), missing
}

func (c *comparison) holds(p *Plan) verdict {
	v, err := compare(c.operator, c.left.value(p), c.right.value(p))
	if err != nil {
		return p.fail(c.at, err)
	}
	return v
}

// compare applies an operator.
func compare(op operator, l, r *scalar) (verdict, error) {
	switch {
	case op == equalTo:
		return verdictOf(l.equals(r)), nil
	case op == unequalTo:
		return verdictOf(!l.equals(r)), nil
	case l.kind == isNil || r.kind == isNil:
		return no, nil
	case op >= contain:
		return search(op, l, r)
	}
	order, ok := l.order(r)
	if !ok {
		return failed, errOrder
	}
	switch op {
	case less:
		return verdictOf(order < 0), nil
	case atMost:
		return verdictOf(order <= 0), nil
	case greater:
		return verdictOf(order > 0), nil
	}
	return verdictOf(order >= 0), nil
}

// search applies an operator that looks for one text in another.
func search(op operator, l, r *scalar) (verdict, error) {
	if l.kind != isText || r.kind != isText {
		return failed, errText
	}
	switch op {
	case contain:
		return verdictOf(bytes.Contains(l.text, r.text)), nil
	case startWith:
		return verdictOf(bytes.HasPrefix(l.text, r.text)), nil
	}
	return verdictOf(bytes.HasSuffix(l.text, r.text)), nil
}

// listed asks whether a value is in a list of constants.
type listed struct {
	operand
	list []scalar
}

func (l *listed) bind(b *binding) (term, string) {
	x, missing := l.operand.bind(b)
	return fold(&listed{x, l.list}, &x), missing
}

func (l *listed) holds(p *Plan) verdict {
	x := l.value(p)
	for i := range l.list {
		if l.list[i].equals(x) {
			return yes
		}
	}
	return no
}

// pattern asks for a regular expression to match.
type pattern struct {
	operand
	re textPattern
	at file.Location
}

func (t *pattern) bind(b *binding) (term, string) {
	x, missing := t.operand.bind(b)
	return fold(&pattern{x, t.re, t.at}, &x), missing
}

func (t *pattern) holds(p *Plan) verdict {
	switch x := t.value(p); x.kind {
	case isNil:
		return no
	case isText:
		return verdictOf(t.re.match(x.text))
	}
	return p.fail(t.at, errText)
}
