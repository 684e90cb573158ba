package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
	recv "github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher/nats"
)

// The series that count reloads.
const (
	reloadsApplied = `walherald_reloads_total{app="walherald",result="applied"}`
	reloadsRefused = `walherald_reloads_total{app="walherald",result="refused"}`
)

// reload has the running process read another configuration, and waits until it has
// been counted in the series.
func (d *daemon) reload(configuration, series string) {
	d.t.Helper()
	before := d.metric(series)
	if err := os.WriteFile(d.config, []byte(configuration), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := d.proc.Signal(syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
	eventually(d.t, "the reload to be counted in "+series, func(context.Context) (bool, error) {
		d.mustRun()
		return d.metric(series) == before+1, nil
	})
}

// refuse wants a configuration to be refused for a reason that holds the words.
func (d *daemon) refuse(configuration string, words ...string) {
	d.t.Helper()
	applied, before := d.metric(reloadsApplied), len(d.log())
	d.reload(configuration, reloadsRefused)
	var told string
	eventually(d.t, "the log to say what is refused", func(context.Context) (bool, error) {
		for line := range strings.Lines(d.log()[before:]) {
			if strings.Contains(line, "not taken over") {
				told = line
			}
		}
		return told != "", nil
	})
	if !containsAll(told, append(words, `"level":"ERROR"`, d.config)...) {
		d.t.Errorf("the log says %s, without all of %q", told, words)
	}
	if now := d.metric(reloadsApplied); now != applied {
		d.t.Errorf("what was refused counts as applied: %v", now)
	}
}

// insertInto inserts a row with this number into each of the tables, in one transaction.
func insertInto(t *testing.T, dsn string, n int, tables ...string) {
	t.Helper()
	var sql []string
	for _, table := range tables {
		sql = append(sql, fmt.Sprintf("INSERT INTO %s VALUES (%d)", table, n))
	}
	execute(t, dsn, strings.Join(sql, "; "))
}

// subjects are those of all messages of the stream, in order.
func subjects(t *testing.T, url string) (all []string) {
	t.Helper()
	readStream(t, openStream(t, url), func(m jetstream.Msg) { all = append(all, m.Subject()) })
	return all
}

// pairs are two tables that are written to in the same transactions: of number n, one
// row of kept, and changesOf(n) of other around it.
const pairs = `
CREATE TABLE kept (n bigint PRIMARY KEY);
CREATE TABLE other (n bigint, i int, PRIMARY KEY (n, i));`

// changesOf is how many rows of other the transaction n has; sometimes many.
func changesOf(n int) int {
	if n%10 == 7 {
		return 1000
	}
	return 2 + n*7%40
}

// writerRest is the longest pause between two transactions of a writer.
const writerRest = 20 * time.Millisecond

// writer makes the transactions 1, 2, 3...
type writer struct {
	committed int
	running   sync.WaitGroup
	stop      context.CancelFunc
	err       error
}

func startWriter(t *testing.T, rng *rand.Rand, dsn string) *writer {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &writer{stop: stop}
	w.running.Go(func() { w.err = w.run(ctx, rng, dsn) })
	t.Cleanup(func() { stop(); w.running.Wait() })
	return w
}

func (w *writer) run(ctx context.Context, rng *rand.Rand, dsn string) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patience)
	defer cancel()
	conn, err := pgx.Connect(within, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(within) }()
	for n := 1; ctx.Err() == nil; n++ {
		// Statements of one string without BEGIN are one transaction.
		if _, err := conn.Exec(within, fmt.Sprintf(`INSERT INTO other VALUES (%[1]d, 0); INSERT INTO kept VALUES (%[1]d);
			INSERT INTO other SELECT %[1]d, generate_series(1, %[2]d)`, n, changesOf(n)-1)); err != nil {
			return err
		}
		w.committed = n
		pause(ctx, rng, writerRest) // or a machine that is busy would read it for a long time
	}
	return nil
}

// reads waits until that many more transactions have been read.
func (d *daemon) reads(n float64) {
	d.t.Helper()
	const series = `walherald_transactions_total{app="walherald"}`
	until := d.metric(series) + n
	eventually(d.t, "more transactions", func(context.Context) (bool, error) { return d.metric(series) >= until, nil })
}

// end stops the writer and returns how many transactions it has made.
func (w *writer) end(t *testing.T) int {
	t.Helper()
	w.stop()
	w.running.Wait()
	if w.err != nil {
		t.Fatal(w.err)
	}
	return w.committed
}

// came is what a stream holds of the writer's transactions.
type came struct {
	t     *testing.T
	last  string // the id of the last event
	kept  []int  // numbers, as they came
	other map[int]int
}

func (c *came) add(id string, body []byte) {
	var e struct {
		Table string
		Data  struct{ N int }
	}
	if err := json.Unmarshal(body, &e); err != nil {
		c.t.Errorf("%s: %v", body, err)
	}
	if id <= c.last {
		c.t.Errorf("event %s comes after %s", id, c.last)
	}
	c.last = id
	if e.Table == "kept" {
		c.kept = append(c.kept, e.Data.N)
		return
	}
	c.other[e.Data.N]++
}

// balance holds what came to be all of kept, once, and of other whole transactions:
// those of every second configuration, beginning with the one that leaves them out.
func (c *came) balance(transactions, reloads int) {
	c.t.Helper()
	for i, n := range c.kept {
		if n != i+1 {
			c.t.Fatalf("place %d of the table that every configuration selects has transaction %d", i+1, n)
		}
	}
	if len(c.kept) != transactions {
		c.t.Errorf("%d of %d transactions came", len(c.kept), transactions)
	}
	turns, selected := 0, false
	for n := 1; n <= transactions; n++ {
		if got := c.other[n]; got != 0 && got != changesOf(n) {
			c.t.Errorf("of transaction %d, %d of %d changes came", n, got, changesOf(n))
		}
		if now := c.other[n] > 0; now != selected {
			selected = now
			turns++
		}
	}
	if turns != reloads {
		c.t.Errorf("the table that every second configuration selects came and went %d times in %d reloads", turns, reloads)
	}
}

func TestReloadsUnderLoadKeepTheSlotLoseNothingAndCutNoTransaction(t *testing.T) {
	const reloads = 5
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	db := s.TestDatabase(t)
	dsn := s.DSN(db)
	execute(t, dsn, pairs)
	d := newOperated(t, source(s, db)+"  filter: {tables: {kept: [insert]}}\n", toNATS(broker.URL()))
	alone := d.configuration()
	both := strings.Replace(alone, "{kept: [insert]}", "{kept: [insert], other: [insert]}", 1)
	d.start()
	d.awaitReady()
	const holder = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1"
	pid := value[int](t, dsn, holder, db)
	w := startWriter(t, dice(t), dsn)
	for i := range reloads {
		d.reads(10)
		d.reload([]string{both, alone}[i%2], reloadsApplied)
	}
	d.reads(10)
	transactions := w.end(t)
	awaitConfirmed(t, d, dsn, db)

	if now := value[int](t, dsn, holder, db); now != pid || strings.Count(d.log(), `"msg":"streaming"`) != 1 {
		t.Errorf("the slot was read by process %d of the server, now by %d", pid, now)
	}
	c := &came{t: t, other: make(map[int]int)}
	readStream(t, openStream(t, broker.URL()), func(m jetstream.Msg) {
		id, _ := nats.EventID(m.Headers())
		c.add(id, m.Data())
	})
	c.balance(transactions, reloads)
	d.addsUp(value[float64](t, dsn, "SELECT (SELECT count(*) FROM kept) + (SELECT count(*) FROM other)::float8"))
	t.Logf("%d transactions", transactions)
}

func TestReloadChangesFiltersTopicsRulesAndLogLevelAtOnce(t *testing.T) {
	s, broker, hook := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{}), recv.New(t, recv.Options{})
	db := s.TestDatabase(t)
	dsn := s.DSN(db)
	execute(t, dsn, "CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n int PRIMARY KEY)")
	d := newOperated(t, source(s, db)+"  filter: {tables: {a: [insert]}}\n", toNATS(broker.URL())+"logger: {level: error}\n"+fmt.Sprintf(`
notifier:
  destinations: [{name: hook, type: webhook, url: "%s", envelope: setu, allowPrivate: true}]
  rules: [{name: first, table: a, when: new.n < 10, destination: hook}]
`, hook.URL()))
	before := d.configuration()
	d.start()
	d.awaitReady()
	insertInto(t, dsn, 1, "a", "b")
	after := strings.NewReplacer(
		"tables: {a: [insert]}", "tables: {b: [insert]}", "level: error", "level: info",
		"topic: cdc", "topic: cdc, topicsMap: {public_b: letters}",
		"{name: first, table: a, when: new.n < 10,", "{name: second, table: b, when: new.n < 3,",
	).Replace(before)
	d.reload(after, reloadsApplied)
	insertInto(t, dsn, 2, "a", "b") // of which the rule takes that of b
	insertInto(t, dsn, 3, "a", "b")
	d.reload(before, reloadsApplied)
	insertInto(t, dsn, 20, "a", "b")
	insertInto(t, dsn, 4, "a", "b")
	awaitConfirmed(t, d, dsn, db)

	var told []string
	if got, want := subjects(t, broker.URL()), []string{"cdc.public_a", "cdc.letters", "cdc.letters", "cdc.public_a", "cdc.public_a"}; !slices.Equal(got, want) {
		t.Errorf("the stream has %q, want %q", got, want)
	}
	for _, r := range hook.Requests() {
		var e struct {
			Table string
			New   struct{ N string }
		}
		if err := json.Unmarshal(r.Body, &e); err != nil {
			t.Errorf("%s: %v", r.Body, err)
		}
		told = append(told, e.Table+e.New.N)
	}
	if want := []string{"a1", "b2", "a4"}; !slices.Equal(told, want) {
		t.Errorf("the webhook got %q, want %q", told, want)
	}
	// The second reload says so at a level that is no longer logged.
	if log := d.log(); strings.Count(log, "is taken over") != 1 || strings.Contains(log, `"msg":"streaming"`) {
		t.Errorf("the log levels error, info and error make this log:\n%s", log)
	}
}

func TestReloadIsRefusedWithKeyAndRemedyAndTheOldConfigurationHolds(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	db := s.TestDatabase(t)
	dsn := s.DSN(db)
	execute(t, dsn, "CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n int PRIMARY KEY)")
	const hooks = `
notifier:
  destinations: [{name: hook, type: webhook, url: "http://127.0.0.1:1", allowPrivate: true}, {name: spare, type: webhook, url: "http://127.0.0.1:1", allowPrivate: true}]
  rules: [{name: none, table: nothing, destination: hook}]
`
	d := newOperated(t, source(s, db)+"  filter: {tables: {a: [insert]}}\n", toNATS(broker.URL())+hooks)
	good := d.configuration()
	// What could be taken over is changed as well, and must not be by half.
	changed := strings.Replace(good, "tables: {a: [insert]}", "tables: {b: [insert]}", 1)
	d.start()
	d.awaitReady()
	insertInto(t, dsn, 1, "a", "b")
	const restart = "restart it for them"
	for _, c := range []struct {
		old, new string
		words    []string
	}{
		{"listener:", "listener: [", []string{"config.yml:", "not valid YAML"}},
		{"heartbeatInterval: 1s", "hartbeatInterval: 1s", []string{"config.yml:3: listener.hartbeatInterval: unknown key", `did you mean \"heartbeatInterval\"`}},
		{"slotName: ", "slotName: x", []string{"listener.slotName", restart}},
		{"heartbeatInterval: 1s", "heartbeatInterval: 2s", []string{"listener.heartbeatInterval", restart}},
		{"nats://", "nats://127.0.0.1:1,nats://", []string{"publisher.address", restart}},
		{"topic: cdc", "topic: elsewhere", []string{"publisher.topic", restart}},
		{"destination: hook", "destinations: [hook, spare]", []string{"notifier.destinations[1]", restart}},
		{"destination: hook", "destination: spare", []string{"notifier.destinations[1]", "notifier.rules", restart}},
		{"table: nothing,", "table: nothing, when: 'new.n <',", []string{"notifier.rules[0].when"}},
		{"address: '127.0.0.1", "pprof: true, address: '127.0.0.1", []string{"monitoring.pprof", restart}},
	} {
		if !strings.Contains(changed, c.old) {
			t.Fatalf("the configuration has no %q:\n%s", c.old, changed)
		}
		d.refuse(strings.Replace(changed, c.old, c.new, 1), c.words...)
	}
	insertInto(t, dsn, 2, "a", "b")
	d.reload(changed, reloadsApplied)
	insertInto(t, dsn, 3, "a", "b")
	awaitConfirmed(t, d, dsn, db)
	if got, want := subjects(t, broker.URL()), []string{"cdc.public_a", "cdc.public_a", "cdc.public_b"}; !slices.Equal(got, want) {
		t.Errorf("the stream has %q, want %q", got, want)
	}
}

func TestEnvironmentHoldsOverTheFileAtReloadsToo(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	db := s.TestDatabase(t)
	dsn := s.DSN(db)
	execute(t, dsn, "CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n int PRIMARY KEY)")
	t.Setenv("WAL_LISTENER_FILTER_TABLES", "{a: [insert]}")
	t.Setenv("WAL_PUBLISHER_TOPIC", "cdc")
	d := newOperated(t, source(s, db), toNATS(broker.URL())+"logger: {level: info}\n")
	d.start()
	d.awaitReady()
	// The topic could not be changed, and is not: the variable says what it is.
	d.reload(strings.NewReplacer(
		"topic: cdc", "topic: elsewhere, topicsMap: {public_a: letters}", "\nlistener:\n", "\nlistener:\n  filter: {tables: {b: [insert]}}\n",
	).Replace(d.configuration()), reloadsApplied)
	insertInto(t, dsn, 1, "a", "b")
	awaitConfirmed(t, d, dsn, db)
	if got, want := subjects(t, broker.URL()), []string{"cdc.letters"}; !slices.Equal(got, want) {
		t.Errorf("the stream has %q, want %q", got, want)
	}
}
