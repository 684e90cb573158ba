package listener

import (
	"context"
	"slices"
	"strings"

	"github.com/walherald/walherald/publisher"
)

// Published is a table whose changes reach an output, as the catalogue has it now.
type Published struct {
	// Table has the columns that leave: those that are excluded, or generated and
	// not published, are not among them. Key says that the log tells the column's value
	// before an UPDATE or DELETE. AppendJSON is nil.
	*publisher.Table
	// Topic returns the topic that an action's events get, and nothing for actions
	// that do not reach the output.
	Topic func(publisher.Action) string
}

// inspect hands the tables over to the routes that ask for them.
func (p *preflight) inspect(ctx context.Context, c *catalog) error {
	if !slices.ContainsFunc(p.routes, func(r Route) bool { return r.Inspect != nil }) {
		return nil
	}
	tables, err := p.describeTold(ctx, c)
	if err != nil {
		return err
	}
	for i := range p.routes {
		if r := &p.routes[i]; r.Inspect != nil {
			topics, err := newTopicMaker(*r)
			if err != nil {
				return err
			}
			r.Inspect(p.reaching(r, topics, tables))
		}
	}
	return nil
}

// reaching returns those of the tables whose changes reach a route's output. One
// that gets no topic is not among them: a start says so.
func (p *preflight) reaching(r *Route, topics *topicMaker, tables []*publisher.Table) []Published {
	var all []Published
	for _, t := range tables {
		var o outPlan
		for a := publisher.Insert; a <= publisher.Truncate; a++ {
			o.pass[a] = p.publishes(strings.ToLower(a.String())) && (&router{cfg: p.cfg}).passes(t, a) && allowed(r.Filter, t, a)
		}
		if topics.fill(&o, t.Schema, t.Name) != nil || !slices.Contains(o.pass[:], true) {
			continue
		}
		all = append(all, Published{Table: t, Topic: func(a publisher.Action) string {
			if !o.pass[a] {
				return ""
			}
			return o.topics[a]
		}})
	}
	return all
}

// describeTold describes the tables as which changes are published. Of partitions
// that are published as one table, the log has what all of them have.
func (p *preflight) describeTold(ctx context.Context, c *catalog) ([]*publisher.Table, error) {
	columns, err := p.readAllColumns(ctx, c)
	if err != nil {
		return nil, err
	}
	lacking := make(map[*tableState]map[string]bool)
	for _, t := range c.told {
		lacking[t] = make(map[string]bool)
	}
	for _, t := range c.tables {
		if t.toldAs == nil || t.identity == "f" || t.partitioned {
			continue
		}
		for _, col := range columns[t] {
			if !col.identity {
				lacking[t.toldAs][col.name] = true
			}
		}
	}
	var tables []*publisher.Table
	for _, t := range c.told {
		made := &publisher.Table{Schema: t.schema, Name: t.name}
		for _, col := range columns[t] {
			made.Columns = append(made.Columns, publisher.Column{Name: col.name, Key: !lacking[t][col.name]})
		}
		if hidden := (&router{cfg: p.cfg}).hidden(made); hidden != nil {
			made.Columns = leave(made.Columns, hidden)
		}
		tables = append(tables, made)
	}
	return tables, nil
}

// leave returns the columns that are not hidden.
func leave(columns []publisher.Column, hidden []bool) (left []publisher.Column) {
	for i, c := range columns {
		if !hidden[i] {
			left = append(left, c)
		}
	}
	return left
}

// readAllColumns reads the columns of all tables, in order.
func (p *preflight) readAllColumns(ctx context.Context, c *catalog) (map[*tableState][]columnState, error) {
	rows, err := p.link.query(ctx, `SELECT a.attrelid, a.attname, `+inIdentity+`
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped AND (`+p.publishedSQL()+`)
		ORDER BY a.attrelid, a.attnum`)
	if err != nil {
		return nil, err
	}
	columns := make(map[*tableState][]columnState)
	for _, r := range rows {
		if t := c.byOID[r[0]]; t != nil {
			columns[t] = append(columns[t], columnState{table: t, name: r[1], identity: r[2] == "t"})
		}
	}
	return columns, nil
}

// publishedSQL is the condition, on pg_attribute a, of the columns that are published:
// those of the publication's column list, if it has one for the table (PostgreSQL 15),
// and generated ones only if the publication says so (PostgreSQL 18).
func (p *preflight) publishedSQL() string {
	sql := "a.attgenerated = ''"
	if p.published && p.link.version >= 180000 {
		sql += " OR a.attgenerated = 's' AND EXISTS (SELECT FROM pg_catalog.pg_publication WHERE oid = " + p.info.oid + " AND pubgencols = 's')"
	}
	if p.published && p.link.version >= 150000 {
		sql = "(" + sql + ") AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = " + p.info.oid +
			" AND r.prrelid = a.attrelid AND r.prattrs IS NOT NULL AND a.attnum <> ALL (r.prattrs))"
	}
	return sql
}
