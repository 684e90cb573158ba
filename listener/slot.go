package listener

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walherald/walherald/config"
)

// slotState is a row of pg_replication_slots.
type slotState struct {
	exists    bool
	plugin    string
	database  string
	activePID string // empty if no process streams from it
	lost      bool   // the server has removed log that it needs
	confirmed string // confirmed_flush_lsn
}

// readSlot reads the slot's state.
func (l *link) readSlot(ctx context.Context, name string) (slotState, error) {
	walStatus := "wal_status"
	if l.version < 130000 {
		walStatus = "''"
	}
	rows, err := l.query(ctx, `SELECT plugin, database, active_pid::text, confirmed_flush_lsn::text, restart_lsn::text, `+
		walStatus+` FROM pg_catalog.pg_replication_slots WHERE slot_name = `+quoteLiteral(name))
	if err != nil {
		return slotState{}, fmt.Errorf("read slot %s: %w", name, err)
	}
	if len(rows) == 0 {
		return slotState{}, nil
	}
	r := rows[0]
	return slotState{
		exists: true, plugin: r[0], database: r[1], activePID: r[2], confirmed: r[3],
		lost: r[5] == "lost" || r[4] == "",
	}, nil
}

// prepareSlot makes sure that publication and slot exist, made in this order:
// the server looks a publication up as of the change it decodes, so a slot
// that is older than its publication could never be read. A slot that has been
// read before must be there: one made anew would hide that what came since is
// lost. It returns the publication's name.
func (l *link) prepareSlot(ctx context.Context, cfg config.Listener, tell func(what, name string)) (string, error) {
	publication, exists, err := l.choosePublication(ctx, cfg.Publication)
	if err != nil {
		return "", err
	}
	slot, err := l.readSlot(ctx, cfg.SlotName)
	if err != nil {
		return "", err
	}
	if l.readTo != "" && !slot.exists {
		return "", fatalf("slot %s was dropped while walherald was running: changes after %s are lost to it; "+
			"restart walherald to accept that and start from now with a new slot", cfg.SlotName, l.readTo)
	}
	if err := l.judgeSlot(cfg.SlotName, slot, publication, exists); err != nil {
		return "", err
	}
	if !exists {
		if err := l.createPublication(ctx, publication, cfg.Publication.Tables); err != nil {
			return "", err
		}
		tell("created publication", publication)
	}
	if !slot.exists {
		tell("creating slot, which waits for the transactions that are open now", cfg.SlotName)
		if err := l.createSlot(ctx, cfg.SlotName); err != nil {
			return "", err
		}
		tell("created slot", cfg.SlotName)
	}
	return publication, nil
}

// judgeSlot refuses a slot that cannot serve. Nothing is ever repaired here: a
// slot made anew would hide that changes were lost.
func (l *link) judgeSlot(name string, s slotState, publication string, publicationExists bool) error {
	switch {
	case !s.exists:
		return nil
	case s.plugin != "pgoutput":
		return fatalf("slot %s uses the output plugin %q, walherald needs pgoutput: choose another listener.slotName", name, s.plugin)
	case s.database != l.id.database:
		return fatalf("slot %s belongs to database %q, not %q: choose another listener.slotName", name, s.database, l.id.database)
	case s.lost:
		return fatalf("slot %s was invalidated: the server removed log that it still needed, changes after %s are lost to it; "+
			"drop the slot to accept that and start from now: SELECT pg_drop_replication_slot(%s)", name, s.confirmed, quoteLiteral(name))
	case !publicationExists:
		return fatalf("slot %s exists but publication %q does not: a slot can only be read through a publication that is older than "+
			"itself; set listener.publication to the one it was made for, or drop the slot and accept that changes since %s are lost: "+
			"SELECT pg_drop_replication_slot(%s)", name, publication, s.confirmed, quoteLiteral(name))
	}
	return nil
}

func (l *link) createSlot(ctx context.Context, name string) error {
	// Without a snapshot: the slot's first change is all that is wanted.
	_, err := l.query(ctx, "CREATE_REPLICATION_SLOT "+quoteIdent(name)+" LOGICAL pgoutput NOEXPORT_SNAPSHOT")
	if sqlState(err) == codeNotReady {
		return fatalf("create slot %s: %w; let a superuser run: ALTER SYSTEM SET wal_level = logical; then restart the server", name, err)
	}
	if err != nil {
		return fmt.Errorf("create slot %s: %w", name, err)
	}
	return nil
}

// fatalError is an error that another attempt cannot mend.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

func fatalf(format string, args ...any) error {
	return &fatalError{fmt.Errorf(format, args...)}
}

// isFatal reports whether connecting again is of no use. What the server
// refuses by these codes (PostgreSQL documentation, appendix A) it will refuse
// again until somebody changes it, the configuration or the rights.
func isFatal(err error) bool {
	var f *fatalError
	if errors.As(err, &f) {
		return true
	}
	switch code := sqlState(err); {
	case strings.HasPrefix(code, "28"), // invalid authorization
		strings.HasPrefix(code, "0A"), // feature not supported
		strings.HasPrefix(code, "22"), // an option's value
		strings.HasPrefix(code, "42"), // rights, and names that do not exist
		code == "3D000",               // no such database
		code == codeNotReady:
		return true
	}
	return false
}

// codeNotReady is the server's code for an object that is not in the state it
// would have to be in: a slot that cannot be read, a wal_level that is not
// logical, and from PostgreSQL 18 on a publication that is missing.
const codeNotReady = "55000"

// slotInUse reports whether another process streams from the slot.
func slotInUse(err error) bool { return sqlState(err) == "55006" }

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// quoteTable quotes "table" or "schema.table".
func quoteTable(t string) string {
	if schema, table, found := strings.Cut(t, "."); found {
		return quoteIdent(schema) + "." + quoteIdent(table)
	}
	return quoteIdent(t)
}
