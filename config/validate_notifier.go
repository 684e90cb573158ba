package config

import (
	"errors"
	"reflect"
	"regexp"
	resyntax "regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// notifier checks rules, destinations and parking.
func (ck *checker) notifier(c *Config) {
	n := &c.Notifier
	ck.when(len(n.Rules) > 0 && n.Window < minWindow, "notifier.window", "must be at least %s", minWindow)
	for i := range n.Destinations {
		at := notifierItem("destinations", i)
		ck.when(n.Destinations[i].Name == "", join(at, "name"), "is required: rules refer to it")
		ck.notification(at, &n.Destinations[i], c.Secrets.Lenient)
	}
	ck.ruleNames(n.Rules)
	for i := range n.Rules {
		at := notifierItem("rules", i)
		ck.rule(at, &n.Rules[i])
		ck.refs(at, &n.Rules[i], c)
	}
	ck.notificationNames(c)
	ck.parking(c)
}

// ruleNames checks that rules can be told apart, by given and by made names.
func (ck *checker) ruleNames(rules Rules) {
	seen := make(map[string]string)
	for i := range rules {
		at, name := notifierItem("rules", i), rules[i].Name
		if name == "" {
			name = ruleName(&rules[i], i)
		}
		ck.when(!outputName.MatchString(name), join(at, "name"), "must be 1 to 63 letters, digits, _ and -: it stands in metrics and logs")
		ck.when(seen[name] != "", join(at, "name"), "is %q as that of %s; each rule needs a name of its own", name, seen[name])
		seen[name] = at
	}
}

// anyOf stands in op_type and tables for all of them.
const anyOf = "*"

func (ck *checker) rule(path string, r *Rule) {
	at := func(key string) string { return join(path, key) }
	ck.topicPattern(at("topic"), r.Topic)
	schema, table, qualified := strings.Cut(r.Table, ".")
	ck.when(r.Table != "" && (schema == "" || qualified && table == ""), at("table"), `must be "table", "schema.table" or "*"`)
	for i, op := range r.OpType {
		ck.oneOf(entry(at("op_type"), strconv.Itoa(i)), strings.ToLower(op), append(slices.Clone(actions), anyOf)...)
	}
	ck.when(len(r.Conditions) > 0 && r.When != "", at("when"), "goes in the place of conditions; remove one of them")
	ck.when(len(r.Conditions) > 0 && r.only("truncate"), at("op_type"), "is truncate alone, which has no row to look at; remove the conditions")
	for i := range r.Conditions {
		ck.condition(entry(at("conditions"), strconv.Itoa(i)), &r.Conditions[i], r)
	}
}

// only reports whether the rule is about none but these actions.
func (r *Rule) only(actions ...string) bool {
	other := func(op string) bool { return !slices.Contains(actions, strings.ToLower(op)) }
	return len(r.OpType) > 0 && !slices.ContainsFunc(r.OpType, other)
}

// topicPattern checks a name, one with *, or an expression between slashes.
func (ck *checker) topicPattern(path, topic string) {
	expr, ok := (TopicRule{Match: topic}).Expression()
	if !ok {
		ck.when(strings.HasPrefix(topic, "/"), path, "begins with / like a regular expression but does not end with one")
		return
	}
	ck.expression(path, expr)
}

// expression checks a regular expression. The error of package regexp quotes it,
// so only its kind is told.
func (ck *checker) expression(path, expr string) {
	_, err := regexp.Compile(expr)
	var broken *resyntax.Error
	if errors.As(err, &broken) {
		ck.when(true, path, "is no regular expression: %s", broken.Code)
	}
}

func (ck *checker) condition(path string, c *Condition, r *Rule) {
	at := func(key string) string { return join(path, key) }
	ck.when(c.Field == "", at("field"), "is required: the column that the condition is about")
	untested := *c
	untested.Field = ""
	ck.when(reflect.ValueOf(untested).IsZero(), path,
		"tests nothing; set one of old_value, new_value, changed, in, not, gt, lt, regex, is_null")
	ck.expression(at("regex"), c.Regex)
	ck.when(c.Changed != nil && r.only("insert", "delete", "truncate"), at("changed"),
		"compares the rows before and after an UPDATE, which is not in op_type; add it or remove this")
}

// refs checks where a rule sends to.
func (ck *checker) refs(path string, r *Rule, c *Config) {
	refs := r.refs(path)
	ck.when(len(refs) == 0, path, "sends nowhere; set destination or destinations")
	var known []string
	for _, d := range c.Notifier.Destinations {
		known = append(known, d.Name)
	}
	for i, ref := range refs {
		again := func(o placedRef) bool { return reflect.DeepEqual(o.DestinationRef, ref.DestinationRef) }
		ck.when(slices.ContainsFunc(refs[:i], again), ref.section, "is there twice in the rule; remove it")
		if ref.Ref == "" {
			ck.notification(ref.section, &ref.Destination, c.Secrets.Lenient)
			continue
		}
		ck.reference(ref.section, ref.Ref, known, "the name of an item of notifier.destinations")
	}
}

// reference checks that name is a known one, where it should be what.
func (ck *checker) reference(path, name string, known []string, what string) {
	if slices.Contains(known, name) {
		return
	}
	text := "is not " + what
	if near := nearest(name, known); near != "" {
		text += "; did you mean " + strconv.Quote(near) + "?"
	} else {
		text += "; add one or correct this"
	}
	ck.when(true, path, "%s", text)
}

// notificationNames checks that destinations can be told from each other and
// from publishers: all of them are outputs.
func (ck *checker) notificationNames(c *Config) {
	taken := make(map[string]Notification)
	claim := func(n Notification) {
		first, found := taken[n.Name]
		ck.when(n.Name == reservedName, join(n.Section, "name"), "is the name of the source in /ready; choose another one")
		ck.when(found, join(n.Section, "name"), "is %q as that of %s; each output needs a name of its own", n.Name, first.Section)
		if !found {
			taken[n.Name] = n
		}
	}
	for _, out := range c.Outputs() {
		taken[out.Name] = Notification{Section: out.Section}
	}
	for i, d := range c.Notifier.Destinations {
		if d.Name != "" {
			claim(Notification{Destination: d, Section: notifierItem("destinations", i)})
		}
	}
	for _, n := range c.Notifications() {
		listed := strings.HasPrefix(n.Section, "notifier.destinations[")
		unknown := reflect.DeepEqual(n.Destination, Destination{Name: n.Name})
		if first := taken[n.Name]; !listed && !unknown && !first.same(n) {
			claim(n)
		}
	}
}

func (ck *checker) parking(c *Config) {
	p := &c.Notifier.Parking
	at := func(key string) string { return join("notifier.parking", key) }
	ck.oneOf(at("store"), p.Store, StoreTable, StoreTopic)
	switch p.Store {
	case StoreTable:
		ck.when(p.Publisher != "", at("publisher"), "works with store topic only; remove it")
		ck.when(p.Topic != "", at("topic"), "works with store topic only; remove it")
		ck.when(len(c.Notifier.Rules) > 0 && c.Listener.Schema == "", at("store"), "is in listener.schema, which is empty; name a schema, or use topic")
	case StoreTopic:
		ck.required(at("topic"), p.Topic)
		ck.parkingPublisher(at("publisher"), p.Publisher, c.Outputs())
		own := len(p.Schedule) > 0 && !slices.Equal(p.Schedule, Default().Notifier.Parking.Schedule)
		ck.when(own, at("schedule"), "works with store table only; remove it")
		ck.when(p.MaxAge > 0, at("maxAge"), "works with store table only, and the topic has a retention of its own; remove it")
	}
	for i, d := range p.Schedule {
		ck.positive(entry(at("schedule"), strconv.Itoa(i)), d)
	}
	ck.when(p.MaxAge < 0, at("maxAge"), "must not be negative; 0 means never")
}

// parkingPublisher checks that the publisher is one that keeps what it is given.
func (ck *checker) parkingPublisher(path, name string, outs []Output) {
	if name == "" {
		ck.required(path, name)
		return
	}
	var keeping []string
	for _, out := range outs {
		if out.Type != PublisherStdout && out.Type != PublisherDiscard {
			keeping = append(keeping, out.Name)
		}
	}
	ck.reference(path, name, keeping, "the name of a publisher with a broker or of type file")
}
