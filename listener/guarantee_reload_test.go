package listener

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
)

// reload has the running Listener take over what change makes of its configuration.
func (r *guaranteeRun) reload(ctx context.Context, change func(cfg *config.Listener, route *Route)) error {
	cfg, route := r.s.cfg, r.s.route
	change(&cfg, &route)
	route.Rules = cfg.TopicRules()
	return r.Reload(ctx, cfg, []Route{route})
}

func only(table string) config.TableActions {
	return config.TableActions{Tables: map[string][]string{table: {"insert", "update"}}}
}

func tablesOf(ms []guaranteeMessage) []string {
	var tables []string
	for _, m := range ms {
		tables = append(tables, m.Topic)
	}
	return tables
}

func TestReloadTakesHoldBetweenTwoTransactions(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE users (id int PRIMARY KEY)", "CREATE TABLE orders (id int PRIMARY KEY)")
	s.cfg.Filter = only("users")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	both := func(n int) {
		s.transaction(fmt.Sprintf("INSERT INTO users VALUES (%d)", n), fmt.Sprintf("INSERT INTO orders VALUES (%d)", n))
	}
	both(1)
	sink.awaitAccepted(s.ctx, t, 1)
	pid := s.slot("active_pid")
	// Nothing happens in the database meanwhile: a reload needs no change to be seen.
	err := r.reload(s.ctx, func(cfg *config.Listener, _ *Route) {
		cfg.Filter = only("orders")
		cfg.TopicsMap = config.TopicsMap{{Match: "public_orders", Topic: "sales"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	both(2)
	guaranteeSame(t, tablesOf(sink.awaitAccepted(s.ctx, t, 2)), []string{"public_users", "sales"})
	if now := s.slot("active_pid"); now != pid {
		t.Errorf("the slot was given up for the reload: process %s read it, now %s does", pid, now)
	}
	// Ids count what filters drop, so they do not depend on the configuration.
	if got := sink.messages()[1].ID.Ordinal(); got != 1 {
		t.Errorf("the second change of its transaction has the ordinal %d", got)
	}
	s.awaitConfirmed(r.queued())
}

// stuckInATransaction starts a Listener that is in the middle of a transaction of so
// many rows, which the sink does not take.
func stuckInATransaction(t *testing.T, rows int) (*pgSource, *guaranteeSink, *guaranteeRun) {
	t.Helper()
	s := pgShared(t)
	s.cfg.Window = 256 << 10
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	sink := newGuaranteeSink()
	sink.hold(0)
	r := s.stream(sink)
	s.exec(fmt.Sprintf("INSERT INTO t SELECT n, repeat('x', 4000) FROM generate_series(1, %d) AS n", rows))
	s.eventually("full window", r.outputs[0].window.full)
	return s, sink, r
}

// wantAppliedBehind wants, once the sink takes it, all of the transaction, and nothing
// of what comes after the reload, whose result applied gets.
func (s *pgSource) wantAppliedBehind(sink *guaranteeSink, rows int, applied <-chan error) {
	s.t.Helper()
	sink.release()
	guaranteeOrdered(s.t, sink.awaitAccepted(s.ctx, s.t, rows))
	if err := <-applied; err != nil {
		s.t.Fatal(err)
	}
	s.exec("INSERT INTO t VALUES (0, 'dropped')")
	s.awaitConfirmed(s.lsn("pg_current_wal_insert_lsn()"))
	if n := len(sink.messages()); n != rows {
		s.t.Errorf("%d messages were delivered, want the %d of before the reload", n, rows)
	}
}

func TestReloadWaitsForTheOpenTransactionOrChangesNothing(t *testing.T) {
	const rows = 500
	s, sink, r := stuckInATransaction(t, rows)

	nothing := func(cfg *config.Listener, _ *Route) { cfg.Filter = only("nothing") }
	soon, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
	defer cancel()
	if err := r.reload(soon, nothing); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a reload in the middle of a transaction returned %v", err)
	}
	later := make(chan error, 1)
	go func() { later <- r.reload(s.ctx, nothing) }()
	s.eventually("reload that waits", func() bool { return r.reloading.Load() != nil })
	s.wantAppliedBehind(sink, rows, later)
}

func TestReloadDoesNotComeBetweenTheHalvesOfATransactionThatWasCut(t *testing.T) {
	const rows = 5000 // more than the buffers of a connection hold
	s, sink, r := stuckInATransaction(t, rows)

	pid := s.slot("active_pid")
	applied := make(chan error, 1)
	go func() {
		applied <- r.reload(s.ctx, func(cfg *config.Listener, _ *Route) { cfg.Filter = only("nothing") })
	}()
	s.eventually("reload that waits", func() bool { return r.reloading.Load() != nil })
	s.exec("SELECT pg_terminate_backend(" + pid + ")")
	s.eventually("end of the connection", func() bool { return s.slot("active_pid") != pid })
	s.wantAppliedBehind(sink, rows, applied)
}

func TestReloadThatFailsForOneTableChangesNothing(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE users (id int PRIMARY KEY)", "CREATE TABLE orders (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.exec("INSERT INTO users VALUES (1)", "INSERT INTO orders VALUES (1)")
	sink.awaitAccepted(s.ctx, t, 2)
	err := r.reload(s.ctx, func(cfg *config.Listener, _ *Route) {
		cfg.TopicTemplate = `{{if eq .Table "users"}}people{{end}}` // which gives orders none
	})
	if err == nil || !strings.Contains(err.Error(), "orders") {
		t.Fatalf("a template without a topic for a table is taken over: %v", err)
	}
	s.exec("INSERT INTO users VALUES (2)", "INSERT INTO orders VALUES (2)")
	guaranteeSame(t, tablesOf(sink.awaitAccepted(s.ctx, t, 4)), []string{"public_users", "public_orders", "public_users", "public_orders"})
}

func TestReloadWithoutAConnectionHoldsForTheNext(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE users (id int PRIMARY KEY)", "CREATE TABLE orders (id int PRIMARY KEY)")
	first := newGuaranteeSink()
	holder := s.stream(first)
	sink := newGuaranteeSink()
	standby := s.start(sink)
	s.eventually("standby", func() bool { return standby.postgres().Standby })
	err := standby.reload(s.ctx, func(cfg *config.Listener, _ *Route) { cfg.Filter = only("orders") })
	if err != nil {
		t.Fatal(err)
	}
	holder.stop()
	standby.awaitReady()
	s.exec("INSERT INTO users VALUES (1)", "INSERT INTO orders VALUES (1)")
	s.awaitConfirmed(s.lsn("pg_current_wal_insert_lsn()"))
	guaranteeSame(t, tablesOf(sink.messages()), []string{"public_orders"})
}

func TestReloadAfterTheEndIsRefused(t *testing.T) {
	s := pgShared(t)
	r := s.stream(newGuaranteeSink())
	r.stop()
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Millisecond)
	defer cancel()
	if err := r.reload(ctx, func(*config.Listener, *Route) {}); err == nil {
		t.Error("a Listener that has ended took a configuration over")
	}
}
