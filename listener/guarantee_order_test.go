package listener

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// guaranteeWorker changes rows of its own, in transactions that it commits or
// rolls back, and keeps a ledger of what it committed.
type guaranteeWorker struct {
	id      int
	conn    *pgx.Conn
	random  *rand.Rand
	version int         // of the last change, rolled back or not
	rows    map[int]int // version of each row that is there
	ledger  []string    // as guaranteeLines would show it
	dropped int         // changes that were rolled back
}

// row is the worker's row in an event.
func (w *guaranteeWorker) row(id, version int) string {
	return fmt.Sprintf("map[id:%d note:%s version:%d worker:%d]", id, w.note(version), version, w.id)
}

func (w *guaranteeWorker) note(version int) string { return strings.Repeat("é\"\\", version%4) }

// work makes n transactions.
func (w *guaranteeWorker) work(ctx context.Context, n int) error {
	for range n {
		tx, err := w.conn.Begin(ctx)
		if err != nil {
			return err
		}
		rows, lines, err := w.change(ctx, tx)
		if err != nil {
			return err
		}
		if w.random.IntN(4) == 0 {
			w.dropped += len(lines)
			err = tx.Rollback(ctx)
		} else {
			w.rows, w.ledger = rows, append(w.ledger, lines...)
			err = tx.Commit(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// change makes up to six changes, one of them possibly undone by a savepoint.
// It returns the rows and the ledger's lines that hold if it is committed.
func (w *guaranteeWorker) change(ctx context.Context, tx pgx.Tx) (rows map[int]int, lines []string, err error) {
	rows = make(map[int]int, len(w.rows))
	for id, version := range w.rows {
		rows[id] = version
	}
	for range 1 + w.random.IntN(6) {
		w.version++
		id := w.id*1000 + w.random.IntN(20)
		switch old, there := rows[id]; {
		case !there:
			_, err = tx.Exec(ctx, "INSERT INTO ledger VALUES ($1, $2, $3, $4)", id, w.id, w.version, w.note(w.version))
			lines = append(lines, fmt.Sprintf("INSERT public.ledger %s map[]", w.row(id, w.version)))
			rows[id] = w.version
		case w.random.IntN(3) == 0:
			_, err = tx.Exec(ctx, "DELETE FROM ledger WHERE id = $1", id)
			lines = append(lines, fmt.Sprintf("DELETE public.ledger map[] %s", w.row(id, old)))
			delete(rows, id)
		case w.random.IntN(4) == 0:
			_, err = tx.Exec(ctx, "SAVEPOINT s; UPDATE ledger SET version = -1 WHERE id = "+fmt.Sprint(id)+"; ROLLBACK TO s")
			w.dropped++
		default:
			_, err = tx.Exec(ctx, "UPDATE ledger SET version = $2, note = $3 WHERE id = $1", id, w.version, w.note(w.version))
			lines = append(lines, fmt.Sprintf("UPDATE public.ledger %s %s", w.row(id, w.version), w.row(id, old)))
			rows[id] = w.version
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if w.random.IntN(5) == 0 {
		_, err = tx.Exec(ctx, fmt.Sprintf("TRUNCATE scratch_%d", w.id))
		lines = append(lines, fmt.Sprintf("TRUNCATE public.scratch_%d map[] map[]", w.id))
	}
	return rows, lines, err
}

// Failure 16 of docs/failures.md.
func TestEveryCommittedChangeArrivesInOrderAndNoOther(t *testing.T) {
	const workers, transactions = 4, 60
	s := pgShared(t)
	s.exec("CREATE TABLE ledger (id int PRIMARY KEY, worker int, version int, note text)", "ALTER TABLE ledger REPLICA IDENTITY FULL")
	team := make([]*guaranteeWorker, workers)
	for i := range team {
		s.exec(fmt.Sprintf("CREATE TABLE scratch_%d (id int PRIMARY KEY)", i))
		team[i] = &guaranteeWorker{id: i, conn: s.connect(), random: rand.New(rand.NewPCG(1, uint64(i)))}
	}
	sink := newGuaranteeSink()
	r := s.stream(sink)

	var working sync.WaitGroup
	for _, w := range team {
		working.Go(func() {
			if err := w.work(s.ctx, transactions); err != nil {
				t.Errorf("worker %d: %v", w.id, err)
			}
		})
	}
	working.Wait()
	total, dropped := 0, 0
	for _, w := range team {
		total += len(w.ledger)
		dropped += w.dropped
	}
	if dropped == 0 {
		t.Fatal("nothing was rolled back")
	}
	messages := sink.awaitAccepted(s.ctx, t, total)
	s.awaitConfirmed(r.queued())

	guaranteeOrdered(t, messages)
	got := make([][]string, workers)
	for _, m := range messages {
		e := guaranteeParse(t, m)
		got[guaranteeOwner(t, e)] = append(got[guaranteeOwner(t, e)], e.String())
	}
	for i, w := range team {
		guaranteeSame(t, got[i], w.ledger)
	}
}

// guaranteeOwner returns the number of the worker an event came from.
func guaranteeOwner(t testing.TB, e guaranteeEvent) (worker int) {
	t.Helper()
	owner := e.Data["worker"]
	if owner == nil {
		owner = e.DataOld["worker"]
	}
	text := fmt.Sprint(owner)
	if owner == nil {
		text = strings.TrimPrefix(e.Table, "scratch_")
	}
	if _, err := fmt.Sscan(text, &worker); err != nil {
		t.Fatalf("event of nobody: %s", e)
	}
	return worker
}

// Failure 27 of docs/failures.md.
func TestSessionSettingsDoNotReachTheEvents(t *testing.T) {
	s := pgShared(t)
	name := quoteIdent(s.db.Name)
	for _, setting := range []string{
		"DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Kolkata'", "IntervalStyle = 'iso_8601'", "bytea_output = 'escape'",
		"extra_float_digits = -5", "client_encoding = 'LATIN1'", "statement_timeout = '500ms'", "default_transaction_isolation = 'serializable'",
	} {
		s.exec("ALTER DATABASE " + name + " SET " + setting)
	}
	s.conn = s.connect()
	if style := s.value("current_setting('DateStyle')"); style != "SQL, DMY" {
		t.Fatalf("the settings do not hold: DateStyle is %s", style)
	}
	s.exec("SET statement_timeout = 0", "CREATE TABLE odd (id int PRIMARY KEY, d date, ts timestamp, tz timestamptz, i interval, b bytea, f4 real, f8 float8, t text)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	insert := func(id int) {
		s.exec(fmt.Sprintf(`INSERT INTO odd VALUES (%d, '2024-02-03', '2024-02-03 04:05:06', '2024-02-03 04:05:06+02',
			'1 mon 2 days 03:04:05', '\x00ff27', 0.1, 0.1::float8 + 0.2::float8, U&'\20ac')`, id))
	}
	insert(1)
	sink.awaitAccepted(s.ctx, t, 1)
	// The server must not end a stream that lasts longer than statements may.
	s.awaitReports(2)
	insert(2)
	messages := sink.awaitAccepted(s.ctx, t, 2)
	r.stop()
	for i, m := range messages {
		e := guaranteeParse(t, m)
		want := fmt.Sprintf(`INSERT public.odd map[b:\x00ff27 d:2024-02-03 f4:0.1 f8:0.30000000000000004 i:1 mon 2 days 03:04:05 id:%d `+
			"t:€ ts:2024-02-03T04:05:06Z tz:2024-02-03T02:05:06Z] map[]", i+1)
		guaranteeSame(t, []string{e.String()}, []string{want})
	}
}

// Failure 25 of docs/failures.md.
func TestNamesArriveAsTheDatabaseSpellsThem(t *testing.T) {
	s := pgShared(t)
	s.exec(`CREATE SCHEMA "Ünter.schema"`)
	var want []string
	tables := []struct{ schema, table string }{
		{"public", "plain"},
		{"Ünter.schema", "plain"}, // the same name in another schema
		{"public", "Mixed Case"},
		{"public", "dotted.name"},
		{"public", `quo"ted\`},
		{"Ünter.schema", "таблица€"},
	}
	for _, name := range tables {
		s.exec(fmt.Sprintf(`CREATE TABLE %s.%s ("Id" int PRIMARY KEY, "dotted.col""umn" text, "größe" int)`, quoteIdent(name.schema), quoteIdent(name.table)))
	}
	sink := newGuaranteeSink()
	s.stream(sink)
	for i, name := range tables {
		s.exec(fmt.Sprintf("INSERT INTO %s.%s VALUES (%d, 'x', 7)", quoteIdent(name.schema), quoteIdent(name.table), i))
		want = append(want, fmt.Sprintf(`INSERT %s.%s map[Id:%d dotted.col"umn:x größe:7] map[]`, name.schema, name.table, i))
	}
	messages := sink.awaitAccepted(s.ctx, t, len(tables))
	guaranteeSame(t, guaranteeLines(t, messages), want)
	topics := make(map[string]bool)
	for _, m := range messages {
		topics[m.Topic] = true
	}
	if len(topics) != len(tables) {
		t.Errorf("%d topics for %d tables: %v", len(topics), len(tables), topics)
	}
}

// Failure 25 of docs/failures.md.
func TestTablesMayChangeInMidStream(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY, a int)")
	sink := newGuaranteeSink()
	s.stream(sink)
	steps := []struct{ sql, want string }{
		{"INSERT INTO t VALUES (1, 1)", "INSERT public.t map[a:1 id:1] map[]"},
		{"ALTER TABLE t ADD b text DEFAULT 'new'; INSERT INTO t VALUES (2, 2)", "INSERT public.t map[a:2 b:new id:2] map[]"},
		{"ALTER TABLE t DROP a; INSERT INTO t VALUES (3, 'x')", "INSERT public.t map[b:x id:3] map[]"},
		{"ALTER TABLE t RENAME b TO c; UPDATE t SET c = 'y' WHERE id = 3", "UPDATE public.t map[c:y id:3] map[]"},
		{"ALTER TABLE t ALTER c DROP DEFAULT, ALTER c TYPE jsonb USING to_jsonb(c); INSERT INTO t VALUES (4, '{\"k\": 1}')", "INSERT public.t map[c:map[k:1] id:4] map[]"},
		{"ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (5, 'null')", "INSERT public.u map[c:<nil> id:5] map[]"},
		{"ALTER TABLE u REPLICA IDENTITY FULL; DELETE FROM u WHERE id = 2", "DELETE public.u map[] map[c:new id:2]"},
		{"DROP TABLE u; CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (6)", "INSERT public.u map[id:6] map[]"},
	}
	var want []string
	for _, step := range steps {
		s.exec(step.sql) // in one transaction
		want = append(want, step.want)
	}
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, len(want))), want)
}
