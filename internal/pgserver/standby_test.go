package pgserver_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walherald/walherald/internal/pgserver"
)

func TestStandbyShowsWhatItsPrimaryCommitsAndTakesNoWrites(t *testing.T) {
	primary := pgserver.ForTest(t, pgserver.Options{Password: `it's \secret`})
	there := connect(t, primary.DSN("postgres"))
	execute(t, there, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
	standby := primary.StandbyForTest(t, map[string]string{"cluster_name": "second"})
	here := connect(t, standby.DSN("postgres"))
	for setting, want := range map[string]string{
		"hot_standby_feedback": "on", "primary_slot_name": "standby_1", "cluster_name": "second",
		"data_directory": standby.DataDir(), "transaction_read_only": "on",
	} {
		if got := query(t, here, "SHOW "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	execute(t, there, "INSERT INTO kept VALUES (1001)")
	if err := standby.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, here, "SELECT count(*)::text FROM kept"); got != "1001" {
		t.Errorf("the standby has %s rows, want 1001", got)
	}
	_, err := here.Exec(t.Context(), "INSERT INTO kept VALUES (1002)")
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "25006" {
		t.Errorf("a write to the standby gave %v", err)
	}
	const systemID = "SELECT system_identifier::text FROM pg_control_system()"
	if a, b := query(t, here, systemID), query(t, there, systemID); a != b {
		t.Errorf("the standby's system identifier is %s, the primary's %s", a, b)
	}
	if got := query(t, there, "SELECT active::text FROM pg_replication_slots WHERE slot_name = 'standby_1'"); got != "true" {
		t.Errorf("the standby's slot is active: %s", got)
	}
}

func TestPromotedStandbyGoesOnWithoutItsPrimary(t *testing.T) {
	primary := pgserver.ForTest(t, pgserver.Options{})
	standby := primary.StandbyForTest(t, nil)
	execute(t, connect(t, primary.DSN("postgres")), "CREATE TABLE kept AS SELECT 1 AS id")
	if err := standby.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, standby.DSN("postgres"))
	execute(t, conn, "INSERT INTO kept VALUES (2)")
	if got := query(t, conn, "SELECT string_agg(id::text, ',' ORDER BY id) FROM kept"); got != "1,2" {
		t.Errorf("table holds %q, want 1,2", got)
	}
	if got := query(t, conn, "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"); got != "00000002" {
		t.Errorf("the promoted standby is on timeline %s, want 2", got)
	}
	if err := standby.Promote(t.Context()); err == nil {
		t.Error("a primary was promoted")
	}
}

func TestStandbyFollowsAgainAfterEitherServerRestarted(t *testing.T) {
	primary := pgserver.ForTest(t, pgserver.Options{})
	standby := primary.StandbyForTest(t, nil)
	for _, s := range []*pgserver.Server{standby, primary} {
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		execute(t, connect(t, primary.DSN("postgres")), "CREATE TABLE IF NOT EXISTS kept (id int)")
		if err := standby.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEachStandbyHasASlotOfItsOwn(t *testing.T) {
	primary := pgserver.ForTest(t, pgserver.Options{})
	primary.StandbyForTest(t, nil)
	primary.StandbyForTest(t, nil)
	const slots = "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots WHERE active"
	if got := query(t, connect(t, primary.DSN("postgres")), slots); got != "standby_1,standby_2" {
		t.Errorf("active slots are %q", got)
	}
}

// Older servers have nothing that would synchronise a slot: there the standby is
// seen to have none.
func TestFailoverSlotIsSynchronisedToTheStandby(t *testing.T) {
	primary := pgserver.ForTest(t, pgserver.Options{})
	there := connect(t, primary.DSN("postgres"))
	if primary.Version() < 17 {
		execute(t, there, "SELECT pg_create_logical_replication_slot('kept', 'pgoutput')")
		standby := primary.StandbyForTest(t, nil)
		if got := query(t, connect(t, standby.DSN("postgres")), "SELECT count(*)::text FROM pg_replication_slots"); got != "0" {
			t.Errorf("the standby has %s slots", got)
		}
		return
	}
	standby := primary.StandbyForTest(t, nil)
	execute(t, there, "SELECT pg_create_logical_replication_slot('kept', 'pgoutput', failover => true)")
	if err := standby.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	here := connect(t, standby.DSN("postgres"))
	execute(t, here, "SELECT pg_sync_replication_slots()")
	if got := query(t, here, "SELECT (synced AND failover)::text FROM pg_replication_slots WHERE slot_name = 'kept'"); got != "true" {
		t.Errorf("slot kept is synchronised: %s", got)
	}
}

func TestServerWithoutAPrimaryCannotCatchUp(t *testing.T) {
	if err := pgserver.Shared(t).CatchUp(t.Context()); err == nil {
		t.Error("CatchUp returned no error")
	}
}

func TestStandbyOfAStoppedServerIsAnErrorAndLeavesNothing(t *testing.T) {
	primary := pgserver.ForTest(t, pgserver.Options{})
	if err := primary.Stop(t.Context(), pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	if _, err := primary.StartStandby(t.Context(), nil); err == nil {
		t.Fatal("StartStandby returned no error")
	}
}
