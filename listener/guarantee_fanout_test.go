package listener

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// fanOut starts a Listener with an output for each sink, called "a", "b", …, and
// waits until it streams. change may alter the outputs.
func (s *pgSource) fanOut(change func([]Output), sinks ...publisher.Deliverer) *guaranteeRun {
	s.t.Helper()
	var outputs []Output
	for i, d := range sinks {
		outputs = append(outputs, Output{Name: string(rune('a' + i)), Route: s.route, Deliverer: d})
	}
	if change != nil {
		change(outputs)
	}
	r := s.newFanOut(metrics.NewHealth(time.Now), outputs...)
	r.begin()
	r.awaitReady()
	return r
}

func TestEveryOutputGetsEveryChangeInOrder(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	a, b, c := newGuaranteeSink(), newGuaranteeSink(), newGuaranteeSink()
	r := s.fanOut(nil, a, b, c)
	const rows = 5000
	for n := range 5 {
		s.exec(fmt.Sprintf("INSERT INTO t SELECT i, 'x' FROM generate_series(%d, %d) i", n*rows/5+1, (n+1)*rows/5))
	}
	want := guaranteeLines(t, a.awaitAccepted(s.ctx, t, rows))
	for _, sink := range []*guaranteeSink{a, b, c} {
		got := sink.awaitAccepted(s.ctx, t, rows)
		guaranteeOrdered(t, got)
		guaranteeSame(t, guaranteeLines(t, got), want)
	}
	s.awaitConfirmed(r.queued())
}

func TestSlowestOutputHoldsThePositionAndTheOthersGoOn(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	healthy, dead := newGuaranteeSink(), newGuaranteeSink()
	r := s.fanOut(nil, healthy, dead)
	s.exec("INSERT INTO t VALUES (0)")
	dead.awaitAccepted(s.ctx, t, 1)
	s.awaitConfirmed(r.queued())

	dead.hold(0)
	limit := s.lsn("pg_current_wal_insert_lsn()")
	for i := 1; i <= 20; i++ {
		s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
	}
	healthy.awaitAccepted(s.ctx, t, 21)
	s.awaitReports(3)
	if at := s.confirmed(); at > limit {
		t.Fatalf("the position moved past %v to %v while an output had confirmed nothing", limit, at)
	}
	dead.release()
	guaranteeOrdered(t, dead.awaitAccepted(s.ctx, t, 21))
	s.awaitConfirmed(r.queued())
}

func TestDeadOutputHoldsTheOthersUpOnlyAtItsShareOfTheWindow(t *testing.T) {
	s := pgShared(t)
	s.cfg.Window = 256 << 10
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	healthy, dead := newGuaranteeSink(), newGuaranteeSink()
	dead.hold(0)
	r := s.fanOut(nil, healthy, dead)
	const rows = 2000 // of 4 kB, far more than the window
	s.flood(1, rows)
	s.eventually("full window", r.outputs[1].window.full)
	// All that entered the dead one's window reaches the healthy one.
	s.eventually("delivery of what was read", func() bool { return r.outputs[0].window.waiting().Bytes == 0 })
	held := r.outputs[1].window.waiting().Bytes
	if got := len(healthy.messages()); got == 0 || got == rows {
		t.Errorf("the healthy output has %d of %d changes while the other is dead", got, rows)
	}
	if share, largest := int(s.cfg.Window)/2, 2*5000; held > share+largest {
		t.Errorf("the dead output's window holds %d bytes, its share is %d", held, share)
	}
	dead.release()
	guaranteeOrdered(t, dead.awaitAccepted(s.ctx, t, rows))
	guaranteeOrdered(t, healthy.awaitAccepted(s.ctx, t, rows))
	s.awaitConfirmed(r.queued())
}

func TestEachOutputHasItsOwnSelectionTopicsKeysAndEnvelope(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE users (id int PRIMARY KEY, name text)", "CREATE TABLE orders (id int PRIMARY KEY, name text)",
		"CREATE TABLE secrets (id int PRIMARY KEY, name text)")
	s.cfg.Exclude.Tables = []string{"secrets"}
	all, some := newGuaranteeSink(), newGuaranteeSink()
	r := s.fanOut(func(outputs []Output) {
		outputs[1].Route = Route{
			Filter:   config.TableActions{Tables: map[string][]string{"users": {"insert", "delete"}, "secrets": {"insert"}}},
			Rules:    config.TopicRules{Map: config.TopicsMap{{Match: "public_users", Topic: "people"}}},
			Database: s.db.Name, Topic: "other", KeyFrom: []string{"name"}, Envelope: shoutingEnvelope{},
		}
	}, all, some)
	s.exec("INSERT INTO users VALUES (1, 'ann')", "INSERT INTO orders VALUES (1, 'x')", "UPDATE users SET name = 'bob'",
		"INSERT INTO secrets VALUES (1, 's')", "DELETE FROM users", "INSERT INTO users VALUES (2, 'cat')")
	var topics []string
	for _, m := range all.awaitAccepted(s.ctx, t, 5) {
		topics = append(topics, m.Topic+" "+m.Key)
	}
	guaranteeSame(t, topics, []string{"public_users 1", "public_orders 1", "public_users 1", "public_users 1", "public_users 2"})
	topics = nil
	for _, m := range some.awaitAccepted(s.ctx, t, 3) {
		topics = append(topics, m.Topic+" "+m.Key+" "+m.Body)
	}
	guaranteeSame(t, topics, []string{"other.people ann INSERT!", "other.people  DELETE!", "other.people cat INSERT!"})
	s.awaitConfirmed(r.queued())
}

// shoutingEnvelope has bodies of one word.
type shoutingEnvelope struct{}

func (shoutingEnvelope) Plan(*publisher.Table, map[string]string) format.Plan { return shoutingPlan{} }

type shoutingPlan struct{}

func (shoutingPlan) Append(dst []byte, e *publisher.Event) []byte {
	return append(append(dst, e.Action.String()...), '!')
}

func TestOutputThatRefusesForGoodEndsTheProcessByNameAndLosesNothing(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	healthy, refusing := newGuaranteeSink(), newGuaranteeSink()
	refusing.fail(publisher.Permanent(errors.New("no such exchange")))
	r := s.fanOut(nil, healthy, refusing)
	limit := s.lsn("pg_current_wal_insert_lsn()")
	s.exec("INSERT INTO t VALUES (1)")
	err := r.wait()
	if err == nil || !strings.Contains(err.Error(), "output b") || !strings.Contains(err.Error(), "no such exchange") {
		t.Fatalf("Run returned %v", err)
	}
	if len(healthy.messages()) != 1 {
		t.Errorf("the other output has %d changes of 1", len(healthy.messages()))
	}
	if at := s.confirmed(); at > limit || len(refusing.messages()) != 0 {
		t.Errorf("the position is %v, past %v", at, limit)
	}
	// As after a restart with the exchange in place.
	again := s.fanOut(nil, healthy, refusing)
	if got := refusing.awaitAccepted(s.ctx, t, 1); guaranteeParse(t, got[0]).Action != "INSERT" {
		t.Errorf("after a restart the output has %v", got)
	}
	s.awaitConfirmed(again.queued())
}

func TestLostConnectionRepeatsNothingInAnyOutput(t *testing.T) {
	s := pgShared(t)
	proxy := s.proxied()
	s.cfg.Window = 128 << 10
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	quick, slow := newGuaranteeSink(), newGuaranteeSink()
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	slow.inspect = func([]publisher.Message) { <-pace.C }
	r := s.fanOut(nil, quick, slow)
	const rows, cuts = 1500, 6
	for n := range cuts {
		proxy.CutRepliesAfter(int64(100_000 + n*37_001))
		s.flood(n*rows+1, rows)
	}
	for _, sink := range []*guaranteeSink{quick, slow} {
		guaranteeOrdered(t, sink.awaitAccepted(s.ctx, t, cuts*rows))
	}
	r.awaitReady()
	s.awaitConfirmed(r.queued())
	if !slices.EqualFunc(quick.messages(), slow.messages(), func(a, b guaranteeMessage) bool { return a.ID == b.ID }) {
		t.Error("the outputs do not hold the same changes")
	}
}

func TestOutputThatConfirmsNothingIsNamed(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	healthy, dead := newGuaranteeSink(), newGuaranteeSink()
	dead.hold(0)
	r := s.fanOut(nil, healthy, dead)
	s.flood(1, 5)
	named := func() metrics.ComponentReport {
		at := slices.IndexFunc(r.probes.Report().Components, func(c metrics.ComponentReport) bool { return c.Name == "b" })
		return r.probes.Report().Components[at]
	}
	s.eventually("naming", func() bool { return strings.Contains(named().Reason, "holds the position") })
	first := dead.awaitOffered(s.ctx, t, 1)[0]
	if got := named(); got.Ready || got.LSN != FormatLSN(first.ID.LSN()) {
		t.Errorf("the report is %+v, the output waits at %s", got, FormatLSN(first.ID.LSN()))
	}
	dead.release()
	dead.awaitAccepted(s.ctx, t, 5)
	s.eventually("going on", func() bool { return named().Ready })
}
