// Package pages holds the manual to the code: SQL of a page is run, examples are
// loaded and run, messages that a page quotes stand in the sources, and links lead
// somewhere. Nothing imports it.
package pages

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/service"
)

const root = "../.."

// patience bounds every wait.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgserver.WithShared(m)) }

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var sqlBlock = regexp.MustCompile("(?s)\n```sql\n(.*?)```\n")

// statements returns the SQL of a page, one text for each block.
func statements(t *testing.T, page string) []string {
	t.Helper()
	var blocks []string
	for _, match := range sqlBlock.FindAllStringSubmatch(read(t, page), -1) {
		blocks = append(blocks, match[1])
	}
	return blocks
}

// execute runs SQL, several statements perhaps, one after the other.
func execute(t *testing.T, dsn, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range strings.Split(sql, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// value returns what the database answers, as one text.
func value(t *testing.T, dsn, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var text string
	if err := conn.QueryRow(ctx, sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// awaitTrue polls until the database answers true.
func awaitTrue(t *testing.T, dsn, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for value(t, dsn, "SELECT coalesce(("+sql+"), false)::text") != "true" {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never true: %s", sql)
		}
	}
}

// load writes a configuration to a file and loads it.
func load(t *testing.T, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// run runs a service until stop is called, which returns its error.
func run(t *testing.T, cfg *config.Config) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, cfg, service.Options{Version: "test", Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	}()
	var err error
	var stopped bool
	stop = func() error {
		if !stopped {
			cancel()
			err, stopped = <-ended, true
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// awaitStreaming waits until a process reads the slot, which has a position once it is
// made.
func awaitStreaming(t *testing.T, dsn, slot string) {
	t.Helper()
	awaitTrue(t, dsn, fmt.Sprintf("SELECT active AND confirmed_flush_lsn IS NOT NULL FROM pg_replication_slots WHERE slot_name = '%s'", slot))
}
