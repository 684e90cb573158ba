package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier/rules"
)

// rules checks every rule once, whatever number of destinations it has.
func (c *notifierCheck) rules() {
	seen := make(map[string]bool)
	broken := 0
	for _, n := range c.all {
		for _, r := range n.Rules {
			if seen[r.Section] {
				continue
			}
			seen[r.Section] = true
			set, err := rules.New([]config.NamedRule{r}, nil)
			if err != nil {
				broken++
				c.brokenRule(&r, err)
			} else if c.known {
				c.rule(&r, set)
			}
		}
	}
	if broken == 0 && len(seen) > 0 {
		c.OK("notifier.rules", "rules: %d, which send to destinations: %d", len(seen), len(c.all))
	}
}

func (c *notifierCheck) brokenRule(r *config.NamedRule, err error) {
	path := r.Section
	var at *rules.Error
	if errors.As(err, &at) {
		path, err = at.Section+"."+at.Key, at.Err
	}
	c.Fail(path, "correct it; docs/notifier.md says what a rule can ask for", "rule %s: %v", r.Name, err)
}

// rule compares what a rule asks for with what there is.
func (c *notifierCheck) rule(r *config.NamedRule, set *rules.Set) {
	var tables []*publisher.Table // that it selects, and what it needs of each
	var needs []rules.Need
	for _, t := range c.tables {
		for _, n := range set.Needs(t.Table, t.Topic) {
			tables, needs = append(tables, t.Table), append(needs, n)
		}
	}
	if len(tables) == 0 {
		c.selectsNothing(r)
		return
	}
	c.missingColumns(r, tables, needs)
	c.oldValues(r, tables, needs)
}

// missingColumns warns of columns that no table has which the rule selects.
func (c *notifierCheck) missingColumns(r *config.NamedRule, tables []*publisher.Table, needs []rules.Need) {
	for _, name := range needs[0].Missing {
		if slices.ContainsFunc(needs, func(n rules.Need) bool { return !slices.Contains(n.Missing, name) }) {
			continue
		}
		remedy := "correct it; the columns are " + some(columnNames(tables))
		if near := similar(name, columnNames(tables)); near != "" {
			remedy = fmt.Sprintf("did you mean %s?", near)
		}
		if slices.ContainsFunc(c.cfg.Listener.Exclude.Columns, func(e string) bool {
			return strings.EqualFold(e[strings.LastIndexByte(e, '.')+1:], name)
		}) {
			remedy = "listener.exclude.columns leaves it out: remove it there, or from the rule"
		}
		c.Warn(pathOfColumn(r, name), remedy, "rule %s looks at column %s, which %s not have", r.Name, name, doOrDoes(tables))
	}
}

// oldValues warns of old values that the log does not hold.
func (c *notifierCheck) oldValues(r *config.NamedRule, tables []*publisher.Table, needs []rules.Need) {
	var columns, short []string
	for i, n := range needs {
		if len(n.Old) > 0 {
			short = append(short, tableName(tables[i]))
			columns = append(columns, n.Old...)
		}
	}
	if len(short) == 0 {
		return
	}
	slices.Sort(columns)
	columns = slices.Compact(columns)
	path, target := r.Section+".conditions", "..."
	if r.When != "" {
		path = r.Section + ".when"
	}
	if len(columns) == 1 {
		path = pathOfColumn(r, columns[0])
	}
	if len(short) == 1 {
		target = short[0]
	}
	c.Warn(path, "let the tables' owner run: ALTER TABLE "+target+" REPLICA IDENTITY FULL, which makes the log of updates and deletes larger",
		"rule %s looks at old values of column %s, which the log does not hold of %s: they match nothing there",
		r.Name, some(columns), some(short))
}

// selectsNothing warns of a rule that no change comes to.
func (c *notifierCheck) selectsNothing(r *config.NamedRule) {
	anyTable := r.Table == "" || r.Table == "*"
	if anyTable && (len(c.tables) == 0 || r.Topic != "" && len(c.cfg.Listener.Messages) > 0) {
		return // it may be about tables to come, or about logical messages
	}
	var names, topics []string
	named := false
	for _, t := range c.tables {
		names = append(names, tableName(t.Table))
		topics = append(topics, topicsOf(t)...)
		named = named || r.Table == t.Name || r.Table == tableName(t.Table)
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	switch {
	case !anyTable && !named:
		remedy := "correct it, or let publication and filters have the table; there are " + some(names)
		if near := similar(r.Table, names); near != "" {
			remedy = fmt.Sprintf("did you mean %s?", near)
		}
		c.Warn(r.Section+".table", remedy, "rule %s selects nothing: no table that is published and passes the filters has the name %s", r.Name, r.Table)
	case r.Topic != "":
		c.Warn(r.Section+".topic", "correct it; the topics are "+some(topics), "rule %s selects nothing: no topic of its tables and actions matches", r.Name)
	default:
		c.Warn(r.Section+".op_type", "let publication and filters have these actions, or correct it",
			"rule %s selects nothing: no such change is published and passes the filters", r.Name)
	}
}

// topicsOf returns the topics that changes of a table get.
func topicsOf(t listener.Published) (topics []string) {
	for a := publisher.Insert; a <= publisher.Truncate; a++ {
		if topic := t.Topic(a); topic != "" {
			topics = append(topics, topic)
		}
	}
	return topics
}

// pathOfColumn is where a rule names a column.
func pathOfColumn(r *config.NamedRule, name string) string {
	for i, cond := range r.Conditions {
		if cond.Field == name {
			return fmt.Sprintf("%s.conditions[%d].field", r.Section, i)
		}
	}
	return r.Section + ".when"
}

func tableName(t *publisher.Table) string { return t.Schema + "." + t.Name }

// columnNames returns the names of all columns of the tables, each once.
func columnNames(tables []*publisher.Table) (names []string) {
	for _, t := range tables {
		for _, col := range t.Columns {
			if !slices.Contains(names, col.Name) {
				names = append(names, col.Name)
			}
		}
	}
	return names
}

// doOrDoes names one table, or the number of several.
func doOrDoes(tables []*publisher.Table) string {
	if len(tables) == 1 {
		return tableName(tables[0]) + " does"
	}
	return fmt.Sprintf("the %d tables that it selects do", len(tables))
}

// similar returns the known name that was probably meant: one in another case, in
// another schema, or with more or less at an end; empty if there is none.
func similar(name string, known []string) string {
	name = strings.ToLower(name)
	bare := name[strings.LastIndexByte(name, '.')+1:]
	for _, k := range known {
		if folded := strings.ToLower(k); folded == name || strings.HasSuffix(folded, "."+bare) {
			return k
		}
	}
	for _, k := range known {
		if folded := strings.ToLower(k[strings.LastIndexByte(k, '.')+1:]); strings.Contains(folded, bare) || strings.Contains(bare, folded) {
			return k
		}
	}
	return ""
}

// mostNamed is how many of a list are named.
const mostNamed = 5

// some names the first of a list, and the number of those left out.
func some(all []string) string {
	switch {
	case len(all) == 0:
		return "none"
	case len(all) <= mostNamed:
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:mostNamed], ", "), len(all)-mostNamed)
}
