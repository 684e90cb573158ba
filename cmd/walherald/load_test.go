package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/internal/pgserver"
)

// schema: every row of items counts its versions, and the last statement of
// every transaction says in txs how many changes it made, itself included.
const schema = `
CREATE TABLE items (worker int, n bigint, version int NOT NULL, filler text NOT NULL, PRIMARY KEY (worker, n));
CREATE TABLE txs (worker int, number bigint, changes int NOT NULL, PRIMARY KEY (worker, number));`

const (
	workers = 4
	// restTime is the longest pause of a worker between two transactions.
	restTime = 12 * time.Millisecond
	// largeRows are inserted and then updated by a large transaction.
	largeRows = 5000
)

// load is several connections that make transactions, each with rows of its own.
type load struct {
	t       *testing.T
	dsn     string
	stop    context.CancelFunc
	running sync.WaitGroup
	workers []*worker
}

// worker is one connection of a load.
type worker struct {
	id      int
	dsn     string
	rng     *rand.Rand
	faults  bool // the server may go away
	large   atomic.Bool
	conn    *pgx.Conn
	version map[int64]int // of every row there ever was, at least as high as any it had
	live    []int64       // rows there are
	dead    []int64       // rows there were
	number  int64         // of the transaction
	acked   []int64       // numbers of transactions whose commit was confirmed
	err     error
}

// prepare creates a database with the tables and returns its name.
func prepare(t *testing.T, s *pgserver.Server) string {
	t.Helper()
	name := s.TestDatabase(t)
	execute(t, s.DSN(name), schema)
	return name
}

// execute executes SQL over a connection of its own.
func execute(t *testing.T, dsn, sql string) {
	t.Helper()
	ctx := bounded(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// startLoad starts the workers; with faults, they put up with a server that
// goes away.
func startLoad(t *testing.T, rng *rand.Rand, dsn string, faults bool) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, dsn: dsn, stop: stop}
	for id := range workers {
		w := &worker{
			id: id, dsn: dsn, faults: faults, version: make(map[int64]int),
			rng: rand.New(rand.NewPCG(rng.Uint64(), uint64(id))),
		}
		l.workers = append(l.workers, w)
		l.running.Go(func() { w.err = w.run(ctx) })
	}
	t.Cleanup(func() { stop(); l.running.Wait() })
	return l
}

// makeLarge makes the next transaction of a worker a large one.
func (l *load) makeLarge() { l.workers[0].large.Store(true) }

// finish ends the load. What was confirmed to it must be in the tables.
func (l *load) finish() {
	l.t.Helper()
	l.stop()
	l.running.Wait()
	_, txs := l.tables()
	for _, w := range l.workers {
		if w.err != nil {
			l.t.Fatalf("worker %d: %v", w.id, w.err)
		}
		if len(w.acked) == 0 {
			l.t.Errorf("worker %d has committed nothing", w.id)
		}
		for _, number := range w.acked {
			if txs[key{w.id, number}] == 0 {
				l.t.Errorf("transaction %d of worker %d was committed and is not in the table", number, w.id)
			}
		}
	}
}

// key is a row's key in either table.
type key struct {
	worker int
	n      int64
}

// tables returns the version of each item and the size of each transaction.
func (l *load) tables() (items, txs map[key]int) {
	l.t.Helper()
	ctx := bounded(l.t)
	conn, err := pgx.Connect(ctx, l.dsn)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	read := func(sql string) map[key]int {
		state := make(map[key]int)
		rows, _ := conn.Query(ctx, sql)
		var k key
		var value int
		if _, err := pgx.ForEachRow(rows, []any{&k.worker, &k.n, &value}, func() error { state[k] = value; return nil }); err != nil {
			l.t.Fatal(err)
		}
		return state
	}
	return read("SELECT worker, n, version FROM items"), read("SELECT worker, number, changes FROM txs")
}

// run makes transactions until ctx ends. The one it is in then is finished.
func (w *worker) run(ctx context.Context) error {
	defer func() {
		if w.conn != nil {
			_ = w.conn.Close(context.Background())
		}
	}()
	for ctx.Err() == nil {
		err := w.transaction(context.WithoutCancel(ctx))
		if err != nil && !w.faults {
			return err
		}
		if err != nil && w.conn != nil {
			_ = w.conn.Close(context.WithoutCancel(ctx))
			w.conn = nil
		}
		pause(ctx, w.rng, restTime)
	}
	return nil
}

// transaction makes one transaction. After an error its outcome is unknown; the
// tables tell at the next.
func (w *worker) transaction(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.connect(ctx); err != nil {
		return err
	}
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return err
	}
	w.number++
	changes, err := w.work(ctx, tx)
	if err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	if _, err := tx.Exec(ctx, "INSERT INTO txs VALUES ($1, $2, $3)", w.id, w.number, changes+1); err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	w.acked = append(w.acked, w.number)
	return nil
}

// connect connects, if need be, and learns from the table which rows there are.
func (w *worker) connect(ctx context.Context) (err error) {
	if w.conn != nil {
		return nil
	}
	if w.conn, err = pgx.Connect(ctx, w.dsn); err != nil {
		return err
	}
	w.live, w.dead = nil, nil
	here := make(map[int64]bool)
	rows, _ := w.conn.Query(ctx, "SELECT n, version FROM items WHERE worker = $1 ORDER BY n", w.id)
	var n int64
	var version int
	if _, err = pgx.ForEachRow(rows, []any{&n, &version}, func() error {
		w.live = append(w.live, n)
		w.version[n] = version
		here[n] = true
		return nil
	}); err != nil {
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(w.version)) {
		if !here[n] {
			w.dead = append(w.dead, n)
		}
	}
	return nil
}

// work is what a transaction does but for its entry in txs.
func (w *worker) work(ctx context.Context, tx pgx.Tx) (changes int, err error) {
	if w.large.CompareAndSwap(true, false) {
		rows := w.fresh(largeRows)
		return sum(w.insert(ctx, tx, rows), w.update(ctx, tx, rows))
	}
	for range 1 + w.rng.IntN(3) {
		limit := 4
		if w.rng.IntN(40) == 0 {
			limit = 200
		}
		n, err := w.statement(ctx, tx, 1+w.rng.IntN(limit))
		if changes += n; err != nil {
			return changes, err
		}
	}
	return changes, nil
}

// outcome is what a statement did.
type outcome struct {
	rows int
	err  error
}

func sum(outcomes ...outcome) (rows int, err error) {
	for _, o := range outcomes {
		rows, err = rows+o.rows, errors.Join(err, o.err)
	}
	return rows, err
}

// statement changes up to n rows.
func (w *worker) statement(ctx context.Context, tx pgx.Tx, n int) (int, error) {
	n = min(n, len(w.live))
	switch dice := w.rng.IntN(10); {
	case n == 0 || dice < 3:
		return sum(w.insert(ctx, tx, w.fresh(1+n)))
	case dice < 4 && len(w.dead) > 0:
		n = min(n, len(w.dead))
		again := w.dead[:n]
		w.dead = w.dead[n:]
		return sum(w.insert(ctx, tx, again))
	case dice < 8:
		at := w.rng.IntN(len(w.live) - n + 1)
		return sum(w.update(ctx, tx, w.live[at:at+n]))
	default:
		return sum(w.remove(ctx, tx, n))
	}
}

// fresh returns numbers of rows that never were.
func (w *worker) fresh(n int) []int64 {
	rows := make([]int64, n)
	for i := range rows {
		rows[i] = int64(len(w.version) + i)
	}
	return rows
}

func (w *worker) insert(ctx context.Context, tx pgx.Tx, rows []int64) outcome {
	versions := make([]int, len(rows))
	for i, n := range rows {
		w.version[n]++
		versions[i] = w.version[n]
	}
	w.live = append(w.live, rows...)
	return change(ctx, tx, len(rows), `INSERT INTO items SELECT $1, r.n, r.version, repeat('x', (r.n % 100)::int)
		FROM unnest($2::bigint[], $3::int[]) r (n, version)`, w.id, rows, versions)
}

func (w *worker) update(ctx context.Context, tx pgx.Tx, rows []int64) outcome {
	for _, n := range rows {
		w.version[n]++
	}
	return change(ctx, tx, len(rows), "UPDATE items SET version = version + 1 WHERE worker = $1 AND n = ANY($2)", w.id, rows)
}

// remove deletes n rows from a random place.
func (w *worker) remove(ctx context.Context, tx pgx.Tx, n int) outcome {
	at := w.rng.IntN(len(w.live) - n + 1)
	rows := slices.Clone(w.live[at : at+n])
	w.live = slices.Delete(w.live, at, at+n)
	w.dead = append(w.dead, rows...)
	return change(ctx, tx, n, "DELETE FROM items WHERE worker = $1 AND n = ANY($2)", w.id, rows)
}

// change executes a statement that must change want rows.
func change(ctx context.Context, tx pgx.Tx, want int, sql string, args ...any) outcome {
	tag, err := tx.Exec(ctx, sql, args...)
	if err == nil && int(tag.RowsAffected()) != want {
		err = fmt.Errorf("%s changed %d rows instead of %d", sql, tag.RowsAffected(), want)
	}
	return outcome{int(tag.RowsAffected()), err}
}
