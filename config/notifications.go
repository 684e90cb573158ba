package config

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Notification is a destination with all that goes there, as Notifications
// finds it.
type Notification struct {
	Destination
	// Section is the path of the destination.
	Section string
	// Rules are those that send to it; every one has a name.
	Rules []NamedRule
}

// NamedRule is a rule and where it stands.
type NamedRule struct {
	Rule
	Section string
}

// Notifications returns every destination that rules send to, in the order in which
// the rules name them. A destination that is written out in several rules with the
// same text is one. Names that are not given are made: of a rule, of its table,
// actions and place; of a destination, of its rule and type.
func (c *Config) Notifications() []Notification {
	var all []Notification
	var made []bool // whose names are to be made
	for i, rule := range c.Notifier.Rules {
		named := NamedRule{rule, notifierItem("rules", i)}
		if named.Name == "" {
			named.Name = ruleName(&rule, i)
		}
		for _, ref := range rule.refs(named.Section) {
			n := c.notification(ref)
			at := slices.IndexFunc(all, func(o Notification) bool { return o.same(n) })
			if at < 0 {
				all, at = append(all, n), len(all)
				made = append(made, n.Name == "")
			}
			all[at].Rules = append(all[at].Rules, named)
		}
	}
	for i := range all {
		if made[i] {
			all[i].Name = madeName(all[i].Rules[0].Name + "-" + all[i].Type)
		}
	}
	return all
}

// placedRef is a reference and where it stands.
type placedRef struct {
	DestinationRef
	section string
}

// refs returns all references of the rule at section.
func (r *Rule) refs(section string) []placedRef {
	var refs []placedRef
	if r.Destination != nil {
		refs = append(refs, placedRef{*r.Destination, join(section, "destination")})
	}
	for i, ref := range r.Destinations {
		refs = append(refs, placedRef{ref, entry(join(section, "destinations"), strconv.Itoa(i))})
	}
	return refs
}

// notification returns the destination that a reference means, without rules. A
// name that no destination has gives an empty one; Validate reports it.
func (c *Config) notification(ref placedRef) Notification {
	n := Notification{Destination: ref.Destination, Section: ref.section}
	if ref.Ref == "" {
		return n
	}
	n.Name = ref.Ref
	for i, d := range c.Notifier.Destinations {
		if d.Name == ref.Ref {
			return Notification{Destination: d, Section: notifierItem("destinations", i)}
		}
	}
	return n
}

// same reports whether two destinations are one: their keys are the same.
func (n *Notification) same(o Notification) bool {
	return reflect.DeepEqual(n.Destination, o.Destination)
}

// ruleName makes a name for a rule without one.
func ruleName(r *Rule, i int) string {
	var parts []string
	if r.Table != "" && r.Table != "*" {
		parts = append(parts, r.Table)
	}
	for _, op := range r.OpType {
		if op != "*" {
			parts = append(parts, op)
		}
	}
	return madeName(strings.Join(append(parts, strconv.Itoa(i)), "-"))
}

// maxName is how long a name may be.
const maxName = 63

// madeName makes text a name of the form of outputName. The hash at the end of
// one that is cut keeps it apart from others that begin alike.
func madeName(text string) string {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", r) {
			return r
		}
		return '_'
	}, text)
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(text))
	tail := "-" + hex.EncodeToString(sum[:4])
	return name[:maxName-len(tail)] + tail
}

// notifierItem returns the path of an item of a list below notifier.
func notifierItem(list string, i int) string { return entry("notifier."+list, strconv.Itoa(i)) }
