package pgserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/pgserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgserver.WithShared(m)) }

// connect connects to a database and disconnects when the test ends.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// query returns the one value that a query has.
func query(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	var value string
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestServerIsReadyForLogicalReplication(t *testing.T) {
	s := pgserver.Shared(t)
	conn := connect(t, s.DSN("postgres"))
	for setting, want := range map[string]string{
		"wal_level": "logical", "max_wal_senders": "20", "max_replication_slots": "20", "fsync": "on",
		"server_encoding": "UTF8", "listen_addresses": s.Host(), "data_directory": s.DataDir(),
		"port": fmt.Sprint(s.Port()),
	} {
		if got := query(t, conn, "SHOW "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if got := query(t, conn, "SHOW server_version_num"); got[:2] != fmt.Sprint(s.Version()) {
		t.Errorf("server_version_num is %s, Version says %d", got, s.Version())
	}
}

func TestSettingsReplaceTheUsualOnesAndYieldToAlterSystem(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{Settings: map[string]string{
		"fsync": "off", "wal_level": "replica", "cluster_name": `it's \ mine`,
	}})
	conn := connect(t, s.DSN("postgres"))
	for setting, want := range map[string]string{"fsync": "off", "wal_level": "replica", "cluster_name": `it's \ mine`} {
		if got := query(t, conn, "SHOW "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	execute(t, conn, "ALTER SYSTEM SET wal_level = minimal")
	execute(t, conn, "ALTER SYSTEM SET max_wal_senders = 0")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, connect(t, s.DSN("postgres")), "SHOW wal_level"); got != "minimal" {
		t.Errorf("wal_level is %q after ALTER SYSTEM", got)
	}
}

func TestPasswordIsAskedForAndNotShown(t *testing.T) {
	const password = "p%40ss w:rd/"
	s := pgserver.ForTest(t, pgserver.Options{Password: password})
	connect(t, s.DSN("postgres"))
	config, err := pgx.ParseConfig(s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	config.Password = "wrong"
	_, err = pgx.ConnectConfig(t.Context(), config)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "28P01" {
		t.Fatalf("a wrong password gave %v", err)
	}
	if strings.Contains(s.LogTail(), password) {
		t.Error("the password is in the log")
	}
}

func TestKilledServerComesBackWithWhatWasCommitted(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{})
	conn := connect(t, s.DSN("postgres"))
	execute(t, conn, "CREATE TABLE kept (id int)")
	execute(t, conn, "INSERT INTO kept VALUES (7)")
	busy := connect(t, s.DSN("postgres"))
	execute(t, busy, "BEGIN")
	execute(t, busy, "INSERT INTO kept VALUES (8)")
	port, pid := s.Port(), s.Pid()

	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := busy.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a session survived Kill")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Port() != port || s.Pid() == pid {
		t.Errorf("restarted as pid %d on port %d, was pid %d on port %d", s.Pid(), s.Port(), pid, port)
	}
	conn = connect(t, s.DSN("postgres"))
	if got := query(t, conn, "SELECT string_agg(id::text, ',') FROM kept"); got != "7" {
		t.Errorf("table holds %q after the crash, want 7", got)
	}
	if !strings.Contains(s.LogTail(), "was not properly shut down") {
		t.Error("the log says nothing of a recovery: was the server really killed?")
	}
}

func TestStopEndsTheServerInEitherMode(t *testing.T) {
	for name, mode := range map[string]pgserver.StopMode{"fast": pgserver.Fast, "immediate": pgserver.Immediate} {
		t.Run(name, func(t *testing.T) {
			s := pgserver.ForTest(t, pgserver.Options{})
			connect(t, s.DSN("postgres"))
			if err := s.Stop(t.Context(), mode); err != nil {
				t.Fatal(err)
			}
			if _, err := pgx.Connect(t.Context(), s.DSN("postgres")); err == nil {
				t.Fatal("a stopped server takes connections")
			}
			recovered := mode == pgserver.Immediate
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(s.LogTail(), "was not properly shut down"); got != recovered {
				t.Errorf("recovery in the log: %v, want %v:\n%s", got, recovered, s.LogTail())
			}
		})
	}
}

func TestStopThatTakesTooLongKills(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx, pgserver.Fast); !errors.Is(err, context.Canceled) {
		t.Fatalf("Stop with a cancelled context: %v", err)
	}
	if _, err := net.Dial("tcp", net.JoinHostPort(s.Host(), fmt.Sprint(s.Port()))); err == nil {
		t.Fatal("the server survived")
	}
}

func TestTestDatabaseGoesWithItsSlotsAndConnections(t *testing.T) {
	s := pgserver.Shared(t)
	var name string
	t.Run("user", func(t *testing.T) {
		name = s.TestDatabase(t)
		conn, err := pgx.Connect(t.Context(), s.DSN(name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		execute(t, conn, "SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')")
	})
	conn := connect(t, s.DSN("postgres"))
	left := query(t, conn, fmt.Sprintf(`SELECT (SELECT count(*) FROM pg_database WHERE datname = '%s')
		+ (SELECT count(*) FROM pg_replication_slots) || ''`, name))
	if left != "0" {
		t.Errorf("%s databases and slots were left", left)
	}
}

func TestDropDatabaseEndsAnActiveReplicationConnection(t *testing.T) {
	s := pgserver.Shared(t)
	name := s.TestDatabase(t)
	conn := connect(t, s.DSN(name))
	execute(t, conn, "CREATE PUBLICATION all_tables FOR ALL TABLES")
	stream, err := pgconn.Connect(t.Context(), s.DSN(name)+"&replication=database")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close(context.Background()) })
	if _, err := stream.Exec(t.Context(), "CREATE_REPLICATION_SLOT active LOGICAL pgoutput").ReadAll(); err != nil {
		t.Fatal(err)
	}
	start := stream.Exec(t.Context(), `START_REPLICATION SLOT active LOGICAL 0/0 ("proto_version" '1', "publication_names" 'all_tables')`)
	t.Cleanup(func() { _ = start.Close() })
	if err := s.DropDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

func TestCreateDatabaseQuotesItsName(t *testing.T) {
	s := pgserver.Shared(t)
	const name = `Größe "1"`
	if err := s.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	}()
	if got := query(t, connect(t, s.DSN(name)), "SELECT current_database()"); got != name {
		t.Errorf("connected to %q, want %q", got, name)
	}
}

func TestWrittenFileIsTheServersOwn(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{})
	// The socket stays open: the server is asked there whether it is ready.
	if err := s.WriteFile("pg_hba.conf", []byte("local all all trust\nhost all all 127.0.0.1/32 reject\n")); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := pgx.Connect(t.Context(), s.DSN("postgres"))
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "28000" {
		t.Fatalf("connecting past pg_hba.conf gave %v", err)
	}
}

func TestCloseRemovesTheFolder(t *testing.T) {
	s, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(s.SocketDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder after Close: %v", err)
	}
}

func TestRefusedSettingIsNamedByTheError(t *testing.T) {
	_, err := pgserver.Start(t.Context(), pgserver.Options{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Fatalf("Start returned %v", err)
	}
}

func TestMachineWithoutPostgreSQLIsToldHowToGetIt(t *testing.T) {
	if !strings.Contains(pgserver.ErrNotInstalled.Error(), "apt-get install postgresql, or make deps") {
		t.Errorf("ErrNotInstalled says %q", pgserver.ErrNotInstalled)
	}
	empty := t.TempDir()
	t.Setenv(pgserver.EnvBin, empty)
	if _, err := pgserver.Installations(t.Context()); err == nil || !strings.Contains(err.Error(), empty) {
		t.Errorf("Installations with an empty %s returned %v", pgserver.EnvBin, err)
	}
}

func TestInstallationsComeNewestFirst(t *testing.T) {
	all, err := pgserver.Installations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range all[1:] {
		if all[i].Version < all[i+1].Version {
			t.Errorf("%v comes before %v", all[i], all[i+1])
		}
	}
	t.Setenv(pgserver.EnvBin, all[0].Dir)
	only, err := pgserver.Installations(t.Context())
	if err != nil || len(only) != 1 || only[0] != all[0] {
		t.Errorf("with %s set: %v, %v", pgserver.EnvBin, only, err)
	}
}

func TestBinFindsTheClientPrograms(t *testing.T) {
	s := pgserver.Shared(t)
	for _, name := range []string{"psql", "pgbench", "pg_recvlogical"} {
		path, err := s.Bin(name)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path, "--version").CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", path, err, out)
		}
	}
	if _, err := s.Bin("pg_no_such_program"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("Bin of a program that does not exist: %v", err)
	}
}

func TestLogIsKeptOverRestarts(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{})
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(s.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	log, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(log), "ready to accept connections"); got != 2 {
		t.Errorf("the log holds %d starts, want 2", got)
	}
}

func TestServersRunSideBySide(t *testing.T) {
	a, b := pgserver.Shared(t), pgserver.ForTest(t, pgserver.Options{})
	const systemID = "SELECT system_identifier::text FROM pg_control_system()"
	if query(t, connect(t, a.DSN("postgres")), systemID) == query(t, connect(t, b.DSN("postgres")), systemID) {
		t.Error("two servers have one system identifier")
	}
}
