package listener

import (
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
)

// watched starts a Listener whose metrics and last events are looked at.
func (s *pgSource) watched(sinks ...*guaranteeSink) (*guaranteeRun, *metrics.Metrics, *metrics.Recent) {
	s.t.Helper()
	numbers := prometheus.NewRegistry()
	met, health, recent := metrics.New(numbers, "test"), metrics.NewHealth(time.Now), metrics.NewRecent()
	deps := Deps{Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)), Metrics: met, Health: health, Recent: recent}
	for i, sink := range sinks {
		out := Output{Name: string(rune('a' + i)), Route: s.route, Deliverer: sink}
		out.Route.Rules = s.cfg.TopicRules()
		deps.Outputs = append(deps.Outputs, out)
	}
	l, err := New(s.cfg, s.db, deps)
	if err != nil {
		s.t.Fatal(err)
	}
	looking := make(chan struct{})
	go func() { defer close(looking); recent.Run(s.ctx) }()
	s.t.Cleanup(func() { <-looking })
	r := &guaranteeRun{Listener: l, s: s, probes: health, numbers: numbers, ended: make(chan struct{})}
	r.begin()
	r.awaitReady()
	return r, met, recent
}

func TestSlotAndPositionsAreShownAsTheServerSeesThem(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	r, met, _ := s.watched(sink)
	s.exec("INSERT INTO t VALUES (1)")
	end := s.lsn("pg_current_wal_insert_lsn()")
	s.eventually("state of the slot behind the change", func() bool {
		return met.LastSlot().Known && met.Positions().Server >= uint64(end)
	})
	slot := met.LastSlot()
	if slot.Status != "reserved" || !(slot.Retained > 0) || !math.IsNaN(slot.Safe) || time.Since(slot.At) > pgTestTimeout {
		t.Errorf("the slot is shown as %+v", slot)
	}
	s.awaitConfirmed(r.queued())
	s.eventually("positions", func() bool {
		at := met.Positions()
		return at.Received > 0 && at.Confirmed >= at.Received && at.Flushed >= at.Received
	})
	if read := met.Reading(); read.Changes != 1 || read.Transactions != 1 {
		t.Errorf("what was read is %+v", read)
	}
}

func TestOldestUnconfirmedChangeIsShown(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	healthy, dead := newGuaranteeSink(), newGuaranteeSink()
	dead.hold(0)
	r, met, recent := s.watched(healthy, dead)
	s.exec("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
	healthy.awaitAccepted(s.ctx, t, 2)
	s.eventually("what waits", func() bool {
		met.Refresh()
		a, b := met.Output("a").Totals(), met.Output("b").Totals()
		return a.Events == 0 && b.Events == 2
	})
	first := healthy.messages()[0]
	if w := met.Output("b").Totals().Waiting; w.LSN != first.ID.LSN() || w.Table != "public.t" || time.Since(w.Committed) > pgTestTimeout {
		t.Errorf("the oldest is %+v, want %v", w, first)
	}
	s.eventually("ways of the events", func() bool {
		events := recent.Events()
		return len(events) == 2 && !events[0].Hops[0].Confirmed.IsZero()
	})
	event := recent.Events()[1]
	if event.ID != first.ID || event.Table != "public.t" || event.Action != "INSERT" || event.Hops[0].Topic != "public_t" || !event.Hops[1].Confirmed.IsZero() {
		t.Errorf("the event's way is %+v", event)
	}
	dead.release()
	s.eventually("end of its way", func() bool { return !recent.Events()[0].Hops[1].Confirmed.IsZero() })
	s.awaitConfirmed(r.queued())
}

func TestChangesOfALargeTransactionAreCountedWhileItIsRead(t *testing.T) {
	s := pgShared(t)
	s.cfg.Window = 256 << 10
	s.cfg.Filter = config.TableActions{Tables: map[string][]string{"t": {"insert"}}}
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	sink.hold(0)
	r, met, _ := s.watched(sink)
	s.transaction("INSERT INTO t SELECT generate_series(1, 20000)", "DELETE FROM t")
	s.eventually("full window", r.outputs[0].window.full)
	sink.release()
	s.awaitConfirmed(s.lsn("pg_current_wal_insert_lsn()"))
	if read := met.Reading(); read.Changes != 40000 || met.FilteredTotal() != 20000 {
		t.Errorf("%v changes were read and %v filtered, want 40000 and 20000", read.Changes, met.FilteredTotal())
	}
}

func TestLookingAtTheSlotKeepsNoServerFromASmartShutdown(t *testing.T) {
	s := pgOwn(t, pgserver.Options{})
	s.cfg.SlotMemory = false // whose connection is open for longer on purpose
	_, met, _ := s.watched(newGuaranteeSink())
	s.eventually("state of the slot", func() bool { return met.LastSlot().Known })
	if err := s.conn.Close(s.ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Stop(s.ctx, pgserver.Smart); err != nil {
		t.Fatalf("smart shutdown: %v", err)
	}
}

func TestPositionThatCannotBeWrittenDownIsShownAndCountedOnce(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	r, _, _ := s.watched(sink)
	s.exec("INSERT INTO t VALUES (1)")
	s.awaitConfirmed(pgoutput.LSN(sink.awaitAccepted(s.ctx, t, 1)[0].ID.LSN()) + 1)
	readOnly := func(on string) {
		s.exec("ALTER DATABASE " + quoteIdent(s.db.Name) + " SET default_transaction_read_only = " + on)
		s.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() " +
			"AND backend_type = 'client backend' AND pid <> pg_backend_pid()")
	}
	readOnly("on")
	s.exec("INSERT INTO t VALUES (2)")
	s.eventually("word of the memory", func() bool { return strings.Contains(r.postgres().Reason, "slot memory cannot be written") })
	commit := pgoutput.LSN(sink.awaitAccepted(s.ctx, t, 2)[1].ID.LSN())
	if at := s.confirmed(); at > commit {
		t.Errorf("the server was told %v, which nobody will remember", at)
	}
	want := "problematic_events_total{app=\"test\",kind=\"ack\"} 1\n"
	if got := scraped(t, r.numbers); !strings.Contains(got, want) {
		t.Errorf("metrics do not count it once:\n%s", got)
	}
	readOnly("off")
	s.exec("INSERT INTO t VALUES (3)")
	s.awaitConfirmed(commit + 1)
	r.awaitReady()
}
