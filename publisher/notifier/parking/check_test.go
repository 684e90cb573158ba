package parking

import (
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
)

// around is what is beside the table in these tests.
var around = Around{Destinations: []string{"hook"}, Publications: []string{"walherald"}, Slot: "wh"}

// expect wants one finding for each of the texts, in their order: each is the severity,
// the path, and words of what was found or of the remedy, with | between.
func expect(t *testing.T, found config.Findings, want ...string) {
	t.Helper()
	if len(found) != len(want) {
		t.Errorf("%d findings, want %d: %+v", len(found), len(want), found)
		return
	}
	for i, f := range found {
		words := strings.Split(want[i], "|")
		if f.Severity.String() != words[0] || f.Path != words[1] || (f.Severity != config.FindingOK) != (f.Remedy != "") {
			t.Errorf("finding %d is %+v, want %s", i, f, want[i])
		}
		for _, w := range words[2:] {
			if !strings.Contains(f.What+"\n"+f.Remedy, w) {
				t.Errorf("finding %+v does not say %q", f, w)
			}
		}
	}
}

func TestCheckSaysWhetherTheTableIsThereAndMakesNone(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour)
	expect(t, table.Check(p.ctx(), around), "ok|notifier.parking|does not exist and would be made")
	if n := p.value("SELECT count(*)::text FROM pg_namespace WHERE nspname = 'walherald'"); n != "0" {
		t.Error("a check made the schema")
	}
	if err := table.Prepare(p.ctx()); err != nil {
		t.Fatal(err)
	}
	expect(t, table.Check(p.ctx(), around), "ok|notifier.parking|exists and can be used")
}

func TestCheckRefusesATableThatIsNotOurs(t *testing.T) {
	p := newPlace(t)
	p.exec("CREATE SCHEMA walherald; CREATE TABLE walherald.parked (n int)")
	expect(t, p.table(hour).Check(p.ctx(), around), "error|listener.schema|something else has this name|another schema")
	p.exec("COMMENT ON TABLE walherald.parked IS 'deliveries parked by walherald, version 99'")
	expect(t, p.table(hour).Check(p.ctx(), around), "error|listener.schema|newer walherald (version 99|run that one")
}

func TestCheckNamesTheRightsThatAreMissing(t *testing.T) {
	p := newPlace(t)
	role := p.db.Name + "_role"
	p.exec("CREATE ROLE " + role + " LOGIN")
	t.Cleanup(func() {
		p.exec("DROP OWNED BY " + role)
		p.exec("DROP ROLE " + role)
	})
	owner := p.table(hour)
	p.db.User = role
	table := p.table(hour)
	const remedy = "let a superuser run: CREATE SCHEMA"
	expect(t, table.Check(p.ctx(), around), "error|notifier.parking|role "+role+" may not make schema|"+remedy)
	p.exec("CREATE SCHEMA walherald")
	expect(t, table.Check(p.ctx(), around), "error|notifier.parking|may not make table|"+remedy)
	p.exec("GRANT USAGE, CREATE ON SCHEMA walherald TO " + role)
	expect(t, table.Check(p.ctx(), around), "ok|notifier.parking|would be made")
	p.park(owner, delivery("hook", 1))
	p.exec("GRANT SELECT, INSERT, UPDATE ON walherald.parked TO " + role)
	found := table.Check(p.ctx(), around)
	expect(t, found, "error|notifier.parking|may not read and write table|"+remedy)
	// The remedy is one.
	_, sql, _ := strings.Cut(found[0].Remedy, ": ")
	p.exec(sql)
	expect(t, table.Check(p.ctx(), around), "ok|notifier.parking|can be used", "ok|notifier.parking|1 parked for hook")
}

func TestCheckTellsWhatIsParkedAndWhatWaitsForSomebody(t *testing.T) {
	p := newPlace(t)
	table := p.table(config.Parking{Schedule: []time.Duration{time.Nanosecond}})
	p.park(table, deliveries("hook", 3)...)
	p.park(table, delivery("gone", 1))
	expect(t, table.Check(p.ctx(), around), "ok|notifier.parking",
		"warning|notifier.parking|1 parked for gone since 20|no rule sends any more|parked drop --destination gone",
		"ok|notifier.parking|3 parked for hook since 20|tried again by notifier.parking.schedule")
	p.due(table, 2, errDown)
	expect(t, table.Check(p.ctx(), around), "ok|notifier.parking", "warning|notifier.parking|gone",
		"warning|notifier.parking|3 parked for hook|2 wait for somebody|walherald parked list --destination hook")
}

func TestCheckWarnsOfPublicationsThatCarryTheTableToOthers(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour)
	const fine = "ok|notifier.parking|would be made"
	p.exec("CREATE PUBLICATION walherald FOR ALL TABLES; CREATE PUBLICATION reporting FOR ALL TABLES; CREATE PUBLICATION none")
	slot := func(name string) {
		p.exec("SELECT pg_create_logical_replication_slot('" + name + "', 'pgoutput')")
		t.Cleanup(func() { p.exec("SELECT pg_drop_replication_slot('" + name + "')") })
	}
	own := around
	own.Slot = p.db.Name + "_own"
	slot(own.Slot)
	expect(t, table.Check(p.ctx(), own), fine) // nobody else reads
	slot(p.db.Name + "_other")
	expect(t, table.Check(p.ctx(), own), fine, "warning|notifier.parking.store|publication reporting gets|list tables")
	if p.s.Version() >= 15 {
		p.exec("DROP PUBLICATION reporting; CREATE SCHEMA walherald; CREATE PUBLICATION audit FOR TABLES IN SCHEMA walherald")
		expect(t, table.Check(p.ctx(), own), fine, "warning|notifier.parking.store|publication audit gets")
	}
}

func TestCheckOfAStandbyNamesTheOtherStore(t *testing.T) {
	primary := pgserver.ForTest(t, pgserver.Options{})
	s := primary.StandbyForTest(t, nil)
	p := &place{t: t, s: s, db: config.Database{Host: s.Host(), Port: s.Port(), Name: "postgres", User: s.User()}}
	expect(t, p.table(hour).Check(p.ctx(), around), "error|notifier.parking.store|standby|store: topic")
}

func TestCheckOfAServerThatIsNotThereSaysSo(t *testing.T) {
	p := newPlace(t)
	p.db.Name = "nowhere"
	expect(t, p.table(hour).Check(p.ctx(), around), "error|notifier.parking|nowhere|what is found of database")
}
