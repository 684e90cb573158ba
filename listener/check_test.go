package listener

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/publisher"
)

// checked is a server with a configuration that its superuser could run.
type checked struct {
	*pgserver.Server
	admin *pgx.Conn
	cfg   config.Listener
	db    config.Database
}

// newChecked starts a server that the test has to itself.
func newChecked(t *testing.T, opts pgserver.Options) *checked {
	t.Helper()
	return checkedIn(t, pgserver.ForTest(t, opts), "postgres", opts.Password)
}

// newCheckedDatabase makes a database on the server that is shared.
func newCheckedDatabase(t *testing.T) *checked {
	t.Helper()
	s := pgserver.Shared(t)
	return checkedIn(t, s, s.TestDatabase(t), "")
}

func checkedIn(t *testing.T, s *pgserver.Server, database, password string) *checked {
	t.Helper()
	c := &checked{
		Server: s, cfg: config.Listener{SlotName: "wh"},
		db: config.Database{Host: s.Host(), Port: s.Port(), Name: database, User: s.User(), Password: config.Secret(password)},
	}
	c.connect(t)
	return c
}

func (c *checked) connect(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.DSN(c.db.Name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	c.admin = conn
}

func (c *checked) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := c.admin.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func (c *checked) value(t *testing.T, sql string) string {
	t.Helper()
	var value string
	if err := c.admin.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// restart restarts the server, which takes settings over.
func (c *checked) restart(t *testing.T) {
	t.Helper()
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.connect(t)
}

// awaitDisconnected waits until the server has seen the last of our connections
// go, which it does a moment after they are closed.
func (c *checked) awaitDisconnected(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for c.value(t, "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'walherald'") != "0" {
		if err := publisher.Sleep(ctx, 10*time.Millisecond); err != nil {
			t.Fatalf("the connection is still there: %v", err)
		}
	}
}

func (c *checked) check(t *testing.T) []config.Finding {
	t.Helper()
	return Check(t.Context(), c.cfg, c.db)
}

// expectFinding wants one finding of this severity and path that says all of
// the words, in what was found or in the remedy.
func expectFinding(t *testing.T, found []config.Finding, s config.Severity, path string, words ...string) {
	t.Helper()
	for _, f := range found {
		text := f.What + "\n" + f.Remedy
		if f.Severity == s && f.Path == path && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return
		}
	}
	t.Errorf("no finding %q of %s says %q; found:\n%s", s, path, words, listed(found))
}

// expectOnly wants as many errors and warnings as given, each with a remedy.
func expectOnly(t *testing.T, found []config.Finding, errs, warnings int) {
	t.Helper()
	count := map[config.Severity]int{}
	for _, f := range found {
		count[f.Severity]++
		if f.Severity != config.FindingOK && f.Remedy == "" {
			t.Errorf("no remedy for: %+v", f)
		}
	}
	if count[config.FindingError] != errs || count[config.FindingWarning] != warnings {
		t.Errorf("found %d errors and %d warnings, want %d and %d:\n%s",
			count[config.FindingError], count[config.FindingWarning], errs, warnings, listed(found))
	}
}

func listed(found []config.Finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%v %s: %s\n\t%s\n", f.Severity, f.Path, f.What, f.Remedy)
	}
	return b.String()
}

func TestCheckFindsNothingWrongWithAServerThatIsReady(t *testing.T) {
	c := newChecked(t, pgserver.Options{})
	found := c.check(t)
	expectOnly(t, found, 0, 0)
	expectFinding(t, found, config.FindingOK, "database", fmt.Sprintf("PostgreSQL %d.", c.Version()), fmt.Sprintf("127.0.0.1:%d", c.Port()), "without TLS")
	expectFinding(t, found, config.FindingOK, "database", "wal_level is logical")
	expectFinding(t, found, config.FindingOK, "database.user", "postgres may replicate")
	expectFinding(t, found, config.FindingOK, "database", "walsenders", "1 of 20")
	expectFinding(t, found, config.FindingOK, "listener.publication", `"walherald"`, "would be created for all tables")
	expectFinding(t, found, config.FindingOK, "listener.slotName", "slot wh", "would be created", "0 of 20")

	// Once made, both are named with what they hold.
	c.exec(t, "CREATE TABLE t (id int PRIMARY KEY)", `CREATE PUBLICATION "wal-listener" FOR TABLE t WITH (publish = 'insert, delete')`,
		"SELECT pg_create_logical_replication_slot('wh', 'pgoutput')")
	found = c.check(t)
	expectOnly(t, found, 0, 0)
	expectFinding(t, found, config.FindingOK, "listener.publication", `"wal-listener" exists`, "insert, delete of public.t")
	expectFinding(t, found, config.FindingOK, "listener.publication", "published now: 1", "pass: 1")
	expectFinding(t, found, config.FindingOK, "listener.slotName", "slot wh exists", "bytes of log")
}

func TestCheckLeavesNothingBehind(t *testing.T) {
	c := newChecked(t, pgserver.Options{Settings: map[string]string{"autovacuum": "off"}})
	c.exec(t, "CREATE TABLE t (id int PRIMARY KEY)")
	const state = `SELECT concat_ws('/', (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_replication_slots),
		(SELECT count(*) FROM pg_class), txid_snapshot_xmax(txid_current_snapshot()))` // the last is the next transaction that writes
	before := c.value(t, state)
	expectOnly(t, c.check(t), 0, 0)
	c.cfg.Publication.Tables = []string{"t"}
	expectOnly(t, c.check(t), 0, 0)
	if after := c.value(t, state); after != before {
		t.Errorf("publications, slots, relations and next transaction were %s and are %s", before, after)
	}
	c.awaitDisconnected(t)
}

// noHistory is that of a slot of which nothing is known.
func noHistory(context.Context) (past, error) { return past{}, nil }
