package listener

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// Route says how the tables' topics are made and what the bodies look like.
type Route struct {
	// Topic and TopicPrefix are publisher.topic and publisher.topicPrefix.
	Topic, TopicPrefix string
	// KeyFrom names the columns that are the message key of the tables that have
	// them all; empty means the replica identity.
	KeyFrom []string
	// Name makes a name the broker takes of a topic; nil leaves it as it is.
	Name func(topic string) string
	// Envelope makes the bodies.
	Envelope format.Envelope
	// Tags are put on every event.
	Tags map[string]string
}

// router makes, of a table's description and the configuration, the plan by
// which its changes are handled. All decisions are made here, once for each
// Relation message, so that a row costs none.
type router struct {
	cfg    config.Listener
	route  Route
	topics []topicRule
	met    *metrics.Metrics
}

// topicRule is a config.TopicRule made ready.
type topicRule struct {
	exact string
	re    *regexp.Regexp // or nil
	topic string
}

func newRouter(cfg config.Listener, route Route, met *metrics.Metrics) (*router, error) {
	r := &router{cfg: cfg, route: route, met: met}
	for _, rule := range cfg.TopicsMap {
		t := topicRule{exact: rule.Match, topic: rule.Topic}
		if expr, ok := rule.Expression(); ok {
			re, err := regexp.Compile(expr)
			if err != nil {
				return nil, fmt.Errorf("compile listener.topicsMap %q: %w", rule.Match, err)
			}
			t.re = re
		}
		r.topics = append(r.topics, t)
	}
	return r, nil
}

// plan is what is known of one version of one table.
type plan struct {
	table     *publisher.Table
	qualified string // schema.table
	topic     string
	// pass says for each publisher.Action whether its changes go on.
	pass     [publisher.Truncate + 1]bool
	key      []int  // indexes of the key's columns, in order
	hidden   []bool // columns that never leave; nil if none
	body     format.Plan
	filtered prometheus.Counter
}

// plan makes the plan of a table.
func (r *router) plan(rel *pgoutput.Relation, d details) *plan {
	schema := rel.Namespace
	if schema == "" {
		schema = "pg_catalog" // which the protocol abbreviates
	}
	t := &publisher.Table{Schema: schema, Name: rel.Name}
	p := &plan{table: t, qualified: schema + "." + rel.Name, topic: r.topic(schema, rel.Name)}
	for i := range rel.Columns {
		c := &rel.Columns[i]
		t.Columns = append(t.Columns, publisher.Column{
			Name: c.Name, Key: c.Key, AppendJSON: appenderFor(c.TypeOID, r.cfg.Values, d.types),
		})
	}
	p.hidden = r.hidden(t)
	p.key = r.key(rel, p.hidden)
	for a := publisher.Insert; a <= publisher.Truncate; a++ {
		p.pass[a] = r.passes(t, a)
	}
	p.body = r.route.Envelope.Plan(t, r.route.Tags)
	p.filtered = r.met.FilteredCounter(p.qualified)
	return p
}

// topic returns the full topic of a table.
func (r *router) topic(schema, table string) string {
	name := schema + "_" + table
	for _, rule := range r.topics {
		if rule.re == nil && rule.exact == name {
			name = rule.topic
			break
		}
		if rule.re != nil && rule.re.MatchString(name) {
			name = rule.re.ReplaceAllString(name, rule.topic)
			break
		}
	}
	name = r.route.TopicPrefix + name
	if r.route.Topic != "" {
		name = r.route.Topic + "." + name
	}
	if r.route.Name != nil {
		name = r.route.Name(name)
	}
	return name
}

// key returns the columns that make the message key. A replica identity that
// is the whole row is no key: a row would not keep its key from one change to
// the next, and so not its place in the order. Nor is one with a column that
// never leaves: without it different rows would look alike.
func (r *router) key(rel *pgoutput.Relation, hidden []bool) []int {
	var key []int
	usable := rel.Identity != pgoutput.IdentityFull
	for i := range rel.Columns {
		leaves := hidden == nil || !hidden[i]
		if slices.Contains(r.route.KeyFrom, rel.Columns[i].Name) && leaves {
			return []int{i}
		}
		if rel.Columns[i].Key {
			key = append(key, i)
			usable = usable && leaves
		}
	}
	if !usable {
		return nil
	}
	return key
}

// hidden returns which columns listener.exclude.columns names: as "column",
// "table.column" or "schema.table.column".
func (r *router) hidden(t *publisher.Table) []bool {
	var hidden []bool
	for i, c := range t.Columns {
		names := []string{c.Name, t.Name + "." + c.Name, t.Schema + "." + t.Name + "." + c.Name}
		if slices.ContainsFunc(names, func(n string) bool { return containsFold(r.cfg.Exclude.Columns, n) }) {
			if hidden == nil {
				hidden = make([]bool, len(t.Columns))
			}
			hidden[i] = true
		}
	}
	return hidden
}

// passes decides whether an action on a table goes on.
func (r *router) passes(t *publisher.Table, a publisher.Action) bool {
	if containsFold(r.cfg.Exclude.Schemas, t.Schema) ||
		containsFold(r.cfg.Exclude.Tables, t.Name) || containsFold(r.cfg.Exclude.Tables, t.Schema+"."+t.Name) {
		return false
	}
	if actions, listed := lookup(r.cfg.Include.Tables, t); listed && !containsFold(actions, a.String()) {
		return false
	}
	if len(r.cfg.Filter.Tables) == 0 {
		return true
	}
	actions, listed := lookup(r.cfg.Filter.Tables, t)
	return listed && containsFold(actions, a.String())
}

// lookup finds a table's entry: by its qualified name, else by its name.
func lookup(tables map[string][]string, t *publisher.Table) (actions []string, listed bool) {
	if actions, listed = tables[t.Schema+"."+t.Name]; listed {
		return actions, true
	}
	actions, listed = tables[t.Name]
	return actions, listed
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(e string) bool { return strings.EqualFold(e, s) })
}

// appendKey appends the message key: the text of a key of one column, a JSON
// array of the texts of several, so that no two keys look alike.
func (p *plan) appendKey(dst []byte, e *publisher.Event) []byte {
	if len(e.New)+len(e.Old) == 0 || len(p.key) == 0 {
		return dst
	}
	if len(p.key) == 1 {
		return append(dst, keyValue(e, p.key[0]).Text...)
	}
	for n, i := range p.key {
		dst = append(dst, "[,"[min(n, 1)])
		if v := keyValue(e, i); v.Kind == publisher.Text {
			dst = format.AppendString(dst, v.Text)
		} else {
			dst = append(dst, "null"...)
		}
	}
	return append(dst, ']')
}

// keyValue returns the value of column i. A large value that did not change
// stands in the old row only.
func keyValue(e *publisher.Event, i int) publisher.Value {
	if len(e.New) > 0 && (e.New[i].Kind != publisher.Unchanged || len(e.Old) == 0) {
		return e.New[i]
	}
	return e.Old[i]
}
