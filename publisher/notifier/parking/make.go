package parking

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The server's codes for what can be mended by somebody (PostgreSQL manual,
// appendix "PostgreSQL Error Codes").
const (
	codeNoRight  = "42501"
	codeReadOnly = "25006"
	codeNoTable  = "42P01"
	codeNoSchema = "3F000"
)

// version is that of the table's columns. It stands in the table's comment, so
// that a later version of walherald knows what it finds.
const version = 1

const comment = "deliveries parked by walherald, version "

// makeLock keeps two processes that start at once from both making the table.
const makeLock = 0x77616c6865726c64 // "walherld"

// state is what was found of the table.
type state struct {
	schema  bool
	kind    string // of pg_class; empty if there is none
	comment string
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Prepare makes the table if there is none. Park does it, too; to call Prepare at
// the start tells early of a right that is missing.
func (t *Table) Prepare(ctx context.Context) error {
	return t.explain("prepare parking", t.ensure(ctx))
}

// use runs do once the table is there. The errors of both say what to do.
func (t *Table) use(ctx context.Context, what string, do func() error) error {
	err := t.ensure(ctx)
	if err == nil {
		err = do()
	}
	return t.explain(what, err)
}

// read runs do, which changes nothing; a table that is not there is one without
// rows.
func (t *Table) read(what string, do func() error) error {
	err := do()
	switch codeOf(err) {
	case codeNoTable, codeNoSchema:
		return nil
	}
	return t.explain(what, err)
}

// ensure makes the table if it is not known to be there.
func (t *Table) ensure(ctx context.Context) error {
	ctx, cancel := bounded(ctx, 0)
	defer cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.made {
		return nil
	}
	found, err := t.find(ctx, t.pool)
	if err == nil && found.kind == "" {
		err = t.transact(ctx, func(tx pgx.Tx) error { return t.make(ctx, tx) })
	} else if err == nil {
		err = t.judge(found)
	}
	if err != nil {
		return fmt.Errorf("make table %s: %w", t.name, err)
	}
	t.made = true
	return nil
}

// find looks for the table.
func (t *Table) find(ctx context.Context, q querier) (state, error) {
	var s state
	err := q.QueryRow(ctx, `SELECT n.oid IS NOT NULL, coalesce(c.relkind::text, ''), coalesce(obj_description(c.oid, 'pg_class'), '')
		FROM (VALUES ($1::text, $2::text)) AS v(schema, name)
		LEFT JOIN pg_namespace n ON n.nspname = v.schema
		LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = v.name`, t.schema, tableName).Scan(&s.schema, &s.kind, &s.comment)
	return s, err
}

// judge refuses a table that is not ours, or not yet known.
func (t *Table) judge(s state) error {
	text, ours := strings.CutPrefix(s.comment, comment)
	v, err := strconv.Atoi(text)
	if s.kind != "r" || !ours || err != nil {
		return errors.New("something else has this name: let listener.schema name another schema")
	}
	if v > version {
		return fmt.Errorf("it was made by a newer walherald (version %d of the table, this one knows %d): run that one", v, version)
	}
	return nil
}

// make makes what is missing, one process after the other.
func (t *Table) make(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(makeLock)); err != nil {
		return err
	}
	found, err := t.find(ctx, tx)
	if err != nil {
		return err
	}
	if found.kind != "" {
		return t.judge(found)
	}
	statements := []string{
		`CREATE TABLE ` + t.name + ` (
			destination text NOT NULL, id uuid NOT NULL, rule text NOT NULL, topic text NOT NULL, tbl text NOT NULL,
			action text NOT NULL, key bytea NOT NULL, commit_time timestamptz NOT NULL, lsn pg_lsn NOT NULL,
			payload bytea NOT NULL, attempts int NOT NULL DEFAULT 0, reason text NOT NULL, manual boolean NOT NULL,
			parked_at timestamptz NOT NULL DEFAULT now(), next_at timestamptz, claimed_until timestamptz,
			PRIMARY KEY (destination, id))`,
		`CREATE INDEX ON ` + t.name + ` (destination, next_at) WHERE next_at IS NOT NULL`,
		`COMMENT ON TABLE ` + t.name + ` IS '` + comment + strconv.Itoa(version) + `'`,
	}
	if !found.schema {
		statements = append([]string{"CREATE SCHEMA " + quote(t.schema)}, statements...)
	}
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// explain says what failed and what to do about it. A table that has gone is made
// again at the next attempt.
func (t *Table) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	switch codeOf(err) {
	case codeNoTable, codeNoSchema:
		t.mu.Lock()
		t.made = false
		t.mu.Unlock()
	case codeNoRight:
		return fmt.Errorf("%s: %w; let a superuser run: %s", what, err, t.grants())
	case codeReadOnly:
		return fmt.Errorf("%s: %w: the server is a standby: let database.host name the primary, or notifier.parking.store be topic", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// grants is the SQL that gives the role all it needs, whatever is there already.
func (t *Table) grants() string {
	schema, role := quote(t.schema), quote(t.user)
	return "CREATE SCHEMA IF NOT EXISTS " + schema + "; GRANT USAGE, CREATE ON SCHEMA " + schema + " TO " + role +
		"; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + schema + " TO " + role
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// codeOf returns the server's code of an error, empty if it is not the server's.
func codeOf(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
