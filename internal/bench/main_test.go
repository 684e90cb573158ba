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
	goleak.VerifyTestMain(m)
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
			rows: 2500, big: 3000, runs: 2, tables: 300, tableRows: 2500, latency: 200 * time.Millisecond, encoding: 10 * time.Millisecond,
			only: regexp.MustCompile(only),
		},
		progress: io.Discard,
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
	for _, step := range []func(context.Context) error{b.startPostgres, b.startNATS, b.readShape} {
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
	if l := r.Latency; l == nil || l.Planned != 200 || l.Confirmed+l.Missed != l.Planned {
		t.Errorf("latency: %+v", r.Latency)
	}
	if e := r.Encoding; e == nil || e.Nanos.Min <= 0 {
		t.Errorf("encoding: %+v", e)
	}
	checkEachTableHasItsRows(t, b)
	if body := r.BodyBytes; body < 316 {
		t.Errorf("mean body is %.0f bytes, want at least 316", body)
	}
	checkNothingIsLeft(t, b)
	checkMissingMessagesAreNoticed(t, b)
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

// checkNothingIsLeft looks for slots and streams of runs that are over.
func checkNothingIsLeft(t *testing.T, b *bench) {
	t.Helper()
	slots, err := b.src.text(context.Background(), "SELECT count(*)::text FROM pg_replication_slots")
	if err != nil || slots != "0" {
		t.Errorf("%s slots are left, %v", slots, err)
	}
	account, err := b.streams.js.AccountInfo(context.Background())
	if err != nil || account.Streams != 0 {
		t.Errorf("streams are left: %+v, %v", account, err)
	}
}

// checkMissingMessagesAreNoticed makes a stream that lacks what it should hold.
func checkMissingMessagesAreNoticed(t *testing.T, b *bench) {
	t.Helper()
	ctx := context.Background()
	if err := b.streams.create(ctx, "short"); err != nil {
		t.Fatal(err)
	}
	if err := b.streams.finish(ctx, "short", false, 1); err == nil {
		t.Error("a stream without its message passes")
	}
	if err := b.streams.finish(ctx, "short", true, 0); err == nil {
		t.Error("a stream without fast ingest passes as one with it")
	}
	if err := b.streams.finish(ctx, "short", false, 0); err != nil {
		t.Error(err)
	}
}

func TestFlagsThatCannotBeMeantAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-rows", "0"},
		{"-runs", "0"},
		{"-big", "-1"},
		{"-latency", "-1s"},
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
