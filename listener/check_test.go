package listener

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/pgserver/child"
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
	expectFinding(t, found, config.FindingOK, "listener.publication", `"wal-listener" exists`, "insert, delete", "1 now")
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

func TestCheckNamesWrongWALLevel(t *testing.T) {
	c := newChecked(t, pgserver.Options{Settings: map[string]string{"wal_level": "replica"}})
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "database", "wal_level is replica", "ALTER SYSTEM SET wal_level = logical", "restart")

	// With minimal there are no walsenders; the cause is named all the same.
	c.exec(t, "ALTER SYSTEM SET wal_level = minimal", "ALTER SYSTEM SET max_wal_senders = 0")
	c.restart(t)
	found = c.check(t)
	expectOnly(t, found, 2, 0)
	expectFinding(t, found, config.FindingError, "database", "no walsender is free", "raise max_wal_senders")
	expectFinding(t, found, config.FindingError, "database", "wal_level is minimal")
}

func TestCheckNeverShowsThePassword(t *testing.T) {
	const password = "correct horse"
	c := newChecked(t, pgserver.Options{Password: password})
	expectOnly(t, c.check(t), 0, 0)

	const wrong = "battery 'staple"
	c.db.Password = wrong
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "database.password",
		fmt.Sprintf("127.0.0.1:%d", c.Port()), "28P01", "WAL_LISTENER_DB_PASSWORD")
	if text := fmt.Sprintf("%+v", found); strings.Contains(text, wrong) || strings.Contains(text, "staple") {
		t.Errorf("the password is shown: %s", text)
	}
}

func TestCheckNamesWhatARoleMayNot(t *testing.T) {
	c := newChecked(t, pgserver.Options{})
	c.exec(t, "CREATE ROLE app LOGIN", "CREATE TABLE t (id int PRIMARY KEY)", "CREATE SCHEMA hidden", `CREATE TABLE hidden."No.Access" (id int PRIMARY KEY)`,
		"CREATE UNLOGGED TABLE u (id int PRIMARY KEY)", "CREATE VIEW v AS SELECT 1")
	c.db.User = "app"
	found := c.check(t)
	expectOnly(t, found, 2, 0)
	expectFinding(t, found, config.FindingError, "database.user", "app may not replicate", `ALTER ROLE "app" REPLICATION`)
	expectFinding(t, found, config.FindingError, "listener.publication", "app may not create it", `CREATE PUBLICATION "walherald" FOR ALL TABLES`)

	c.exec(t, `ALTER ROLE "app" REPLICATION`)
	c.cfg.Publication = config.Publication{Name: "mine", Tables: []string{"public.t", "hidden.No.Access", "u", "v", "T"}}
	found = c.check(t)
	expectOnly(t, found, 6, 0)
	expectFinding(t, found, config.FindingError, "listener.publication", `"mine"`, `GRANT CREATE ON DATABASE "postgres" TO "app"`)
	for table, words := range map[string]string{
		"public.t": "does not own", "hidden.No.Access": "does not own", "u": "unlogged", "v": "is no table", "T": "does not exist",
	} {
		expectFinding(t, found, config.FindingError, "listener.publication.tables", table, words)
	}

	c.exec(t, `GRANT CREATE ON DATABASE "postgres" TO "app"`, "ALTER TABLE t OWNER TO app")
	c.cfg.Publication.Tables = []string{"public.t"}
	found = c.check(t)
	expectOnly(t, found, 0, 0)
	expectFinding(t, found, config.FindingOK, "listener.publication", `"mine"`, "would be created for public.t")
	// What was promised holds.
	l, err := connect(t.Context(), c.db, c.cfg.SlotName)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if _, _, err := l.prepareSlot(t.Context(), c.cfg, noHistory, func(string, string) {}); err != nil {
		t.Error(err)
	}
}

func TestCheckWarnsOfTablesWithoutAReplicaIdentity(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "CREATE TABLE keyed (id int PRIMARY KEY)", "CREATE TABLE full_rows (id int)", "ALTER TABLE full_rows REPLICA IDENTITY FULL",
		`CREATE TABLE "Bare" (id int)`)
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "listener.publication", `(1): public."Bare"`, "REPLICA IDENTITY FULL")
	c.cfg.Publication.Tables = []string{"keyed", "full_rows"}
	expectOnly(t, c.check(t), 0, 0)

	// It is right: the table can be written to only as long as it is not published.
	const update = `UPDATE "Bare" SET id = 1`
	c.exec(t, update, "CREATE PUBLICATION walherald FOR ALL TABLES")
	if _, err := c.admin.Exec(t.Context(), update); err == nil {
		t.Error("a table without a replica identity took an UPDATE while published")
	}
}

func TestCheckRefusesSlotOlderThanPublication(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "SELECT pg_create_logical_replication_slot('wh', 'pgoutput')")
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "listener.slotName", "slot wh exists but publication", "walherald slot drop")

	// The service says the same.
	l, err := connect(t.Context(), c.db, c.cfg.SlotName)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	_, _, err = l.prepareSlot(t.Context(), c.cfg, noHistory, func(string, string) {})
	i := slices.IndexFunc(found, func(f config.Finding) bool { return f.Severity == config.FindingError })
	if said := found[i].What + "; " + found[i].Remedy; err == nil || err.Error() != said {
		t.Errorf("check says\n%s\nand the service\n%v", said, err)
	}

	// A publication that is made now comes too late for the slot.
	c.exec(t, "CREATE PUBLICATION walherald FOR ALL TABLES")
	found = c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "listener.slotName", `"walherald" may be younger than slot wh`, "walherald slot drop")
	c.exec(t, "SELECT pg_drop_replication_slot('wh')", "SELECT pg_create_logical_replication_slot('wh', 'pgoutput')")
	expectOnly(t, c.check(t), 0, 0)
}

func TestCheckRefusesSlotThatCannotServe(t *testing.T) {
	c := newChecked(t, pgserver.Options{})
	c.exec(t, "CREATE PUBLICATION walherald FOR ALL TABLES", "SELECT pg_create_physical_replication_slot('physical')",
		"SELECT pg_create_logical_replication_slot('wh', 'pgoutput')", "CREATE DATABASE other")
	for slot, words := range map[string]string{"physical": "needs pgoutput", "wh": `belongs to database "postgres", not "other"`} {
		c.cfg.SlotName = slot
		if slot == "wh" {
			c.db.Name = "other"
		}
		expectFinding(t, c.check(t), config.FindingError, "listener.slotName", "slot "+slot, words, "choose another listener.slotName")
		c.db.Name = "postgres"
	}
}

func TestCheckRefusesSlotWhoseLogIsGone(t *testing.T) {
	c := newChecked(t, pgserver.Options{Settings: map[string]string{"max_slot_wal_keep_size": "1MB"}})
	c.exec(t, "CREATE PUBLICATION walherald FOR ALL TABLES", "SELECT pg_create_logical_replication_slot('wh', 'pgoutput')", "CREATE TABLE t (id int PRIMARY KEY)")
	for i := range 4 {
		c.exec(t, fmt.Sprintf("INSERT INTO t VALUES (%d)", i), "SELECT pg_switch_wal()")
	}
	c.exec(t, "CHECKPOINT")
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "listener.slotName", "slot wh was invalidated", "walherald slot drop")
}

func TestCheckWarnsOfSlotReadElsewhere(t *testing.T) {
	c := newCheckedDatabase(t)
	reader, err := connect(t.Context(), c.db, c.cfg.SlotName)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.close()
	if _, _, err := reader.prepareSlot(t.Context(), c.cfg, noHistory, func(string, string) {}); err != nil {
		t.Fatal(err)
	}
	reader.pg.Frontend().Send(&pgproto3.Query{String: `START_REPLICATION SLOT wh LOGICAL 0/0 (proto_version '1', publication_names 'walherald')`})
	if err := reader.pg.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	if m, err := reader.pg.ReceiveMessage(t.Context()); err != nil {
		t.Fatalf("start replication: %v, %v", m, err)
	}
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "listener.slotName", fmt.Sprintf("process %d", reader.pg.PID()), "choose another listener.slotName")
}

func TestCheckNamesWhatTheServerHasNoneLeftOf(t *testing.T) {
	c := newChecked(t, pgserver.Options{Settings: map[string]string{"max_replication_slots": "2", "max_wal_senders": "1"}})
	c.exec(t, "SELECT pg_create_physical_replication_slot('forgotten')")
	expectFinding(t, c.check(t), config.FindingOK, "listener.slotName", "1 of 2")
	c.awaitDisconnected(t) // there is one walsender
	c.exec(t, "SELECT pg_create_physical_replication_slot('abandoned')")
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "listener.slotName", "all 2 slots", "abandoned, forgotten", "raise max_replication_slots")
	c.awaitDisconnected(t)

	other, err := connect(t.Context(), c.db, "wh")
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	found = c.check(t)
	expectOnly(t, found, 2, 0)
	expectFinding(t, found, config.FindingError, "database", "no walsender is free", "raise max_wal_senders")
	expectFinding(t, found, config.FindingError, "listener.slotName", "all 2 slots")
}

func TestCheckNamesServerThatIsAStandby(t *testing.T) {
	c := newChecked(t, pgserver.Options{})
	if err := c.WriteFile("standby.signal", nil); err != nil {
		t.Fatal(err)
	}
	c.restart(t)
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	if c.Version() < 16 {
		expectFinding(t, found, config.FindingError, "database.host", "standby", "name the primary")
	} else {
		expectFinding(t, found, config.FindingError, "listener.publication", "standby", "create it on the primary")
	}
}

func TestCheckNamesVersionTooOldForDropForeignOrigin(t *testing.T) {
	c := newCheckedDatabase(t)
	c.cfg.DropForeignOrigin = true
	found := c.check(t)
	if c.Version() >= 16 {
		expectOnly(t, found, 0, 0)
		return
	}
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "listener.dropForeignOrigin", "PostgreSQL 16", "upgrade")
}

func TestCheckNamesWhyItCannotConnect(t *testing.T) {
	c := newCheckedDatabase(t)
	free, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	c.exec(t, "CREATE ROLE check_nologin NOLOGIN")
	t.Cleanup(func() { _, _ = c.admin.Exec(context.Background(), "DROP ROLE check_nologin") })
	for name, test := range map[string]struct {
		change func(*config.Database)
		path   string
		words  []string
	}{
		"nobody listens": {
			func(db *config.Database) { db.Port = free }, "database.host",
			[]string{fmt.Sprintf("127.0.0.1:%d: connect: connection refused", free), "listen_addresses"},
		},
		"no such host":      {func(db *config.Database) { db.Host = "nowhere.invalid" }, "database.host", []string{"nowhere.invalid", "correct the name"}},
		"no such database":  {func(db *config.Database) { db.Name = "nothing" }, "database.name", []string{"3D000", "create the database"}},
		"no such role":      {func(db *config.Database) { db.User = "nobody" }, "database.user", []string{"28000", "LOGIN"}},
		"role cannot login": {func(db *config.Database) { db.User = "check_nologin" }, "database.user", []string{"28000", "LOGIN"}},
		"server without TLS": {
			func(db *config.Database) { db.SSLMode = config.SSLModeRequire }, "database.sslMode",
			[]string{"server refused TLS", "turn ssl on"},
		},
		"no file of authorities": {
			func(db *config.Database) { db.SSL.CACert = filepath.Join(t.TempDir(), "none.pem") }, "database.ssl.caCert",
			[]string{"none.pem", "PEM file"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := c.db
			test.change(&db)
			found := Check(t.Context(), c.cfg, db)
			if len(found) != 1 {
				t.Errorf("found %d things without a connection:\n%s", len(found), listed(found))
			}
			expectOnly(t, found, 1, 0)
			expectFinding(t, found, config.FindingError, test.path, test.words...)
		})
	}
}

// selfSigned makes a certificate for name that it has signed itself.
func selfSigned(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func TestCheckTellsWhatIsWrongWithACertificate(t *testing.T) {
	cert, key := selfSigned(t, "db.example")
	c := newChecked(t, pgserver.Options{})
	for name, content := range map[string][]byte{"server.crt": cert, "server.key": key} {
		if err := c.WriteFile(name, content); err != nil {
			t.Fatal(err)
		}
	}
	c.exec(t, "ALTER SYSTEM SET ssl = on")
	c.restart(t)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, cert, 0o600); err != nil {
		t.Fatal(err)
	}

	c.db.SSLMode, c.db.SSL.ServerName = config.SSLModeVerifyFull, "db.example"
	expectFinding(t, c.check(t), config.FindingError, "database.ssl.caCert", "unknown authority", "PEM file")
	c.db.SSL = config.SSL{CACert: authority}
	expectFinding(t, c.check(t), config.FindingError, "database.ssl.serverName", "127.0.0.1", "verify-ca")
	c.db.SSL.ServerName = "db.example"
	found := c.check(t)
	expectOnly(t, found, 0, 0)
	expectFinding(t, found, config.FindingOK, "database", "with TLS")
}

// serveOnly listens and hands each connection to serve, in a goroutine that is
// waited for.
func serveOnly(t *testing.T, serve func(net.Conn)) config.Database {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return config.Database{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Name: "postgres", User: "postgres"}
}

func TestCheckNamesAPoolerThatPassesNoReplicationOn(t *testing.T) {
	db := serveOnly(t, func(conn net.Conn) {
		backend := pgproto3.NewBackend(conn, conn)
		if _, err := backend.ReceiveStartupMessage(); err != nil {
			t.Error(err)
		}
		backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: replication"})
		if err := backend.Flush(); err != nil {
			t.Error(err)
		}
	})
	found := Check(t.Context(), config.Listener{SlotName: "wh"}, db)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "database.host", "unsupported startup parameter", "pgbouncer")
}

func TestCheckEndsWithItsContextWhenTheServerIsSilent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	db := serveOnly(t, func(conn net.Conn) {
		cancel()
		_, _ = conn.Read(make([]byte, 1<<10)) // the startup message
		_, _ = conn.Read(make([]byte, 1))     // its end
	})
	found := Check(ctx, config.Listener{SlotName: "wh"}, db)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "database.host", "canceled")
}

// noHistory is that of a slot of which nothing is known.
func noHistory(context.Context) (past, error) { return past{}, nil }
