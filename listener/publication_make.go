package listener

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/walherald/walherald/config"
)

// preparePublication makes the publication, or, where that is asked for, alters
// one that exists to what is configured. One that differs is otherwise taken as
// it is.
func (l *link) preparePublication(ctx context.Context, name string, exists bool, cfg config.Publication, tell func(what, name string)) error {
	if !exists {
		made, err := l.createPublication(ctx, name, cfg)
		if err != nil {
			return err
		}
		if made {
			tell("created publication", name)
			return nil
		}
	}
	if !cfg.Alter {
		return nil
	}
	return l.alterPublication(ctx, name, cfg, tell)
}

// The server's codes for what somebody else has made at the same time, seen
// before or after that was committed, and for what they have taken away.
const (
	codeDuplicateObject = "42710"
	codeUniqueViolation = "23505"
	codeUndefinedObject = "42704"
)

// createPublication makes the publication. It reports false if somebody else
// has made it meanwhile.
func (l *link) createPublication(ctx context.Context, name string, cfg config.Publication) (made bool, err error) {
	_, err = l.query(ctx, l.createSQL(name, cfg))
	switch state := sqlState(err); {
	case err == nil:
		return true, nil
	case state == codeDuplicateObject, state == codeUniqueViolation:
		return false, nil
	case isFatal(err):
		return false, l.whyNot(ctx, name, cfg, err)
	}
	return false, fmt.Errorf("create publication %q: %w", name, err)
}

// whyNot makes of the refusal to create a publication one that says which right
// or table is missing.
func (l *link) whyNot(ctx context.Context, name string, cfg config.Publication, refused error) error {
	found, err := l.judgeCreate(ctx, name, cfg)
	if err != nil || len(found) == 0 {
		if sqlState(refused) != "42501" {
			return fatalf("create publication %q: %w", name, refused)
		}
		return fatalf("create publication %q: %w; let a superuser run: %s", name, refused, l.createSQL(name, cfg))
	}
	reasons := make([]string, len(found))
	for i, f := range found {
		reasons[i] = f.What + "; " + f.Remedy
	}
	return fatalf("create publication %q: %w: %s", name, refused, strings.Join(reasons, "; "))
}

// judgeCreate says what keeps the role from creating the publication
// (PostgreSQL documentation, CREATE PUBLICATION); nothing if it may.
func (l *link) judgeCreate(ctx context.Context, name string, cfg config.Publication) (found config.Findings, err error) {
	rows, err := l.query(ctx, `SELECT rolsuper, pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'), rolname,
		pg_catalog.current_database() FROM pg_catalog.pg_roles WHERE rolname = current_user`)
	if err == nil && len(rows) == 0 {
		err = errors.New("role was dropped")
	}
	if err != nil {
		return nil, fmt.Errorf("read rights of the role: %w", err)
	}
	superuser, mayCreate, role, database := rows[0][0] == "t", rows[0][1] == "t", rows[0][2], rows[0][3]
	switch {
	case len(cfg.Tables) == 0 && !superuser:
		found.Fail("listener.publication", "let a superuser run: "+l.createSQL(name, cfg)+"; or list tables that the role owns in listener.publication.tables",
			"publication %q does not exist, and role %s may not create it: for all tables only a superuser can", name, role)
	case !mayCreate:
		found.Fail("listener.publication", "let the owner of the database run: GRANT CREATE ON DATABASE "+quoteIdent(database)+" TO "+quoteIdent(role),
			"publication %q does not exist, and role %s may not create it in this database", name, role)
	}
	tables, err := l.judgeTables(ctx, cfg.Tables, role)
	return append(found, tables...), err
}

// judgeTables says what keeps the role from publishing tables. It takes no
// rights on them, unlike resolving their names would.
func (l *link) judgeTables(ctx context.Context, names []string, role string) (found config.Findings, err error) {
	const path = "listener.publication.tables"
	wanted, err := l.resolve(ctx, names)
	for i, name := range names {
		if err != nil {
			break
		}
		switch t := wanted[i]; {
		case t.oid == "":
			found.Fail(path, "correct the name (its case counts), or create the table", "table %s does not exist", name)
		case !t.isTable:
			found.Fail(path, "remove it from the list", "%s is no table, and nothing else can be published", name)
		case !t.logged:
			found.Fail(path, "let its owner run: ALTER TABLE "+quoteTable(name)+" SET LOGGED; or remove it from the list",
				"table %s is unlogged or temporary: its changes are not in the log", name)
		case !t.owned:
			found.Fail(path, "let a superuser put the table into the publication, or run: ALTER TABLE "+quoteTable(name)+" OWNER TO "+quoteIdent(role),
				"role %s does not own table %s and may not publish it", role, name)
		}
	}
	return found, err
}

// wantedTable is what the database has by a configured name.
type wantedTable struct {
	oid                    string // empty if there is nothing
	schema, name           string
	isTable, logged, owned bool
}

// resolve looks tables up by their configured names, in the order of these.
func (l *link) resolve(ctx context.Context, names []string) ([]wantedTable, error) {
	if len(names) == 0 {
		return nil, nil
	}
	rows, err := l.query(ctx, `SELECT w.i, c.oid, n.nspname, c.relname, c.relkind IN ('r', 'p'), c.relpersistence = 'p',
		pg_catalog.pg_has_role(c.relowner, 'USAGE') `+fromNames(names))
	if err != nil {
		return nil, fmt.Errorf("look up tables of listener.publication.tables: %w", err)
	}
	wanted := make([]wantedTable, len(names))
	for _, r := range rows {
		i, err := strconv.Atoi(r[0])
		if err != nil {
			return nil, fmt.Errorf("look up tables of listener.publication.tables: %w", err)
		}
		wanted[i] = wantedTable{oid: r[1], schema: r[2], name: r[3], isTable: r[4] == "t", logged: r[5] == "t", owned: r[6] == "t"}
	}
	return wanted, nil
}

// fromNames is the FROM and WHERE of a query for the relations of configured
// names: pg_class c, pg_namespace n, and w.i, the name's place in the list.
func fromNames(names []string) string {
	values := make([]string, len(names))
	for i, name := range names {
		schema, relation, qualified := strings.Cut(name, ".")
		if !qualified {
			schema, relation = "", name
		}
		values[i] = fmt.Sprintf("(%d, %s, %s)", i, quoteLiteral(schema), quoteLiteral(relation))
	}
	return "FROM (VALUES " + strings.Join(values, ", ") + `) w (i, schema, name) JOIN pg_catalog.pg_class c ON c.relname = w.name
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE CASE WHEN w.schema = '' THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = w.schema END`
}
