package imagetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/pgserver/child"
)

// patience bounds every wait; nothing is wrong with a machine that is slow.
const patience = time.Minute

// running is a container and where what it prints goes.
type running struct {
	t    *testing.T
	pid  string
	proc *child.Process
	logs string
}

// prints waits until what was printed holds every one of the words.
func (r *running) prints(words ...string) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%q to be printed", words), func() error {
		text, err := os.ReadFile(r.logs)
		if err != nil {
			return err
		}
		for _, w := range words {
			if !strings.Contains(string(text), w) {
				return fmt.Errorf("%q is not in what was printed:\n%s", w, text)
			}
		}
		if !r.proc.Running() {
			return fmt.Errorf("it has ended: %s", text)
		}
		return nil
	})
}

// eventually asks again and again until there is no error.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s: %v", what, err)
		}
	}
}

func TestContainerDeliversIsHealthyAndStopsInPeace(t *testing.T) {
	img := build(t, runtime.GOOS+"/"+runtime.GOARCH)
	s := pgserver.Shared(t)
	db := s.TestDatabase(t)
	execute(t, s.DSN(db), "CREATE TABLE items (id int PRIMARY KEY, name text)")
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	folder := openFolder(t)
	configuration := filepath.Join(folder, "config.yml")
	content := fmt.Sprintf("database: {host: %s, port: %d, name: %s, user: %s}\nlistener: {slotName: %s}\n"+
		"monitoring: {address: '127.0.0.1:%d'}\npublisher: {type: stdout}\nlogger: {fmt: json}\n",
		s.Host(), s.Port(), db, s.User(), db, port)
	if err := os.WriteFile(configuration, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	health := func() ([]byte, error) {
		return img.command(t, configuration, img.config.Config.Healthcheck.Test[1:]).CombinedOutput()
	}
	if out, err := health(); err == nil || !strings.Contains(string(out), "connection refused") {
		t.Errorf("it is healthy before it runs: %s, %v", out, err)
	}

	logs, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = logs.Close() }()
	r := &running{t: t, logs: logs.Name(), proc: img.start(t, configuration, logs, "TZ=Asia/Tokyo")}
	r.prints(`"version":"`+version+`"`, "+09:00")
	r.pid = read(t, img.pidFile())
	eventually(t, "the slot", func() error { return streams(t, s.DSN("postgres"), db) })
	execute(t, s.DSN(db), "INSERT INTO items VALUES (1, 'Grüße')")
	r.prints(`"action":"INSERT"`, "Grüße")
	if out, err := health(); err != nil {
		t.Errorf("it is not healthy: %v\n%s", err, out)
	}
	r.isHarmless()

	if err := r.proc.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.proc.Wait(ctx); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// isHarmless holds the process to have no right beyond those of its user.
func (r *running) isHarmless() {
	r.t.Helper()
	fields := make(map[string]string)
	for line := range strings.Lines(read(r.t, "/proc/"+r.pid+"/status")) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	for name, want := range map[string]string{
		"Name": "walherald", "Uid": "65532 65532 65532 65532", "Gid": "65532 65532 65532 65532", "Groups": "", "CapEff": "0000000000000000",
	} {
		if fields[name] != want {
			r.t.Errorf("its %s is %q, want %q", name, fields[name], want)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func execute(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// streams returns an error unless somebody reads the slot.
func streams(t *testing.T, dsn, slot string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var active bool
	if err := conn.QueryRow(t.Context(), "SELECT active FROM pg_replication_slots WHERE slot_name = $1", slot).Scan(&active); err != nil {
		return err
	}
	if !active {
		return fmt.Errorf("slot %s is not read", slot)
	}
	return nil
}
