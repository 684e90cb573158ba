package listener

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/walherald/walherald/config"
)

// publicationChange is one point in which a publication differs from its
// configuration.
type publicationChange struct {
	path string
	// what differs, and what altering it does, as "added public.users".
	what, done string
	// sql are the statements that mend it, in one transaction; alterable says
	// that altering is enough, and not making it anew.
	sql       []string
	alterable bool
	// missing lists tables that do not exist.
	missing []string
	// names are the tables that are added, as they are configured.
	names []string
}

// finding says what differs and what to do about it.
func (c publicationChange) finding(name string) config.Finding {
	f := config.Finding{Severity: config.FindingWarning, Path: c.path, What: fmt.Sprintf("publication %q %s", name, c.what)}
	sql := strings.Join(c.sql, "; ")
	switch {
	case c.missing != nil:
		f.Remedy = "correct the names (their case counts), or create the tables"
	case c.alterable:
		f.Remedy = "let its owner run: " + sql + "; or set listener.publication.alter; or make the configuration say what the publication is"
	default:
		f.Remedy = "an ALTER cannot do that; let its owner make it anew in one transaction, which loses nothing: " + sql +
			"; or remove listener.publication.tables"
	}
	return f
}

// comparePublication says in what a publication differs from the configuration.
// The tables are compared only where they are configured.
func (l *link) comparePublication(ctx context.Context, p PublicationInfo, cfg config.Publication) ([]publicationChange, error) {
	var changes []publicationChange
	name := quoteIdent(p.Name)
	if len(cfg.Tables) > 0 && p.AllTables {
		changes = append(changes, publicationChange{
			path: "listener.publication.tables", what: "is for all tables, and the configuration lists " + someOf(cfg.Tables),
			sql: []string{"BEGIN", "DROP PUBLICATION " + name, l.createSQL(p.Name, cfg), "COMMIT"},
		})
	}
	if len(cfg.Tables) > 0 && !p.AllTables {
		wanted, err := l.resolve(ctx, cfg.Tables)
		if err != nil {
			return nil, err
		}
		changes = append(changes, compareTables(p, cfg.Tables, wanted)...)
	}
	if p.ViaPartitionRoot != cfg.ViaPartitionRoot {
		changes = append(changes, publicationChange{
			path: "listener.publication.viaPartitionRoot", alterable: true,
			what: fmt.Sprintf("has publish_via_partition_root = %t, the configuration asks for %t", p.ViaPartitionRoot, cfg.ViaPartitionRoot),
			done: fmt.Sprintf("publish_via_partition_root is %t", cfg.ViaPartitionRoot),
			sql:  []string{fmt.Sprintf("ALTER PUBLICATION %s SET (publish_via_partition_root = %t)", name, cfg.ViaPartitionRoot)},
		})
	}
	return changes, nil
}

// compareTables says which tables a publication lacks and which it has too
// many. Only the difference is ever altered: to set the whole list anew would
// throw away the column lists and row filters that others gave it.
func compareTables(p PublicationInfo, names []string, wanted []wantedTable) []publicationChange {
	const path = "listener.publication.tables"
	var missing, added, add, addSQL, remove, removeSQL []string
	keep := map[string]bool{}
	for i, w := range wanted {
		switch {
		case w.oid == "":
			missing = append(missing, names[i])
		case !slices.ContainsFunc(p.Tables, func(t PublishedTable) bool { return t.oid == w.oid }) && !keep[w.oid]:
			added, add = append(added, names[i]), append(add, w.schema+"."+w.name)
			addSQL = append(addSQL, quoteIdent(w.schema)+"."+quoteIdent(w.name))
		}
		keep[w.oid] = true
	}
	for _, t := range p.Tables {
		if !keep[t.oid] {
			remove = append(remove, t.Schema+"."+t.Name)
			removeSQL = append(removeSQL, quoteIdent(t.Schema)+"."+quoteIdent(t.Name))
		}
	}
	var changes []publicationChange
	if missing != nil {
		changes = append(changes, publicationChange{path: path, what: "lacks tables that are configured and do not exist: " + someOf(missing), missing: missing})
	}
	alter := "ALTER PUBLICATION " + quoteIdent(p.Name)
	if add != nil {
		changes = append(changes, publicationChange{
			path: path, alterable: true, what: "does not publish " + someOf(add), done: "added " + someOf(add),
			sql: []string{alter + " ADD TABLE " + strings.Join(addSQL, ", ")}, names: added,
		})
	}
	if remove != nil {
		changes = append(changes, publicationChange{
			path: path, alterable: true, what: "also publishes " + someOf(remove), done: "removed " + someOf(remove),
			sql: []string{alter + " DROP TABLE " + strings.Join(removeSQL, ", ")},
		})
	}
	for _, schema := range p.Schemas {
		changes = append(changes, publicationChange{
			path: path, alterable: true, what: "also publishes all tables of schema " + schema, done: "removed schema " + schema,
			sql: []string{alter + " DROP TABLES IN SCHEMA " + quoteIdent(schema)},
		})
	}
	return changes
}

// alterAttempts is how often a publication is compared anew because somebody
// else alters it at the same time.
const alterAttempts = 3

// codeReadOnly is the server's code for a write on a standby.
const codeReadOnly = "25006"

// alterPublication makes a publication that exists what is configured, as far
// as altering can, and tells what it altered. The rest does not keep walherald
// from reading: a table that is gone is no reason to stop for all the others.
func (l *link) alterPublication(ctx context.Context, name string, cfg config.Publication, tell func(what, name string)) error {
	var err error
	for range alterAttempts {
		var info PublicationInfo
		if info, err = l.readPublication(ctx, name); err != nil {
			return err
		}
		var changes []publicationChange
		if changes, err = l.comparePublication(ctx, info, cfg); err != nil {
			return err
		}
		done, sql := alteration(changes)
		if len(sql) == 0 {
			return nil
		}
		// One query is one transaction.
		if _, err = l.query(ctx, strings.Join(sql, "; ")); err == nil {
			tell("altered publication: "+strings.Join(done, ", "), name)
			return nil
		}
		switch sqlState(err) {
		case codeDuplicateObject, codeUniqueViolation, codeUndefinedObject:
			continue
		case codeReadOnly:
			return nil // a standby; what differs is warned of
		case "42501":
			return fatalf("alter publication %q: %w; let its owner %s, who has to own the tables too, run: %s",
				name, err, quoteIdent(info.Owner), strings.Join(sql, "; "))
		}
		break
	}
	return fmt.Errorf("alter publication %q: %w", name, err)
}

// alteration returns what an ALTER can mend.
func alteration(changes []publicationChange) (done, sql []string) {
	for _, c := range changes {
		if c.alterable {
			done, sql = append(done, c.done), append(sql, c.sql...)
		}
	}
	return done, sql
}

// someOf lists names, but five at most, and says how many there are.
func someOf(names []string) string {
	if len(names) <= maxListed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), len(names)-maxListed)
}

// maxListed is how many names a finding lists at most.
const maxListed = 5
