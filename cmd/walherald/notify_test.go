package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/internal/pgserver"
	recv "github.com/walherald/walherald/internal/receiver"
)

const (
	notifyKills = 50
	// jobKeys is how many keys each of jobWorkers changes again and again.
	jobWorkers, jobKeys = 3, 40
	jobRest             = 30 * time.Millisecond
)

// jobs: each change of a row of jobs has a version of its own and stands in
// history as well, which no rule looks at.
const jobs = `
CREATE TABLE jobs (k int PRIMARY KEY, version int NOT NULL, wanted boolean NOT NULL);
CREATE TABLE history (k int, version int, wanted boolean NOT NULL, PRIMARY KEY (k, version));`

// notify is the configuration of a webhook for every change that is wanted. What
// is parked stays so.
func notify(url string) string {
	return fmt.Sprintf(`
notifier:
  parking: {schedule: [1h]}
  rules:
    - name: wanted
      table: jobs
      conditions: [{field: wanted, new_value: t}]
      destination: {name: hook, type: webhook, url: "%s/hook", allowPrivate: true, concurrency: 16,
        maxAttempts: 2, backoff: [5ms], circuit: {failures: 0}}
`, url)
}

// revision is one event: a version of a row.
type revision struct{ K, Version int }

// The fates of events at the receiver, which depend on nothing but the event.
type fate int

const (
	accepted fate = iota
	refusedOnce
	refusedAlways // 503
	rejected      // 400
)

func fateOf(c revision) fate {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, c.K, " ", c.Version)
	switch n := h.Sum32() % 20; n {
	case 0:
		return refusedAlways
	case 1:
		return rejected
	case 2, 3:
		return refusedOnce
	}
	return accepted
}

// arrivals are kept by a receiver that treats each event according to its fate.
type arrivals struct {
	mu      sync.Mutex
	ids     map[revision]string // the webhook-id of each event that came
	events  map[string]revision // the event of each webhook-id
	first   []revision          // events in the order in which they were first accepted
	got     map[revision]bool   // those
	refused map[revision]bool   // events that were refused at least once
	faults  []string
}

func newArrivals() *arrivals {
	return &arrivals{ids: make(map[revision]string), events: make(map[string]revision), got: make(map[revision]bool), refused: make(map[revision]bool)}
}

// answer enters a request and is the receiver's answer to it.
func (a *arrivals) answer(r *recv.Request) recv.Reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	var body struct{ Data revision }
	if err := json.Unmarshal(r.Body, &body); err != nil {
		a.faults = append(a.faults, fmt.Sprintf("body %s: %v", r.Body, err))
		return recv.Status(400)
	}
	c, id := body.Data, r.Header.Get("webhook-id")
	a.identify(c, id)
	fate := fateOf(c)
	once := fate == refusedOnce && !a.refused[c]
	a.refused[c] = a.refused[c] || fate != accepted
	switch {
	case once, fate == refusedAlways:
		return recv.Status(503)
	case fate == rejected:
		return recv.Status(400)
	}
	if !a.got[c] {
		a.got[c] = true
		a.first = append(a.first, c)
	}
	return nil
}

// identify holds an event to have one id, and an id to have one event.
func (a *arrivals) identify(c revision, id string) {
	if before, known := a.ids[c]; known && before != id {
		a.faults = append(a.faults, fmt.Sprintf("event %v has the ids %s and %s", c, before, id))
	}
	if before, known := a.events[id]; id == "" || known && before != c {
		a.faults = append(a.faults, fmt.Sprintf("id %q is of the events %v and %v", id, before, c))
	}
	a.ids[c], a.events[id] = id, c
}

// ordered holds the events of a key that were never refused to have come in order.
func (a *arrivals) ordered() {
	last := make(map[int]int)
	for _, c := range a.first {
		if a.refused[c] {
			continue
		}
		if c.Version < last[c.K] {
			a.faults = append(a.faults, fmt.Sprintf("version %d of key %d was accepted after version %d", c.Version, c.K, last[c.K]))
		}
		last[c.K] = c.Version
	}
}

// work makes transactions, each of several keys of this worker, until ctx ends.
func work(ctx context.Context, dsn string, worker int, rng *rand.Rand) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patience)
	defer cancel()
	conn, err := pgx.Connect(within, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(within) }()
	for ctx.Err() == nil {
		keys := make([]int, 1+rng.IntN(6))
		for i, n := range rng.Perm(jobKeys)[:len(keys)] {
			keys[i] = worker*jobKeys + n
		}
		if _, err := conn.Exec(within, `WITH made AS (
			INSERT INTO jobs AS j SELECT k, 1, true FROM unnest($1::int[]) k
			ON CONFLICT (k) DO UPDATE SET version = j.version + 1, wanted = random() < 0.8 RETURNING k, version, wanted)
			INSERT INTO history SELECT * FROM made`, keys); err != nil {
			return err
		}
		pause(ctx, rng, jobRest)
	}
	return nil
}

// startWork starts the workers; stop ends them and tells how it went.
func startWork(t *testing.T, rng *rand.Rand, dsn string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	errs := make([]error, jobWorkers)
	for i := range jobWorkers {
		own := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		running.Go(func() { errs[i] = work(ctx, dsn, i, own) })
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	return func() {
		t.Helper()
		cancel()
		running.Wait()
		for i, err := range errs {
			if err != nil {
				t.Fatalf("worker %d: %v", i, err)
			}
		}
	}
}

// read returns what a query of one column yields.
func read[T any](t *testing.T, dsn, sql string) []T {
	t.Helper()
	ctx := bounded(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, _ := conn.Query(ctx, sql)
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return all
}

// changes returns the events of a query of k and version.
func changes(t *testing.T, dsn, sql string) map[revision]bool {
	t.Helper()
	all := make(map[revision]bool)
	for _, pair := range read[[]int](t, dsn, sql) {
		all[revision{pair[0], pair[1]}] = true
	}
	return all
}

const parkedChanges = `SELECT ARRAY[(e->'data'->>'k')::int, (e->'data'->>'version')::int]
	FROM (SELECT convert_from(payload, 'UTF8')::jsonb e FROM walherald.parked) p`

func TestKillAnywhereLosesNoNotification(t *testing.T) {
	s, rng, a := pgserver.Shared(t), dice(t), newArrivals()
	hook := recv.New(t, recv.Options{Answer: a.answer, Forget: true})
	db := s.TestDatabase(t)
	dsn := s.DSN(db)
	execute(t, dsn, jobs)
	d := newDaemon(t, source(s, db), notify(hook.URL()))
	d.start()
	d.awaitReady() // the slot is there: from here on everything counts
	stop := startWork(t, rng, dsn)
	eventually(t, "the table of what is parked", func(context.Context) (bool, error) {
		return read[bool](t, dsn, "SELECT to_regclass('walherald.parked') IS NOT NULL")[0], nil
	})
	eventually(t, "something to be parked", func(context.Context) (bool, error) {
		return read[bool](t, dsn, "SELECT count(*) > 0 FROM walherald.parked")[0], nil
	})
	var before []string
	for round := range notifyKills {
		if round%5 > 0 { // else at its start
			hook.Await(t, hook.Count()+1)
		}
		pause(t.Context(), rng, 250*time.Millisecond)
		d.kill()
		parked := read[string](t, dsn, "SELECT id::text FROM walherald.parked ORDER BY id")
		if lost := without(before, parked); len(lost) > 0 {
			t.Fatalf("of what was parked at kill %d, %v is no longer there at the next one", round, lost)
		}
		before = parked
		d.start()
	}
	stop()
	awaitConfirmed(t, d, dsn, db)
	parked := read[string](t, dsn, "SELECT id::text FROM walherald.parked ORDER BY id")
	if lost := without(before, parked); len(lost) > 0 {
		t.Errorf("%v was parked and is no longer there", lost)
	}
	a.balance(t, dsn)
}

// without returns what is in the sorted list and not in the other one.
func without(list, other []string) (left []string) {
	for _, id := range list {
		if _, found := slices.BinarySearch(other, id); !found {
			left = append(left, id)
		}
	}
	return left
}

// balance compares what came and what is parked with what was committed.
func (a *arrivals) balance(t *testing.T, dsn string) {
	t.Helper()
	wanted := changes(t, dsn, "SELECT ARRAY[k, version] FROM history WHERE wanted")
	parked := changes(t, dsn, parkedChanges)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ordered()
	for c := range wanted {
		// What the receiver takes in the end was never given up: two attempts are enough.
		if f := fateOf(c); f == accepted || f == refusedOnce {
			if !a.got[c] || parked[c] {
				a.faults = append(a.faults, fmt.Sprintf("event %v: accepted %v, parked %v", c, a.got[c], parked[c]))
			}
		} else if a.got[c] || !parked[c] {
			a.faults = append(a.faults, fmt.Sprintf("event %v, which is always refused: accepted %v, parked %v", c, a.got[c], parked[c]))
		}
	}
	for c := range a.ids {
		if !wanted[c] {
			a.faults = append(a.faults, fmt.Sprintf("event %v came and nobody wanted it", c))
		}
	}
	for c := range parked {
		if id := a.ids[c]; !wanted[c] || id == "" {
			a.faults = append(a.faults, fmt.Sprintf("event %v is parked: wanted %v, tried as %q", c, wanted[c], id))
		}
	}
	for _, fault := range a.faults[:min(len(a.faults), 20)] {
		t.Error(fault)
	}
	if len(parked) == 0 || len(a.got) == 0 {
		t.Errorf("%d events accepted, %d parked: that is no test", len(a.got), len(parked))
	}
	t.Logf("%d events wanted, %d accepted, %d parked", len(wanted), len(a.got), len(parked))
}
