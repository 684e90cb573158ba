// Package rules decides which events a destination is notified of. It stands in
// the reader's way, so an event that no rule matches allocates nothing.
//
// [New] compiles the rules of one destination, [Set.Plan] fits them to one
// version of a table, and [Plan.Match] is asked for every event. What can be
// decided from the table, the topic and the action alone is decided in the plan:
// where no rule is left [Plan.Passes] says so.
//
// # What a rule selects
//
//	table    "table" or "schema.table" as the database spells it, case and dots
//	         included; empty or * is any
//	topic    a topic, one with * for anything or nothing, or /regexp/; empty is any
//	op_type  insert, update, delete, truncate, in either case; empty or * is any
//
// A logical message (action MESSAGE) belongs to no table, so a rule must ask for it:
// only one with a topic that matches, any table and any op_type does. Its columns
// (prefix, transactional, content, contentBase64) are those of a new row.
//
// # Conditions
//
// A condition compares the text PostgreSQL writes, so that 10 is not 10.0 and true
// is t. All keys of a condition, and all conditions of a rule, must hold:
//
//	old_value      the value before an UPDATE or DELETE
//	new_value      the value after an INSERT or UPDATE
//	changed        whether an UPDATE changed the value; NULL is a value here
//	in, not        whether the value is in a list
//	gt, lt         numbers by their exact value, however long, if both are numbers,
//	               with -Infinity, all others, Infinity, NaN in this order; else
//	               text byte by byte, which is right for ISO dates and times
//	regex          where in the text an expression of package regexp matches
//	is_null        whether the value is NULL
//
// The value is that of the new row, and of a DELETE that of the old one. NULL, and
// a value that the log does not hold, matches nothing but is_null and changed; the
// rows of a TRUNCATE are not in the log at all. Known all the same are:
//
//   - a large (TOAST) value that an UPDATE left as it was: it has not changed and is
//     not NULL, and its text is that of the old row if that is there;
//   - the key before an UPDATE without an old row, which is logged when it changes.
//
// # Expressions
//
// A rule with when has an expression of github.com/expr-lang/expr in the place of
// conditions. It knows old and new, which hold the columns as old.name or
// old["Any Name"], and the texts action (INSERT, UPDATE, DELETE, TRUNCATE, MESSAGE),
// table, schema and topic. Values are those of message bodies: numbers, booleans,
// text, and arrays and objects that can be looked into. An integer within 64 bits is
// exact; every other number is the nearest of 64-bit floating point, and so are
// comparisons with one.
//
// NULL, a value that the log does not hold, a row that is not there and a column
// that the table does not have are nil. To what expr says of nil these rules are
// added: nil is neither less nor greater than anything, and false where a boolean
// stands, as in !new.done. A number is less than the texts NaN and Infinity, and
// greater than -Infinity, which columns of numbers can hold. Other operands that do
// not fit together, such as a number and a text with <, are an error that
// [Plan.Match] returns, unless the rest of the expression makes them irrelevant.
//
// Comparisons, in with a list, contains, startsWith, endsWith, matches and what
// and, or and not make of them are evaluated over the bytes of the event. All else
// runs in expr's virtual machine, which allocates, for events where the parts that
// do not need it leave the answer open.
package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// Set is the rules of one destination. It does not change, and can be used by
// several goroutines.
type Set struct {
	rules []rule
	blind func(rule, table, column string)
}

// Error is what is wrong with a rule.
type Error struct {
	// Section is the rule's place in the configuration, Key the place below it:
	// when, or conditions[2].regex.
	Section, Key string
	// Err says what is wrong and what to do, without data of rows.
	Err error
}

// Error returns the place and what is wrong with it.
func (e *Error) Error() string { return e.Section + "." + e.Key + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// rule is a config.NamedRule made ready.
type rule struct {
	name, section string
	table         string // empty for any
	topic         topicPattern
	actions       [publisher.LogicalMessage + 1]bool
	conditions    []condition
	when          *expression // or nil
}

// New compiles rules. The error is an [*Error].
//
// Whenever a rule looks at a column that a table does not have, or at a value that
// the log does not hold, blind is told the rule's name, the qualified table and the
// column, once for each plan and rule, so that a rule that can never match does not
// go unnoticed. Blind may be nil; it is called by the goroutine that uses the plan.
func New(rs []config.NamedRule, blind func(rule, table, column string)) (*Set, error) {
	s := &Set{rules: make([]rule, len(rs)), blind: blind}
	for i := range rs {
		if err := s.rules[i].compile(&rs[i]); err != nil {
			err.Section = rs[i].Section
			return nil, err
		}
	}
	return s, nil
}

// compile makes the rule ready. Its error lacks the section.
func (r *rule) compile(c *config.NamedRule) *Error {
	r.name, r.section = c.Name, c.Section
	if r.table = c.Table; r.table == anyOf {
		r.table = ""
	}
	var err error
	if r.topic, err = newTopicPattern(c.Topic); err != nil {
		return &Error{Key: "topic", Err: err}
	}
	if err := r.setActions(c.OpType); err != nil {
		return err
	}
	for i := range c.Conditions {
		cond, err := newCondition(&c.Conditions[i])
		if err != nil {
			err.Key = fmt.Sprintf("conditions[%d].%s", i, err.Key)
			return err
		}
		r.conditions = append(r.conditions, cond)
	}
	if c.When == "" {
		return nil
	}
	if len(c.Conditions) > 0 {
		return &Error{Key: "when", Err: errors.New("goes in the place of conditions; remove one of them")}
	}
	if r.when, err = newExpression(c.When); err != nil {
		return &Error{Key: "when", Err: err}
	}
	return nil
}

// anyOf stands in table and op_type for all of them.
const anyOf = "*"

// setActions sets which actions the rule is about.
func (r *rule) setActions(ops []string) *Error {
	for i, op := range ops {
		found := false
		for a := publisher.Insert; a <= publisher.LogicalMessage; a++ {
			if op == anyOf || a != publisher.LogicalMessage && strings.EqualFold(op, a.String()) {
				r.actions[a], found = true, true
			}
		}
		if !found {
			return &Error{Key: fmt.Sprintf("op_type[%d]", i), Err: fmt.Errorf(`%q is no action; use insert, update, delete, truncate or "*"`, op)}
		}
	}
	for a := range r.actions {
		r.actions[a] = a > 0 && (r.actions[a] || len(ops) == 0)
	}
	return nil
}

// selects reports whether the rule is about an action of a table whose topic is
// topic.
func (r *rule) selects(t *publisher.Table, a publisher.Action, topic string) bool {
	switch {
	case !r.actions[a] || !r.topic.matches(topic):
		return false
	case a == publisher.LogicalMessage:
		return r.table == "" && r.topic.asked()
	}
	return r.table == "" || r.table == t.Name || r.table == t.Schema+"."+t.Name
}
