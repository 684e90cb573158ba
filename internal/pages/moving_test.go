package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/service"
)

// Who goes back to another program and comes again finds the slot further on than it
// was left: docs/moving-from-wal-listener.md, Going back.
func TestSlotThatAnotherProgramReadMeanwhileIsTakenBackWithoutItsMemory(t *testing.T) {
	s := pgserver.Shared(t)
	database := s.TestDatabase(t)
	dsn, path := s.DSN(database), filepath.Join(t.TempDir(), "events.jsonl")
	execute(t, dsn, `CREATE TABLE t (id int PRIMARY KEY);
CREATE PUBLICATION "wal-listener" FOR ALL TABLES;
SELECT pg_create_logical_replication_slot('back_and_forth', 'pgoutput');
INSERT INTO t VALUES (1)`)
	cfg := load(t, fmt.Sprintf(`
listener: {slotName: back_and_forth}
database: {host: %s, port: %d, name: %s, user: %s}
monitoring: {address: "off"}
publisher: {type: file, path: %s, envelope: wal-listener}
`, s.Host(), s.Port(), database, s.User(), path))
	deliver := func() {
		t.Helper()
		stop := run(t, cfg)
		end := value(t, dsn, "SELECT pg_current_wal_insert_lsn()::text")
		awaitTrue(t, dsn, "SELECT confirmed_flush_lsn >= '"+end+"' FROM pg_replication_slots WHERE slot_name = 'back_and_forth'")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	deliver()

	// The other program reads what comes next.
	execute(t, dsn, "INSERT INTO t VALUES (2);\nSELECT pg_replication_slot_advance('back_and_forth', pg_current_wal_lsn());\nINSERT INTO t VALUES (3)")
	refused := service.Check(t.Context(), cfg)
	if f := worst(refused); f.Severity != config.FindingError || !strings.Contains(f.What, "made anew or advanced by somebody else") {
		t.Errorf("check finds %+v", refused)
	}
	execute(t, dsn, "DROP SEQUENCE walherald.back_and_forth")
	deliver()

	events, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for id, wanted := range map[int]int{1: 1, 2: 0, 3: 1} {
		if n := strings.Count(string(events), fmt.Sprintf(`"data":{"id":%d}`, id)); n != wanted {
			t.Errorf("row %d came %d times, want %d", id, n, wanted)
		}
	}
}

// worst returns the gravest finding.
func worst(found []config.Finding) (w config.Finding) {
	for _, f := range found {
		if f.Severity > w.Severity {
			w = f
		}
	}
	return w
}
