package listener

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
)

// slotState is a row of pg_replication_slots.
type slotState struct {
	exists    bool
	plugin    string
	database  string
	activePID string // empty if no process streams from it
	lost      bool   // the server has removed log that it needs
	failover  bool   // standbys keep a copy of it
	confirmed pgoutput.LSN
}

// readSlot reads the slot's state.
func (l *link) readSlot(ctx context.Context, name string) (slotState, error) {
	failover := "false"
	if l.version >= 170000 {
		failover = "failover"
	}
	rows, err := l.query(ctx, `SELECT plugin, database, active_pid::text, confirmed_flush_lsn::text, restart_lsn::text, wal_status, `+
		failover+` FROM pg_catalog.pg_replication_slots WHERE slot_name = `+quoteLiteral(name))
	if err != nil {
		return slotState{}, fmt.Errorf("read slot %s: %w", name, err)
	}
	if len(rows) == 0 {
		return slotState{}, nil
	}
	r := rows[0]
	s := slotState{
		exists: true, plugin: r[0], database: r[1], activePID: r[2],
		lost: r[5] == "lost" || r[4] == "", failover: r[6] == "t",
	}
	if r[3] == "" {
		return s, nil // of a physical slot, which cannot serve anyway
	}
	if s.confirmed, err = pgoutput.ParseLSN(r[3]); err != nil {
		return s, fmt.Errorf("read position of slot %s: %w", name, err)
	}
	return s, nil
}

// beginning is where reading a slot begins.
type beginning struct {
	// at is the position, reached the one that the slot itself has reached. The
	// former can be ahead: the memory is written before the server is told.
	at, reached pgoutput.LSN
}

// prepareSlot makes sure that publication and slot exist, made in this order:
// the server looks a publication up as of the change it decodes, so a slot
// that is older than its publication could never be read. It returns the
// publication's name and where reading begins.
func (l *link) prepareSlot(ctx context.Context, cfg config.Listener, h history, tell func(what, name string)) (string, beginning, error) {
	publication, exists, err := l.choosePublication(ctx, cfg.Publication)
	if err != nil {
		return "", beginning{}, err
	}
	slot, err := l.readSlot(ctx, cfg.SlotName)
	if err != nil {
		return "", beginning{}, err
	}
	if err := l.judgeSlot(cfg.SlotName, slot, publication, exists); err != nil {
		return "", beginning{}, err
	}
	// Read after the slot: a walherald that reads the slot now writes its memory
	// first.
	known, err := h(ctx)
	if err != nil {
		return "", beginning{}, err
	}
	gap := known.gap(cfg.SlotName, slot, l.end)
	if gap != nil && gap.at != known.accepted {
		return "", beginning{}, gap.refuse()
	}
	if err := l.canServe(ctx, cfg, exists, publication); err != nil {
		return "", beginning{}, err
	}
	if err := l.preparePublication(ctx, publication, exists, cfg.Publication, tell); err != nil {
		return "", beginning{}, err
	}
	if gap != nil {
		tell("gap accepted: "+gap.what, cfg.SlotName)
		known.lsn = 0 // go on where the slot is
	}
	if slot, err = l.settleSlot(ctx, cfg, slot, tell); err != nil {
		return "", beginning{}, err
	}
	return publication, beginning{max(slot.confirmed, known.lsn), slot.confirmed}, nil
}

// canServe refuses a server that lacks what is asked for, and a standby that
// cannot be read from.
func (l *link) canServe(ctx context.Context, cfg config.Listener, published bool, publication string) error {
	if cfg.Failover && l.version < 170000 {
		return fatalf("listener.failover needs PostgreSQL 17 or newer, the server is version %d; remove it", l.version/10000)
	}
	standby, err := l.value(ctx, "SELECT pg_catalog.pg_is_in_recovery()")
	switch {
	case err != nil:
		return fmt.Errorf("ask whether the server is a standby: %w", err)
	case standby != "t":
		return nil
	case l.version < 160000:
		return fatalf("server is a standby, and those can be read from PostgreSQL 16 on only; this is %d: name the primary, or upgrade",
			l.version/10000)
	case !published:
		return fatalf("publication %q does not exist, and the server is a standby, which cannot make it: create it on the primary: %s",
			publication, "CREATE PUBLICATION "+quoteIdent(publication)+" FOR ALL TABLES")
	}
	return nil
}

// settleSlot makes the slot that is missing, or that was lost and is given up,
// and alters one that is there to what is configured. It returns its state.
func (l *link) settleSlot(ctx context.Context, cfg config.Listener, s slotState, tell func(what, name string)) (slotState, error) {
	if s.lost {
		if err := l.dropSlot(ctx, cfg.SlotName); err != nil {
			return s, err
		}
	} else if s.exists {
		return s, l.alterSlot(ctx, cfg, s)
	}
	tell("creating slot, which waits for the transactions that are open now", cfg.SlotName)
	s, err := l.createSlot(ctx, cfg)
	if err == nil {
		tell("created slot", cfg.SlotName)
	}
	return s, err
}

// judgeSlot refuses a slot that is not ours to read.
func (l *link) judgeSlot(name string, s slotState, publication string, publicationExists bool) error {
	switch {
	case !s.exists:
		return nil
	case s.plugin != "pgoutput":
		return fatalf("slot %s uses the output plugin %q, walherald needs pgoutput; choose another listener.slotName", name, s.plugin)
	case s.database != l.id.database:
		return fatalf("slot %s belongs to database %q, not %q; choose another listener.slotName", name, s.database, l.id.database)
	case !publicationExists && !s.lost:
		return fatalf("slot %s exists but publication %q does not: a slot can only be read through a publication that is older than "+
			"itself; set listener.publication to the one it was made for, or drop the slot and accept that changes since %s are lost: "+
			"walherald slot drop", name, publication, s.confirmed)
	}
	return nil
}

// dropSlot drops a slot that nobody reads.
func (l *link) dropSlot(ctx context.Context, name string) error {
	if _, err := l.query(ctx, "SELECT pg_catalog.pg_drop_replication_slot("+quoteLiteral(name)+")"); err != nil {
		return fmt.Errorf("drop slot %s: %w", name, err)
	}
	return nil
}

// alterSlot makes standbys keep a copy of the slot if that is asked for.
func (l *link) alterSlot(ctx context.Context, cfg config.Listener, s slotState) error {
	if !cfg.Failover || s.failover {
		return nil
	}
	if _, err := l.query(ctx, "ALTER_REPLICATION_SLOT "+quoteIdent(cfg.SlotName)+" (FAILOVER true)"); err != nil {
		return fmt.Errorf("alter slot %s: %w", cfg.SlotName, err)
	}
	return nil
}

// createSlot makes the slot and returns its state.
func (l *link) createSlot(ctx context.Context, cfg config.Listener) (slotState, error) {
	// Without a snapshot: the slot's first change is all that is wanted.
	options := "NOEXPORT_SNAPSHOT"
	if cfg.Failover {
		options = "(SNAPSHOT 'nothing', FAILOVER true)"
	}
	_, err := l.queryPatiently(ctx, "CREATE_REPLICATION_SLOT "+quoteIdent(cfg.SlotName)+" LOGICAL pgoutput "+options)
	if sqlState(err) == codeNotReady {
		return slotState{}, fatalf("create slot %s: %w; let a superuser run: ALTER SYSTEM SET wal_level = logical; then restart the server",
			cfg.SlotName, err)
	}
	if sqlState(err) == codeLimitReached {
		return slotState{}, fmt.Errorf("create slot %s: %w; drop a slot that nobody will read again, or raise max_replication_slots, "+
			"which takes a restart of the server", cfg.SlotName, err)
	}
	if err != nil {
		return slotState{}, fmt.Errorf("create slot %s: %w", cfg.SlotName, err)
	}
	return l.readSlot(ctx, cfg.SlotName)
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

// codeLimitReached is the server's code for a setting that allows no more of
// something.
const codeLimitReached = "53400"

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
