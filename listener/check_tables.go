package listener

import (
	"context"
	"fmt"
	"strings"

	"github.com/walherald/walherald/publisher"
)

// tableState is a table of the database and how the publication treats it.
type tableState struct {
	oid, schema, name string
	partitioned       bool
	logged            bool
	// identity is pg_class.relreplident; identified says that UPDATE and DELETE
	// can tell the rows apart by it.
	identity   string
	identified bool
	listed     bool // the publication names it, or its schema, or all tables
	parent     *tableState
	// toldAs is the table as which its changes are published: itself, or one that
	// it is part of; nil if they are not. A partitioned table has none of its own.
	toldAs *tableState
}

func (t *tableState) String() string { return t.schema + "." + t.name }

// catalog is all tables of the database, as they are at one moment.
type catalog struct {
	tables []*tableState
	byOID  map[string]*tableState
	// byName holds each under "table" and "schema.table", byFold the same in lower
	// case.
	byName, byFold map[string][]*tableState
	// told is what changes are published as, each once.
	told []*tableState
}

// readTables reads all tables in one query, which takes no locks and no rights
// on them: what pg_publication_tables would say is worked out here, since that
// view opens every table.
func (p *preflight) readTables(ctx context.Context) (*catalog, error) {
	rows, err := p.link.query(ctx, `SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relpersistence = 'p', c.relreplident,
		c.relreplident = 'f' OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND
			CASE c.relreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate WHEN 'i' THEN i.indisreplident ELSE false END),
		`+p.listedSQL()+`, (SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE c.relispartition AND i.inhrelid = c.oid)
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.oid >= 16384 ORDER BY 2, 3`)
	if err != nil {
		return nil, err
	}
	c := &catalog{byOID: map[string]*tableState{}, byName: map[string][]*tableState{}, byFold: map[string][]*tableState{}}
	for _, r := range rows {
		c.add(&tableState{
			oid: r[0], schema: r[1], name: r[2], partitioned: r[3] == "t", logged: r[4] == "t",
			identity: r[5], identified: r[6] == "t", listed: r[7] == "t",
		})
	}
	for i, r := range rows {
		c.tables[i].parent = c.byOID[r[8]]
	}
	c.tell(p.viaRoot())
	return c, nil
}

func (c *catalog) add(t *tableState) {
	c.tables, c.byOID[t.oid] = append(c.tables, t), t
	for _, name := range []string{t.name, t.String()} {
		c.byName[name] = append(c.byName[name], t)
		folded := strings.ToLower(name)
		c.byFold[folded] = append(c.byFold[folded], t)
	}
}

// tell finds out as which table the changes of each are published (PostgreSQL
// documentation, CREATE PUBLICATION, publish_via_partition_root).
func (c *catalog) tell(viaRoot bool) {
	seen := map[*tableState]bool{}
	for _, t := range c.tables {
		var top *tableState
		for a := t; a != nil; a = a.parent {
			if a.listed {
				top = a
			}
		}
		switch {
		case top == nil || !t.logged, t.partitioned && !(viaRoot && top == t):
			continue
		case viaRoot:
			t.toldAs = top
		default:
			t.toldAs = t
		}
		if !seen[t.toldAs] {
			seen[t.toldAs] = true
			c.told = append(c.told, t.toldAs)
		}
	}
}

// checkTables checks the tables against what the configuration says of them.
func (p *preflight) checkTables(ctx context.Context) error {
	if !p.published && p.slot.exists {
		return nil // nothing is known of what it would publish
	}
	c, err := p.readTables(ctx)
	if err != nil {
		return err
	}
	when := "are published now"
	if !p.published {
		when = "would be published"
	}
	p.OK("listener.publication", "tables that %s: %d, of which the configuration lets pass: %d", when, len(c.told), len(names(c.told, p.passesAny)))
	p.identities(c)
	p.unchanged(c)
	p.filters(c)
	if err := p.exclusions(ctx, c); err != nil {
		return err
	}
	if err := p.columns(ctx, c); err != nil {
		return err
	}
	return p.inspect(ctx, c)
}

// identities warns of tables that have nothing to tell their rows apart:
// PostgreSQL refuses their UPDATE and DELETE once they are published, to every
// application and whatever walherald's filter says.
func (p *preflight) identities(c *catalog) {
	if !p.publishes("update") && !p.publishes("delete") {
		return
	}
	bare := names(c.tables, func(t *tableState) bool {
		return t.toldAs != nil && !t.partitioned && !t.identified && t.schema != p.cfg.Schema
	})
	if len(bare) > 0 {
		since := ""
		if !p.published {
			since = "once published, "
		}
		p.Warn("listener.publication", "give them a primary key, or let their owner run: ALTER TABLE ... REPLICA IDENTITY FULL",
			"%sUPDATE and DELETE fail for everybody on published tables without a replica identity (%d): %s", since, len(bare), someOf(bare))
	}
}

// unchanged warns of tables whose log does not tell an update that changes
// nothing.
func (p *preflight) unchanged(c *catalog) {
	if !p.cfg.SkipUnchangedUpdates {
		return
	}
	short := names(c.tables, func(t *tableState) bool {
		return !t.partitioned && t.identity != "f" && t.toldAs != nil && p.passes(t.toldAs, publisher.Update)
	})
	if len(short) > 0 {
		p.Warn("listener.skipUnchangedUpdates", "let their owner run: ALTER TABLE ... REPLICA IDENTITY FULL, which makes the log of updates larger",
			"skipUnchangedUpdates has no effect on tables without REPLICA IDENTITY FULL (%d): %s", len(short), someOf(short))
	}
}

// passes reports whether changes that are published go on.
func (p *preflight) passes(t *tableState, a publisher.Action) bool {
	return (&router{cfg: p.cfg}).passes(&publisher.Table{Schema: t.schema, Name: t.name}, a)
}

func (p *preflight) passesAny(t *tableState) bool {
	for a := publisher.Insert; a <= publisher.Truncate; a++ {
		if p.passes(t, a) {
			return true
		}
	}
	return false
}

// names returns the names of some tables.
func names(tables []*tableState, which func(*tableState) bool) []string {
	var found []string
	for _, t := range tables {
		if which(t) {
			found = append(found, t.String())
		}
	}
	return found
}

// at is the path of an entry of a mapping or a list.
func at(path string, entry any) string { return fmt.Sprintf("%s[%v]", path, entry) }
