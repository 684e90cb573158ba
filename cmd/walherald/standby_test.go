package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/metrics/console"
)

const standbyMetric = `walherald_standby{app="walherald"}`

// awaitStandby waits until the process says that it only waits for the slot, everywhere
// where it says how it does.
func (d *daemon) awaitStandby(database string) {
	d.t.Helper()
	d.awaitStatus("the second process to stand by", func(s console.Status) bool { return s.State == metrics.StatusStandby })
	d.want(http.StatusServiceUnavailable, []string{`"status":"standby"`}, http.MethodGet, "/ready", "")
	d.want(http.StatusOK, []string{`"status":"standby"`}, http.MethodGet, "/ready?standby=ok", "")
	d.want(http.StatusOK, []string{"alive"}, http.MethodGet, "/health", "")
	if v := d.metric(standbyMetric); v != 1 {
		d.t.Errorf("%s is %v", standbyMetric, v)
	}
	s, err := d.status(bounded(d.t))
	if err != nil || s.Source.Ready || !containsAll(s.Source.Reason, database, "is active for PID") {
		d.t.Errorf("/status says of the source %+v, %v", s.Source.State, err)
	}
}

// awaitWorks waits until the process says that it reads the slot, and returns how long
// that took.
func (d *daemon) awaitWorks() time.Duration {
	d.t.Helper()
	began := time.Now()
	d.awaitReady()
	took := time.Since(began)
	for series, want := range map[string]float64{standbyMetric: 0, `walherald_source_ready{app="walherald"}`: 1} {
		if v := d.metric(series); v != want {
			d.t.Errorf("%s is %v, want %v", series, v, want)
		}
	}
	d.want(http.StatusOK, []string{`"status":"ready"`}, http.MethodGet, "/ready?standby=ok", "")
	return took
}

func TestStandbyTakesOverFromOneThatIsKilledOrStoppedAndLosesNothing(t *testing.T) {
	s, broker, rng := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{}), dice(t)
	db := prepare(t, s)
	first := newOperated(t, source(s, db), toNATS(broker.URL()))
	second := newOperated(t, source(s, db), toNATS(broker.URL()))
	first.start()
	first.awaitWorks()
	second.start()
	second.awaitStandby(db)

	l := startLoad(t, rng, s.DSN(db), false)
	pause(t.Context(), rng, time.Second)
	first.kill()
	t.Logf("ready %v after the other process was killed", second.awaitWorks())

	first.start()
	first.awaitStandby(db)
	pause(t.Context(), rng, time.Second)
	if err := second.proc.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	t.Logf("ready %v after the other process was asked to stop", first.awaitWorks())
	if code := second.exit(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	l.finish()
	awaitConfirmed(t, first, s.DSN(db), db)
	balance(t, l, openStream(t, broker.URL()))
}

// A standby is told of a configuration as well, and goes on by it.
func TestStandbyTakesOverByTheConfigurationThatItWasToldMeanwhile(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	db := s.TestDatabase(t)
	execute(t, s.DSN(db), "CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n int PRIMARY KEY)")
	from := source(s, db) + "  filter: {tables: {a: [insert]}}\n"
	first, second := newOperated(t, from, toNATS(broker.URL())), newOperated(t, from, toNATS(broker.URL()))
	first.start()
	first.awaitWorks()
	second.start()
	second.awaitStandby(db)
	second.reload(strings.Replace(second.configuration(), "tables: {a:", "tables: {b:", 1), reloadsApplied)
	second.awaitStandby(db)
	insertInto(t, s.DSN(db), 1, "a", "b")
	awaitConfirmed(t, first, s.DSN(db), db)
	first.stop(syscall.SIGTERM)
	second.awaitWorks()
	insertInto(t, s.DSN(db), 2, "a", "b")
	awaitConfirmed(t, second, s.DSN(db), db)
	if got := fmt.Sprint(subjects(t, broker.URL())); got != "[cdc.public_a cdc.public_b]" {
		t.Errorf("the stream has %s", got)
	}
}
