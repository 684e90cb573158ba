package listener

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// Route says what goes to one output, to which topics, and what it looks like.
type Route struct {
	// Section is the path of the output's section in the configuration, for what
	// a preflight has to say: publisher, or publishers[0].
	Section string
	// Filter narrows what the listener lets pass: once it names a table, all
	// others stay out.
	Filter config.TableActions
	// Rules decide the tables' part of the topics.
	Rules config.TopicRules
	// Database is the name a topic template can refer to.
	Database string
	// Topic and TopicPrefix are publisher.topic and publisher.topicPrefix.
	Topic, TopicPrefix string
	// KeyFrom names the columns that are the message key, in this order, of the
	// tables that have them all; empty means the replica identity, or the primary
	// key where that is the whole row.
	KeyFrom []string
	// Name makes a name the broker takes of a topic; nil leaves it as it is.
	Name func(topic string) string
	// Envelope makes the bodies. It is not used where Select is set.
	Envelope format.Envelope
	// Select, if set, narrows the output to the events that it selects, and makes
	// the bodies. It is called once for each version of a table; topic returns the
	// topic that an action's events get.
	Select func(t *publisher.Table, tags map[string]string, topic func(publisher.Action) string) Selection
	// Tags are put on every event.
	Tags map[string]string
	// Inspect, if set, is called once by Check with the tables whose changes reach
	// the output; not at all if Check does not get that far.
	Inspect func(tables []Published)
}

// Selection selects events of one version of one table, and encodes those it
// selects. The reader alone uses it.
type Selection interface {
	format.Plan
	// Passes reports whether any event with the action could be selected. Where it
	// is false the events cost nothing.
	Passes(a publisher.Action) bool
	// Selects reports whether the event goes to the output. It is called once for
	// each event, and Append only for the event that it selected last.
	Selects(e *publisher.Event) bool
}

// router makes, of a table's description and the configuration, the plan by
// which its changes are handled. All decisions are made here, once for each
// Relation message, so that a row costs none.
type router struct {
	cfg    config.Listener
	topics []*topicMaker // of each output
	like   []int         // outPlan.like of each output
	met    *metrics.Metrics
}

// newRouter makes the router of as many outputs as there are routes. It is an
// error if the rules of one cannot be used.
func newRouter(cfg config.Listener, routes []Route, met *metrics.Metrics) (*router, error) {
	r := &router{cfg: cfg, met: met}
	for _, route := range routes {
		topics, err := newTopicMaker(route)
		if err != nil {
			return nil, err
		}
		r.topics = append(r.topics, topics)
	}
	for i := range routes {
		r.like = append(r.like, slices.IndexFunc(routes[:i], routes[i].encodesAs))
	}
	return r, nil
}

// encodesAs reports whether two routes make the same keys and bodies.
func (r *Route) encodesAs(other Route) bool {
	return format.Same(r.Envelope, other.Envelope) && slices.Equal(r.KeyFrom, other.KeyFrom) && maps.Equal(r.Tags, other.Tags)
}

// plan is what is known of one version of one table, or of the logical messages
// with one prefix.
type plan struct {
	table     *publisher.Table
	qualified string // schema.table, the table's name in errors and metrics
	// pass says for each publisher.Action whether its changes go to any output.
	pass          [publisher.LogicalMessage + 1]bool
	hidden        []bool     // columns that never leave; nil if none
	masks         []maskKind // how columns are masked; nil if none is
	skipUnchanged bool       // listener.skipUnchangedUpdates
	filtered      prometheus.Counter
	outs          []outPlan // of each output
	// to lists for each publisher.Action the outputs its changes may go to.
	to [publisher.LogicalMessage + 1][]int
}

// outPlan is what of a plan is different from output to output.
type outPlan struct {
	// pass says for each publisher.Action whether its changes go to the output,
	// topics where to.
	pass   [publisher.LogicalMessage + 1]bool
	topics [publisher.LogicalMessage + 1]string
	key    []int // indexes of the key's columns, in order
	body   format.Plan
	// selects narrows what passes; nil if it does not.
	selects Selection
	// like is an earlier output whose keys and bodies are the same, or negative.
	like int
}

// wants reports whether an event whose action passes goes to the output.
func (o *outPlan) wants(e *publisher.Event) bool { return o.selects == nil || o.selects.Selects(e) }

// plan makes the plan of a table. It is an error if the table gets no topic.
func (r *router) plan(rel *pgoutput.Relation, d details) (*plan, error) {
	schema := rel.Namespace
	if schema == "" {
		schema = "pg_catalog" // which the protocol abbreviates
	}
	t := &publisher.Table{Schema: schema, Name: rel.Name}
	p := &plan{table: t, qualified: schema + "." + rel.Name, skipUnchanged: r.cfg.SkipUnchangedUpdates}
	for i := range rel.Columns {
		c := &rel.Columns[i]
		t.Columns = append(t.Columns, publisher.Column{
			Name: c.Name, Key: c.Key, AppendJSON: appenderFor(c.TypeOID, r.cfg.Values, d.types),
		})
	}
	p.hidden = r.hidden(t)
	p.masks = masks(r.cfg.Mask, t)
	for a := publisher.Insert; a <= publisher.Truncate; a++ {
		p.pass[a] = r.passes(t, a)
	}
	return p, r.finish(p, schema, rel.Name, func(route *Route) []int {
		return keyColumns(rel, route.KeyFrom, d, p.tellsApart)
	})
}

// finish completes a plan whose columns are known, and whose pass says what the
// listener lets pass: schema and table are the names its topics are made of, key
// returns the columns of an output's message key.
func (r *router) finish(p *plan, schema, table string, key func(*Route) []int) error {
	p.filtered = r.met.FilteredCounter(p.qualified)
	admitted := p.pass
	clear(p.pass[:])
	p.outs = make([]outPlan, len(r.topics))
	for i, topics := range r.topics {
		route, o := &topics.route, &p.outs[i]
		o.key, o.like = key(route), r.like[i]
		for a := range admitted {
			o.pass[a] = admitted[a] && allowed(route.Filter, p.table, publisher.Action(a))
		}
		if err := topics.fill(o, schema, table); err != nil {
			return err
		}
		o.encodeBy(route, p.table)
		for a := range o.pass {
			if o.pass[a] {
				p.pass[a], p.to[a] = true, append(p.to[a], i)
			}
		}
	}
	return nil
}

// encodeBy sets what makes the bodies, and stops the actions it selects nothing of.
func (o *outPlan) encodeBy(route *Route, t *publisher.Table) {
	if route.Select == nil {
		o.body = route.Envelope.Plan(t, route.Tags)
		return
	}
	o.selects = route.Select(t, route.Tags, func(a publisher.Action) string { return o.topics[a] })
	o.body = o.selects
	for a := range o.pass {
		o.pass[a] = o.pass[a] && o.selects.Passes(publisher.Action(a))
	}
}

// tellsApart reports whether what leaves of a column differs where its values do.
func (p *plan) tellsApart(column int) bool {
	return (p.hidden == nil || !p.hidden[column]) &&
		(p.masks == nil || p.masks[column] == maskNone || p.masks[column] == maskHash)
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

// passes decides whether an action on a table goes on. walherald's own tables
// never do.
func (r *router) passes(t *publisher.Table, a publisher.Action) bool {
	if t.Schema == r.cfg.Schema || containsFold(r.cfg.Exclude.Schemas, t.Schema) ||
		containsFold(r.cfg.Exclude.Tables, t.Name) || containsFold(r.cfg.Exclude.Tables, t.Schema+"."+t.Name) {
		return false
	}
	if actions, listed := lookup(r.cfg.Include.Tables, t); listed && !containsFold(actions, a.String()) {
		return false
	}
	return allowed(r.cfg.Filter, t, a)
}

// allowed reports whether an allow list lets an action on a table pass. Logical
// messages belong to no table, and listener.messages alone selects them.
func allowed(list config.TableActions, t *publisher.Table, a publisher.Action) bool {
	if len(list.Tables) == 0 || a == publisher.LogicalMessage {
		return true
	}
	actions, listed := lookup(list.Tables, t)
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
