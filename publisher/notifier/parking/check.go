package parking

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/config"
)

// checkTime bounds a Check.
const checkTime = 10 * time.Second

// Around is what Check has to know beside the table.
type Around struct {
	// Destinations are the names of those that something is parked for now.
	Destinations []string
	// Publications are walherald's own, and Slot is its slot.
	Publications []string
	Slot         string
}

// Check looks for what would keep the table from being used, and for what waits in it.
// It changes nothing and ends within 10 s. No finding holds a secret or data of rows.
func (t *Table) Check(ctx context.Context, around Around) config.Findings {
	c := &preflight{table: t, around: around}
	within, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err := pgx.BeginTxFunc(within, t.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error { return c.look(within, tx) })
	if err == nil && c.readable {
		err = c.stock(within)
	}
	if err != nil {
		c.Fail(section, "mend what is found of database; if there is nothing, run the check again", "cannot look at table %s: %v", c.name(), err)
	}
	return c.Findings
}

// section is the path that most findings have.
const section = "notifier.parking"

// preflight is one Check.
type preflight struct {
	config.Findings
	table    *Table
	around   Around
	readable bool // the table is there, is ours and can be used
}

// name is the table's name as it is shown.
func (c *preflight) name() string { return c.table.schema + "." + tableName }

func (c *preflight) look(ctx context.Context, tx pgx.Tx) error {
	var standby bool
	var version int
	err := tx.QueryRow(ctx, "SELECT pg_is_in_recovery(), current_setting('server_version_num')::int").Scan(&standby, &version)
	if err != nil {
		return err
	}
	found, err := c.table.find(ctx, tx)
	if err != nil {
		return err
	}
	if standby {
		c.Fail(section+".store", "let database.host name the primary, or use store: topic", "nothing can be parked in a table: the server is a standby")
		return nil
	}
	if found.kind != "" {
		if err := c.table.judge(found); err != nil {
			what, remedy, _ := strings.Cut(err.Error(), ": ")
			c.Fail("listener.schema", remedy, "nothing can be parked in table %s: %s", c.name(), what)
			return nil
		}
	}
	if err := c.rights(ctx, tx, found); err != nil {
		return err
	}
	return c.subscribers(ctx, tx, version)
}

// rights judges whether the role could make the table, or use the one that is there.
func (c *preflight) rights(ctx context.Context, tx pgx.Tx, s state) error {
	schema := c.table.schema
	sql, args, lacking := "SELECT has_database_privilege(current_database(), 'CREATE')", []any{}, "make schema "+schema
	switch {
	case s.kind != "":
		sql, lacking = `SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
			AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, "read and write table "+c.name()
		args = []any{schema, tableName}
	case s.schema:
		sql, lacking = "SELECT has_schema_privilege($1::text, 'USAGE') AND has_schema_privilege($1::text, 'CREATE')", "make table "+c.name()
		args = []any{schema}
	}
	var may bool
	if err := tx.QueryRow(ctx, sql, args...).Scan(&may); err != nil {
		return err
	}
	c.readable = may && s.kind != ""
	switch {
	case !may:
		c.Fail(section, "let a superuser run: "+c.table.grants(), "nothing can be parked: role %s may not %s", c.table.user, lacking)
	case s.kind == "":
		c.OK(section, "table %s does not exist and would be made", c.name())
	default:
		c.OK(section, "table %s exists and can be used", c.name())
	}
	return nil
}

// subscribers warns of publications that carry the table to whoever else subscribes,
// as long as somebody else does.
func (c *preflight) subscribers(ctx context.Context, tx pgx.Tx, version int) error {
	sql := `SELECT p.pubname FROM pg_publication p WHERE p.pubname <> ALL ($1::text[]) AND EXISTS (SELECT FROM pg_replication_slots s
		WHERE s.plugin = 'pgoutput' AND s.database = current_database() AND s.slot_name <> $2 AND NOT s.temporary) AND (p.puballtables`
	args := []any{c.around.Publications, c.around.Slot}
	if version >= 150000 {
		sql += ` OR EXISTS (SELECT FROM pg_publication_namespace pn JOIN pg_namespace n ON n.oid = pn.pnnspid WHERE pn.pnpubid = p.oid AND n.nspname = $3)`
		args = append(args, c.table.schema)
	}
	rows, err := tx.Query(ctx, sql+") ORDER BY 1", args...)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(names) > 0 {
		c.Warn(section+".store", "let the publication list tables, or schemas other than "+c.table.schema+"; or use store: topic",
			"whoever subscribes to publication %s gets table %s, too, with data of rows, and stops with an error if it has no such table",
			strings.Join(names, ", "), c.name())
	}
	return err
}

// stock tells what is parked.
func (c *preflight) stock(ctx context.Context) error {
	all, err := c.table.Stock(ctx)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		parked := fmt.Sprintf("%d parked for %s since %s", s.Number, name, s.Oldest.UTC().Format(time.RFC3339))
		switch {
		case !slices.Contains(c.around.Destinations, name):
			c.Warn(section, "give a destination that rules send to this name, or give them up: walherald parked drop --destination "+name,
				"%s, to which no rule sends any more: nobody tries them", parked)
		case s.Waiting > 0:
			c.Warn(section, "see why with walherald parked list --destination "+name+", then parked retry or parked drop",
				"%s, of which %d wait for somebody: they are not tried again by themselves", parked, s.Waiting)
		default:
			c.OK(section, "%s, tried again by %s.schedule", parked, section)
		}
	}
	return err
}
