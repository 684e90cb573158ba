package listener

import (
	"context"
	"slices"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// columnState is a column of a table that the configuration may mean.
type columnState struct {
	table *tableState
	name  string
	// identity says that it is part of the replica identity.
	identity bool
}

// inIdentity says, of a column a of a table c, whether it is part of the replica
// identity; the whole row is none.
const inIdentity = `EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid
			AND a.attnum = ANY (i.indkey) AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)`

// columns checks the columns that are excluded, masked or make the key.
func (p *preflight) columns(ctx context.Context, c *catalog) error {
	columns, err := p.readColumns(ctx, c)
	if err != nil {
		return err
	}
	for i, entry := range p.cfg.Exclude.Columns {
		hides := func(col columnState) bool {
			return strings.EqualFold(entry, col.name) || strings.EqualFold(entry, col.table.name+"."+col.name) ||
				strings.EqualFold(entry, col.table.String()+"."+col.name)
		}
		if !slices.ContainsFunc(columns, hides) {
			p.Warn(at("listener.exclude.columns", i), "correct or remove it", "no table has the column %s", entry)
		}
	}
	for i, m := range p.cfg.Mask {
		p.maskedColumn(c, at("listener.mask", i), m, columns)
	}
	p.keyColumns(c, columns)
	return nil
}

// maskedColumn warns of a mask whose column does not exist. That its table does
// not has been told.
func (p *preflight) maskedColumn(c *catalog, path string, m config.Mask, columns []columnState) {
	if m.Table != "*" && len(c.byFold[strings.ToLower(m.Table)]) == 0 {
		return
	}
	if slices.ContainsFunc(columns, func(col columnState) bool {
		return maskNames(m, &publisher.Table{Schema: col.table.schema, Name: col.table.name}, col.name)
	}) {
		return
	}
	where := "table " + m.Table + " has no"
	if m.Table == "*" {
		where = "no table has the"
	}
	p.Warn(path+".column", "correct or remove it", "%s column %s", where, m.Column)
}

// keyColumns warns of tables that messageKeyFrom does not fit.
func (p *preflight) keyColumns(c *catalog, columns []columnState) {
	for _, r := range p.routes {
		if len(r.KeyFrom) > 0 {
			p.keyColumnsOf(r.Section+".messageKeyFrom", r.KeyFrom, c, columns)
		}
	}
}

func (p *preflight) keyColumnsOf(path string, keyFrom []string, c *catalog, columns []columnState) {
	has, identity := map[*tableState]int{}, map[*tableState]int{}
	for _, col := range columns {
		if slices.Contains(keyFrom, col.name) {
			has[col.table]++
			if col.identity {
				identity[col.table]++
			}
		}
	}
	wanted := strings.Join(keyFrom, ", ")
	lacking := names(c.told, func(t *tableState) bool { return has[t] < len(keyFrom) && p.passesAny(t) })
	if len(lacking) > 0 {
		p.Warn(path, "nothing, if the key of those may be their replica identity; otherwise add the columns, or exclude the tables",
			"tables that lack one of the columns %s (%d): %s", wanted, len(lacking), someOf(lacking))
	}
	silent := names(c.told, func(t *tableState) bool {
		return has[t] == len(keyFrom) && identity[t] < len(keyFrom) && t.identity != "f" && p.passes(t, publisher.Delete)
	})
	if len(silent) > 0 {
		p.Warn(path, "let their owner run: ALTER TABLE ... REPLICA IDENTITY USING INDEX, with an index that has the columns, or REPLICA IDENTITY FULL",
			"a DELETE has no message key in tables whose replica identity lacks one of the columns %s (%d): %s", wanted, len(silent), someOf(silent))
	}
}

// readColumns reads the columns that have a name the configuration means, with
// no regard to case.
func (p *preflight) readColumns(ctx context.Context, c *catalog) ([]columnState, error) {
	var meant []string
	mean := func(name string) { meant = append(meant, "lower("+quoteLiteral(name)+")") }
	for _, entry := range p.cfg.Exclude.Columns {
		for rest, found := entry, true; found; _, rest, found = strings.Cut(rest, ".") {
			mean(rest)
		}
	}
	for _, m := range p.cfg.Mask {
		mean(m.Column)
	}
	for _, r := range p.routes {
		for _, name := range r.KeyFrom {
			mean(name)
		}
	}
	if meant == nil {
		return nil, nil
	}
	// The type name has the collation C, by which only ASCII has cases.
	rows, err := p.link.query(ctx, `SELECT a.attrelid, a.attname, `+inIdentity+`
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
		WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
			AND lower(a.attname::text COLLATE "default") IN (`+strings.Join(meant, ", ")+")")
	if err != nil {
		return nil, err
	}
	var columns []columnState
	for _, r := range rows {
		if t := c.byOID[r[0]]; t != nil {
			columns = append(columns, columnState{table: t, name: r[1], identity: r[2] == "t"})
		}
	}
	return columns, nil
}
