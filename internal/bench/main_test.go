package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/pgserver/child"
)

func TestMain(m *testing.M) {
	// The lines with the publisher alone start this program again.
	if len(os.Args) > 1 && os.Args[1] == ceilingRole {
		os.Exit(report(runCeilingRole(os.Args[2:])))
	}
	// The library of Pub/Sub starts it and nobody can stop it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// awaitLog polls until the process's log holds text.
func awaitLog(t *testing.T, p *process, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		log, err := os.ReadFile(p.logPath)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(log), text) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("log never held %q: %s", text, log)
		}
	}
}

// small is a bench with few rows, whose walherald is built without -trimpath,
// so that the build shares its parts with the tests.
func small(t *testing.T, only string) *bench {
	t.Helper()
	b := &bench{
		opts: options{
			rows: 2500, slow: 1500, big: 3000, runs: 2, tables: 300, tableRows: 2500, notify: accounts,
			latency: 200 * time.Millisecond, lone: 200 * time.Millisecond, encoding: 10 * time.Millisecond,
			only: regexp.MustCompile(only),
		},
		progress: io.Discard, brokers: make(map[string]*broker),
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	var err error
	if b.folder, err = child.NewFolder(folderPattern); err != nil {
		t.Fatal(err)
	}
	b.walherald = b.path("walherald")
	if out, err := exec.Command("go", "build", "-o", b.walherald, walheraldPackage).CombinedOutput(); err != nil {
		t.Fatalf("build walherald: %v\n%s", err, out)
	}
	for _, step := range []func(context.Context) error{b.startPostgres, b.readShape, b.startBrokers} {
		if err := step(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestEveryLineIsMeasured(t *testing.T) {
	b := small(t, "")
	r, err := b.measureAll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines() {
		f := r.line(l.name)
		if f == nil || f.Rate.Min <= 0 || f.CPU.Min <= 0 || f.Memory.Min <= 0 {
			t.Errorf("line %s: %+v", l.name, f)
		}
	}
	if len(r.Latencies) != len(pacedLines()) {
		t.Errorf("%d lines of latency, want %d", len(r.Latencies), len(pacedLines()))
	}
	for _, l := range r.Latencies {
		if want := pick(l.Name == latencyName, 200, 20); l.Planned != int(want) || l.Confirmed+l.Missed != l.Planned {
			t.Errorf("latency: %+v", l)
		}
	}
	if len(r.Notifications) != len(notifyingLines()) {
		t.Errorf("%d lines of notifications, want %d", len(r.Notifications), len(notifyingLines()))
	}
	for _, n := range r.Notifications {
		if n.Rate.Min <= 0 || n.Deliveries != accounts {
			t.Errorf("notifications: %+v", n)
		}
	}
	if len(r.Encodings) != len(encodings()) {
		t.Errorf("%d encodings, want %d", len(r.Encodings), len(encodings()))
	}
	for _, e := range r.Encodings {
		if e.Nanos.Min <= 0 {
			t.Errorf("encoding: %+v", e)
		}
	}
	checkEachTableHasItsRows(t, b)
	if body := r.BodyBytes; body < 316 {
		t.Errorf("mean body is %.0f bytes, want at least 316", body)
	}
	checkNothingIsLeft(t, b)
}

// checkEachTableHasItsRows counts them: 2,500 rows and the marker are 8 for
// each of 300 tables and a ninth for 101 of them.
func checkEachTableHasItsRows(t *testing.T, b *bench) {
	t.Helper()
	ctx := context.Background()
	published, err := b.src.text(ctx, "SELECT count(*)::text FROM pg_publication_tables WHERE pubname = '"+turnsPublication+"'")
	if err != nil || published != "300" {
		t.Errorf("%s tables are published, %v, want 300", published, err)
	}
	counts := make(map[string]int)
	for i := range b.opts.tables {
		rows, err := b.src.text(ctx, fmt.Sprintf("SELECT count(*)::text FROM turns.events_%d", i))
		if err != nil {
			t.Fatal(err)
		}
		counts[rows]++
	}
	if want := map[string]int{"8": 199, "9": 101}; !maps.Equal(counts, want) {
		t.Errorf("tables by number of rows are %v, want %v", counts, want)
	}
}

// checkNothingIsLeft looks for slots of runs that are over. What they wrote is
// gone as well: each destination made again for the same topic is empty.
func checkNothingIsLeft(t *testing.T, b *bench) {
	t.Helper()
	slots, err := b.src.text(t.Context(), "SELECT count(*)::text FROM pg_replication_slots")
	if err != nil || slots != "0" {
		t.Errorf("%s slots are left, %v", slots, err)
	}
	for _, l := range lines() {
		if l.client == "" {
			continue
		}
		c := ceilingOf(b, l, l.slot(0))
		if err := publishHere(t, b, l, c); err != nil {
			t.Errorf("line %s again: %v", l.name, err)
			continue
		}
		if err := b.destinations(l.to).finish(t.Context(), c.topic, c.count); err != nil {
			t.Errorf("line %s again: %v", l.name, err)
		}
	}
}

// ceilingOf is what the line's client is told, to publish three messages.
func ceilingOf(b *bench, l line, topic string) *ceiling {
	return &ceiling{
		client: l.client, address: b.brokers[l.to[0].broker].address, topic: topic, subject: b.shape.subject,
		writer: b.shape.writer, body: 10, count: 3,
	}
}

// publishHere runs a client in this process.
func publishHere(t *testing.T, b *bench, l line, c *ceiling) error {
	t.Helper()
	if err := b.destinations(l.to).create(t.Context(), c.topic); err != nil {
		return err
	}
	return clients[c.client](t.Context(), c)
}

func TestRunThatLostOrRepeatedSomethingIsAnError(t *testing.T) {
	b := small(t, "^(ceiling.*)$")
	for _, l := range b.selected(usualPhase) {
		checkCounts(t, b, l)
	}
	for _, l := range b.selected(slowPhase) {
		checkCounts(t, b, l)
	}
}

// finishSoon finishes without much patience for messages that are to be seen yet.
func finishSoon(t *testing.T, to destinations, topic string, messages int) error {
	t.Helper()
	before := settleTimeout
	defer func() { settleTimeout = before }()
	settleTimeout = 300 * time.Millisecond
	return to.finish(t.Context(), topic, messages)
}

// checkCounts publishes three messages, of which the destination must know that
// they are neither two nor four.
func checkCounts(t *testing.T, b *bench, l line) {
	t.Helper()
	to := b.destinations(l.to)
	for _, want := range []int{2, 4} {
		c := ceilingOf(b, l, fmt.Sprintf("%s_%d", l.slot(0), want))
		if err := publishHere(t, b, l, c); err != nil {
			t.Errorf("line %s: %v", l.name, err)
			continue
		}
		if err := finishSoon(t, to, c.topic, want); err == nil || !strings.Contains(err.Error(), "holds 3 messages") {
			t.Errorf("line %s: 3 messages instead of %d give %v", l.name, want, err)
		}
	}
}

func TestStreamOfTheWrongKindIsAnError(t *testing.T) {
	b := small(t, "^"+ceilingMsgIDName+"$")
	plain := b.destination(toStream)
	if err := plain.create(t.Context(), "plain"); err != nil {
		t.Fatal(err)
	}
	if err := b.destination(toFastStream).finish(t.Context(), "plain", 0); err == nil {
		t.Error("a stream without fast ingest passes as one with it")
	}
	if err := plain.finish(t.Context(), "plain", 0); err != nil {
		t.Error(err)
	}
}

func TestFlagsThatCannotBeMeantAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-rows", "0"},
		{"-runs", "0"},
		{"-big", "-1"},
		{"-latency", "-1s"},
		{"-lone", "-1s"},
		{"-broker-rows", "-1"},
		{"-only", "("},
		{"-tables", "-1"},
		{"-tablerows", "4999"},
		{"-tables", "0", "-tablerows", "0"},
		{"-encoding", "-1s"},
		{"more"},
		{"-nonesuch"},
	} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}

func TestCommandLineCanBePastedIntoAShell(t *testing.T) {
	args := []string{"-only", "^(a|b)$", "it's", "", "-rows=5"}
	line := commandLine(args)
	out, err := exec.Command("/bin/sh", "-c", strings.Replace(line, "go run ./internal/bench", `printf '%s\n'`, 1)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(args, "\n") + "\n"; string(out) != want {
		t.Errorf("a shell reads %q, want %q", out, want)
	}
}
