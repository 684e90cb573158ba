package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walherald/walherald/internal/pgserver"
)

func TestSlotCommandsShowDropAndAdvanceAndGiveNothingUpUnasked(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{})
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(sections(s, "publisher: {type: discard}\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	slot := func(want int, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if code := run(t.Context(), append([]string{"slot", "-c", path}, args...), &out, &out); code != want {
			t.Errorf("slot %v ends with %d, want %d:\n%s", args, code, want, &out)
		}
		return out.String()
	}
	says := func(printed string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(printed, w) {
				t.Errorf("printed without %q:\n%s", w, printed)
			}
		}
	}
	says(slot(exitError, "status"), "exists", "no")
	says(slot(exitError, "advance", "--to", "end", "--yes"), "does not exist")
	dsn := s.DSN("postgres")
	execute(t, dsn, "CREATE PUBLICATION walherald FOR ALL TABLES")
	execute(t, dsn, "SELECT pg_create_logical_replication_slot('wh', 'pgoutput')")
	says(slot(exitOK, "status"), "database", "postgres, plugin pgoutput", "confirmed", "behind the end of the log", "nobody", "nothing")
	execute(t, dsn, "CREATE TABLE t (id int)")

	says(slot(exitError, "advance", "--to", "end"), "this would advance slot wh", "--yes")
	says(slot(exitUsage, "advance", "--to", "sideways", "--yes"), "--to", "0/16B3748")
	says(slot(exitUsage, "advance", "--yes"), "required flag", "to")
	says(slot(exitOK, "advance", "--to", "end", "--yes"), "slot wh is advanced from ")
	says(slot(exitError, "drop"), "this would drop slot wh", "--yes")
	says(slot(exitOK, "status"), "confirmed")
	says(slot(exitOK, "drop", "--yes"), "slot wh is dropped")
	says(slot(exitError, "status"), "no")
}

func TestGapThatIsNoPositionIsAUsageError(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"--accept-gap", "yes"}, &out, &out); code != exitUsage || !strings.Contains(out.String(), "--accept-gap") {
		t.Errorf("exit code %d, printed:\n%s", code, &out)
	}
}
