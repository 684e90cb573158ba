package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/metrics"
)

// awaitAlive waits until /healthz says that the process works, whatever it has
// to do without.
func (d *daemon) awaitAlive() {
	d.t.Helper()
	eventually(d.t, "/healthz to answer", func(ctx context.Context) (bool, error) {
		status, body, err := d.get(ctx, "/healthz")
		if err == nil && status != http.StatusOK {
			d.t.Errorf("/healthz answers %d %s", status, body)
		}
		return err == nil, err
	})
}

// messages returns how many messages the stream holds.
func messages(t *testing.T, url string) int {
	t.Helper()
	return int(openStream(t, url).CachedInfo().State.Msgs)
}

// value returns the one value of a query.
func value[T any](t *testing.T, dsn, sql string, args ...any) (v T) {
	t.Helper()
	ctx := bounded(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// component returns what /ready says of one component now.
func (d *daemon) component(name string) metrics.ComponentReport {
	d.t.Helper()
	report, err := d.report(bounded(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range report.Components {
		if c.Name == name {
			return c
		}
	}
	d.t.Fatalf("/ready does not tell of %s: %+v", name, report)
	return metrics.ComponentReport{}
}

// Failure 22 of docs/failures.md.
func TestReadySaysWhatBlocksSinceWhenAndAtWhichLSN(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	db := prepare(t, s)
	d := newDaemon(t, source(s, db), toNATS(broker.URL()))
	d.start()
	d.awaitReady()
	execute(t, s.DSN(db), "INSERT INTO items VALUES (1, 1, 1, '')")
	awaitConfirmed(t, d, s.DSN(db), db)

	before := time.Now()
	if err := broker.Kill(); err != nil {
		t.Fatal(err)
	}
	start := value[string](t, s.DSN(db), "SELECT pg_current_wal_lsn()::text")
	execute(t, s.DSN(db), "INSERT INTO items VALUES (1, 2, 1, ''), (1, 3, 1, '')")
	end := value[string](t, s.DSN(db), "SELECT pg_current_wal_lsn()::text")
	var blocked metrics.ComponentReport
	eventually(t, "the output to wait at an LSN", func(context.Context) (bool, error) {
		blocked = d.awaitBlocked("nats", "NATS")
		return blocked.LSN != "", nil
	})
	if !value[bool](t, s.DSN(db), "SELECT $1::pg_lsn >= $2::pg_lsn AND $1::pg_lsn <= $3::pg_lsn", blocked.LSN, start, end) {
		t.Errorf("blocked at %s, the insert is between %s and %s", blocked.LSN, start, end)
	}
	if blocked.Since.Before(before) || blocked.Since.After(time.Now()) || blocked.Seconds < 0 {
		t.Errorf("blocked since %s for %f seconds, the broker was killed at %s", blocked.Since, blocked.Seconds, before)
	}
	failures := d.metric(`walherald_deliver_failures_total{app="walherald",output="nats"}`)
	eventually(t, "more attempts", func(context.Context) (bool, error) {
		return d.metric(`walherald_deliver_failures_total{app="walherald",output="nats"}`) > failures, nil
	})
	if again := d.component("nats"); !again.Since.Equal(blocked.Since) || again.LSN != blocked.LSN || again.Seconds < blocked.Seconds {
		t.Errorf("another attempt changed %+v to %+v", blocked, again)
	}
	if source := d.component("postgres"); !source.Ready {
		t.Errorf("PostgreSQL is said to be blocked as well: %+v", source)
	}
	d.awaitAlive()

	if err := broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.awaitReady()
	if c := d.component("nats"); c.Reason != "" || c.LSN != "" || !c.Since.After(blocked.Since) {
		t.Errorf("after the outage /ready says %+v", c)
	}
	awaitConfirmed(t, d, s.DSN(db), db)
	if n := messages(t, broker.URL()); n != 3 {
		t.Errorf("the stream holds %d messages, want 3", n)
	}
}

// scrape returns what /metrics says: series to values.
func (d *daemon) scrape() map[string]float64 {
	d.t.Helper()
	status, body, err := d.get(bounded(d.t), "/metrics")
	if err != nil || status != http.StatusOK {
		d.t.Fatalf("/metrics answers %d, %v", status, err)
	}
	series := make(map[string]float64)
	for line := range strings.Lines(string(body)) {
		at := strings.LastIndexByte(line, ' ')
		if line[0] == '#' || at < 0 {
			continue
		}
		if series[line[:at]], err = strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err != nil {
			d.t.Errorf("/metrics has the line %q: %v", line, err)
		}
	}
	return series
}

// metric returns one value of /metrics; the series must exist.
func (d *daemon) metric(series string) float64 {
	d.t.Helper()
	v, ok := d.scrape()[series]
	if !ok {
		d.t.Fatalf("/metrics has no %s", series)
	}
	return v
}

func TestMetricsCountWhatWasDone(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	db := prepare(t, s)
	d := newDaemon(t, source(s, db)+"  exclude: {tables: [noise]}\n", toNATS(broker.URL()))
	d.start()
	d.awaitReady()
	for _, series := range []string{
		`walherald_transactions_total{app="walherald"}`, `walherald_reconnects_total{app="walherald"}`,
		`problematic_events_total{app="walherald",kind="publish"}`, `walherald_deliver_failures_total{app="walherald",output="nats"}`,
	} {
		if v := d.metric(series); v != 0 {
			t.Errorf("%s starts at %v", series, v)
		}
	}
	for _, sql := range []string{
		"CREATE TABLE noise (id int PRIMARY KEY)",
		"INSERT INTO items SELECT 1, n, 1, '' FROM generate_series(1, 700) n",
		"UPDATE items SET version = 2 WHERE n <= 50",
		"DELETE FROM items WHERE n <= 7",
		"INSERT INTO txs VALUES (1, 1, 1)",
		"INSERT INTO noise SELECT generate_series(1, 31)",
	} {
		execute(t, s.DSN(db), sql)
	}
	awaitConfirmed(t, d, s.DSN(db), db)
	series := d.scrape()
	for name, want := range map[string]float64{
		`published_events_total{app="walherald",subject="cdc.public_items",table="public.items"}`: 757,
		`published_events_total{app="walherald",subject="cdc.public_txs",table="public.txs"}`:     1,
		`filter_skipped_events_total{app="walherald",table="public.noise"}`:                       31,
		`walherald_batch_messages_sum{app="walherald",output="nats"}`:                             758,
		`walherald_deliver_failures_total{app="walherald",output="nats"}`:                         0,
		`walherald_reconnects_total{app="walherald"}`:                                             0,
		`walherald_output_mode{app="walherald",mode="fast-ingest",output="nats"}`:                 1,
		`walherald_build_info{app="walherald",version="devel"}`:                                   1,
		`walherald_window_limit_bytes{app="walherald"}`:                                           16 << 20,
	} {
		if got, ok := series[name]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, want)
		}
	}
	if got := series[`walherald_transactions_total{app="walherald"}`]; got < 5 || got > 6 { // whether one that changed no rows is sent depends on the server's version
		t.Errorf("%v transactions were counted, want the 5 with rows and at most that of CREATE TABLE", got)
	}
	batches := series[`walherald_batch_messages_count{app="walherald",output="nats"}`]
	if batches < 1 || batches > 758 || series[`walherald_commit_to_confirm_seconds_count{app="walherald",output="nats"}`] != batches {
		t.Errorf("%v batches were delivered, and the time from commit to confirmation was measured %v times", batches,
			series[`walherald_commit_to_confirm_seconds_count{app="walherald",output="nats"}`])
	}
	d.comparePositions(s, db)
}

// comparePositions waits until /metrics shows the slot's position, which must
// then be where the server's log ended.
func (d *daemon) comparePositions(s *pgserver.Server, slot string) {
	d.t.Helper()
	const position = "SELECT (confirmed_flush_lsn - '0/0')::float8 FROM pg_replication_slots WHERE slot_name = $1"
	eventually(d.t, "the metrics to show the slot's position", func(context.Context) (bool, error) {
		before := value[float64](d.t, s.DSN("postgres"), position, slot)
		got := d.metric(`walherald_confirmed_lsn_bytes{app="walherald"}`)
		after := value[float64](d.t, s.DSN("postgres"), position, slot)
		if got > 0 && before <= got && got <= after {
			return true, nil
		}
		return false, fmt.Errorf("the slot is at %f, then %f, the metric says %f", before, after, got)
	})
	series := d.scrape()
	confirmed, received := series[`walherald_confirmed_lsn_bytes{app="walherald"}`], series[`walherald_received_lsn_bytes{app="walherald"}`]
	server := series[`walherald_server_lsn_bytes{app="walherald"}`]
	if received <= 0 || confirmed < received || server < received {
		d.t.Errorf("received %f, confirmed %f, server's end %f", received, confirmed, server)
	}
}

func TestLogIsJSONOrTextAsConfigured(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	for _, form := range []string{"json", "text"} {
		db := prepare(t, s)
		d := newDaemon(t, source(s, db), toNATS(broker.URL())+"logger: {level: debug, fmt: "+form+"}\n")
		d.start()
		d.awaitReady()
		execute(t, s.DSN(db), "INSERT INTO items VALUES (1, 1, 1, 'not for the log')")
		awaitConfirmed(t, d, s.DSN(db), db)
		if err := d.proc.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := d.exit(); code != exitOK {
			t.Errorf("exit code %d", code)
		}
		printed := d.log()
		for line := range strings.Lines(printed) {
			if form == "text" {
				if !strings.HasPrefix(line, "time=") || !containsAll(line, " level=", " msg=") {
					t.Errorf("line %q is not text", line)
				}
				continue
			}
			var record struct {
				Time       time.Time
				Level, Msg string
			}
			if err := json.Unmarshal([]byte(line), &record); err != nil || record.Time.IsZero() || record.Level == "" || record.Msg == "" {
				t.Errorf("line %q is not a record in JSON: %v", line, err)
			}
		}
		if !strings.Contains(printed, "walherald stopped") || strings.Contains(printed, "not for the log") {
			t.Errorf("the log is:\n%s", printed)
		}
	}
}
