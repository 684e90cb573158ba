package listener

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/walherald/walherald/config"
)

// The publications that are used where none is named: ours, or that of
// wal-listener, whose slots go on with it.
const (
	defaultPublication = "walherald"
	legacyPublication  = "wal-listener"
)

// PublicationInfo is a publication as the database has it (PostgreSQL
// documentation, pg_publication).
type PublicationInfo struct {
	Name, Owner string
	// AllTables says that it was made FOR ALL TABLES; Tables and Schemas are
	// empty then.
	AllTables bool
	// Tables are those it names, by schema and name.
	Tables []PublishedTable
	// Schemas are those it names whole (PostgreSQL 15 and newer).
	Schemas []string
	// Actions are those of insert, update, delete and truncate that it publishes.
	Actions []string
	// ViaPartitionRoot is publish_via_partition_root.
	ViaPartitionRoot bool
	// Differences say where it is not what the configuration asks for, each with
	// the SQL that would make it so.
	Differences []config.Finding

	oid    string
	mayOwn bool // the role may alter it
}

// PublishedTable is a table that a publication names.
type PublishedTable struct {
	Schema, Name string
	// Columns is the column list, as in SQL; empty means all columns. Filter is
	// the row filter's expression, or empty. Both are of PostgreSQL 15 and newer.
	Columns, Filter string

	oid string
}

// ErrNoPublication says that a publication does not exist.
var ErrNoPublication = errors.New("publication does not exist")

// ShowPublication reads the publication that cfg names, or the one that is used
// where it names none, and compares it with cfg. It changes nothing and takes no
// walsender. The error is ErrNoPublication if there is none; Name is set also
// then.
func ShowPublication(ctx context.Context, cfg config.Listener, db config.Database) (PublicationInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	l, err := connectPlain(ctx, db)
	if err != nil {
		return PublicationInfo{}, err
	}
	defer l.close()
	name, exists, err := l.choosePublication(ctx, cfg.Publication)
	if err != nil {
		return PublicationInfo{}, err
	}
	if !exists {
		return PublicationInfo{Name: name}, fmt.Errorf("%w: %q in database %q; walherald makes it when it starts, or run: %s",
			ErrNoPublication, name, db.Name, l.createSQL(name, cfg.Publication))
	}
	info, err := l.readPublication(ctx, name)
	if err != nil {
		return info, err
	}
	changes, err := l.comparePublication(ctx, info, cfg.Publication)
	for _, c := range changes {
		info.Differences = append(info.Differences, c.finding(info.Name))
	}
	return info, err
}

// publicationExists reports whether the database has the publication.
func (l *link) publicationExists(ctx context.Context, name string) (bool, error) {
	rows, err := l.query(ctx, "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = "+quoteLiteral(name))
	if err != nil {
		return false, fmt.Errorf("read publication %q: %w", name, err)
	}
	return len(rows) > 0, nil
}

// choosePublication returns the publication's name and whether it exists.
func (l *link) choosePublication(ctx context.Context, cfg config.Publication) (name string, exists bool, err error) {
	if cfg.Name != "" {
		exists, err = l.publicationExists(ctx, cfg.Name)
		return cfg.Name, exists, err
	}
	for _, name := range []string{defaultPublication, legacyPublication} {
		if exists, err = l.publicationExists(ctx, name); exists || err != nil {
			return name, exists, err
		}
	}
	return defaultPublication, false, nil
}

// readPublication reads a publication that exists.
func (l *link) readPublication(ctx context.Context, name string) (PublicationInfo, error) {
	rows, err := l.query(ctx, `SELECT oid, pg_catalog.pg_get_userbyid(pubowner), pg_catalog.pg_has_role(pubowner, 'USAGE'), puballtables, pubviaroot,
		pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_catalog.pg_publication WHERE pubname = `+quoteLiteral(name))
	if err == nil && len(rows) == 0 {
		err = errors.New("it was dropped meanwhile")
	}
	if err != nil {
		return PublicationInfo{}, fmt.Errorf("read publication %q: %w", name, err)
	}
	r := rows[0]
	p := PublicationInfo{
		Name: name, oid: r[0], Owner: r[1], mayOwn: r[2] == "t", AllTables: r[3] == "t", ViaPartitionRoot: r[4] == "t",
	}
	for i, action := range actions {
		if r[5+i] == "t" {
			p.Actions = append(p.Actions, action)
		}
	}
	if err := l.readPublished(ctx, &p); err != nil {
		return p, fmt.Errorf("read tables of publication %q: %w", name, err)
	}
	return p, nil
}

// actions are what a publication can publish, in the order of their columns.
var actions = []string{"insert", "update", "delete", "truncate"}

// readPublished reads the tables and schemas that a publication names.
func (l *link) readPublished(ctx context.Context, p *PublicationInfo) error {
	columns, filter := "''", "''"
	if l.version >= 150000 {
		filter = "pg_catalog.pg_get_expr(r.prqual, r.prrelid)"
		columns = `(SELECT string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs))`
	}
	rows, err := l.query(ctx, "SELECT n.nspname, c.relname, "+columns+", "+filter+`, c.oid FROM pg_catalog.pg_publication_rel r
		JOIN pg_catalog.pg_class c ON c.oid = r.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE r.prpubid = `+p.oid+" ORDER BY 1, 2")
	if err != nil {
		return err
	}
	for _, r := range rows {
		p.Tables = append(p.Tables, PublishedTable{Schema: r[0], Name: r[1], Columns: r[2], Filter: r[3], oid: r[4]})
	}
	if l.version < 150000 {
		return nil
	}
	rows, err = l.query(ctx, `SELECT n.nspname FROM pg_catalog.pg_publication_namespace p
		JOIN pg_catalog.pg_namespace n ON n.oid = p.pnnspid WHERE p.pnpubid = `+p.oid+" ORDER BY 1")
	for _, r := range rows {
		p.Schemas = append(p.Schemas, r[0])
	}
	return err
}

// createSQL is the statement that makes a publication as it is configured.
func (l *link) createSQL(name string, cfg config.Publication) string {
	sql := "CREATE PUBLICATION " + quoteIdent(name) + " FOR ALL TABLES"
	if len(cfg.Tables) > 0 {
		sql = "CREATE PUBLICATION " + quoteIdent(name) + " FOR TABLE " + quoteTables(cfg.Tables)
	}
	if cfg.ViaPartitionRoot {
		sql += " WITH (publish_via_partition_root = true)"
	}
	return sql
}

func quoteTables(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quoteTable(name)
	}
	return strings.Join(quoted, ", ")
}
