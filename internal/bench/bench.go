package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	// walheraldPackage is the program that is measured.
	walheraldPackage = "github.com/walherald/walherald/cmd/walherald"
	// folderPattern is where the program, configurations and logs are put.
	folderPattern = "/tmp/walherald-bench-*"
	// runTimeout bounds one run of one line: past it something hangs.
	runTimeout = 15 * time.Minute
)

// bench is the servers and programs that all lines share.
type bench struct {
	opts     options
	progress io.Writer

	folder    *child.Folder
	pg        *pgserver.Server
	src       *source
	brokers   map[string]*broker // those that run, by name
	walherald string             // path of the binary
	recv      string             // path of pg_recvlogical
	shape     shape              // of the messages
}

// start starts the servers and builds walherald.
func start(ctx context.Context, opts options, progress io.Writer) (*bench, error) {
	b := &bench{opts: opts, progress: progress, brokers: make(map[string]*broker)}
	for _, step := range []func(context.Context) error{b.build, b.startPostgres, b.readShape, b.startBrokers} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return b, nil
}

// close stops and removes everything, the last first.
func (b *bench) close() error {
	errs := []error{b.closeBrokers()}
	if b.src != nil {
		b.src.close()
	}
	if b.pg != nil {
		errs = append(errs, b.pg.Close())
	}
	if b.folder != nil {
		errs = append(errs, b.folder.Remove())
	}
	return errors.Join(errs...)
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

// path returns the path of a file in the folder.
func (b *bench) path(name string) string { return filepath.Join(b.folder.Path, name) }

func (b *bench) build(ctx context.Context) (err error) {
	b.say("building walherald …")
	if b.folder, err = child.NewFolder(folderPattern); err != nil {
		return err
	}
	b.walherald = b.path("walherald")
	out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.walherald, walheraldPackage).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build walherald: %w\n%s", err, out)
	}
	return nil
}

func (b *bench) startPostgres(ctx context.Context) (err error) {
	b.say("starting PostgreSQL …")
	slots := strconv.Itoa(b.opts.runs*len(lines()) + 10)
	b.pg, err = pgserver.Start(ctx, pgserver.Options{Settings: map[string]string{
		"autovacuum":            "off",
		"max_replication_slots": slots,
		"max_wal_senders":       slots,
		// Checkpoints come after loading, not while a line runs.
		"max_wal_size":       "64GB",
		"checkpoint_timeout": "1d",
	}})
	if err != nil {
		return err
	}
	if b.recv, err = b.pg.Bin("pg_recvlogical"); err != nil {
		return err
	}
	b.src, err = openSource(ctx, b.pg.DSN(database))
	return err
}

// measureAll runs every line that was asked for. The many tables come last of
// what needs the database: nothing else is measured in their presence.
func (b *bench) measureAll(ctx context.Context) (*results, error) {
	r := &results{
		Date: time.Now(), Rows: b.opts.rows, Slow: b.opts.slow, Big: b.opts.big, Runs: b.opts.runs, BodyBytes: b.shape.meanBody,
		Tables: b.opts.tables, TableRows: b.opts.tableRows,
	}
	var err error
	if r.Machine, err = b.describeMachine(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context, *results) error{
		b.measurePhase(usualPhase), b.measurePhase(slowPhase), b.measurePhase(bigPhase), b.measureLatency, b.measureNotifications, b.measureTurns, b.measureEncoding,
	} {
		if err := step(ctx, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// measurePhase returns what runs the lines of a phase.
func (b *bench) measurePhase(p phase) func(context.Context, *results) error {
	return func(ctx context.Context, r *results) error {
		if b.rows(p) == 0 {
			return nil
		}
		if err := b.warmUp(ctx, p); err != nil {
			return err
		}
		runs := b.opts.runs
		if p == bigPhase {
			runs = 1
		}
		more, err := b.measure(ctx, b.selected(p), runs, func(ctx context.Context) (load, error) { return b.loadFor(ctx, p) })
		r.Lines = append(r.Lines, more...)
		return err
	}
}

// loadFor writes what the lines of a phase read.
func (b *bench) loadFor(ctx context.Context, p phase) (load, error) {
	switch p {
	case bigPhase:
		b.say("loading %s rows in one transaction …", thousands(float64(b.opts.big)))
		return b.src.load(ctx, b.opts.big, b.opts.big)
	case turnsPhase:
		b.say("loading %s rows, each to the next table …", thousands(float64(b.opts.tableRows)))
		return b.src.loadTurns(ctx, b.opts.tables, b.opts.tableRows)
	}
	b.say("loading %s rows in transactions of %s …", thousands(float64(b.rows(p))), thousands(rowsPerTransaction))
	return b.src.load(ctx, b.rows(p), rowsPerTransaction)
}

// measure runs each line runs times over what write writes, interleaved.
func (b *bench) measure(ctx context.Context, lines []line, runs int, write func(context.Context) (load, error)) ([]figures, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	for run := range runs {
		for _, l := range lines {
			if err := b.src.createSlot(ctx, l.slot(run)); err != nil {
				return nil, err
			}
		}
	}
	loaded, err := write(ctx)
	if err != nil {
		return nil, err
	}
	samples := make([][]sample, len(lines))
	for run := range runs {
		for i, l := range lines {
			s, err := b.runOnce(ctx, l, l.slot(run), loaded)
			if err != nil {
				return nil, fmt.Errorf("%s, run %d: %w", l.name, run+1, err)
			}
			b.say("%-24s run %d of %d: %s events/s, %.2f CPU-s per million, %.0f MB", l.name, run+1, runs,
				thousands(s.rate()), s.cpuPerMillion(), s.megabytes())
			samples[i] = append(samples[i], s)
		}
	}
	all := make([]figures, len(lines))
	for i, l := range lines {
		all[i] = summarise(l.name, l.title, samples[i])
	}
	return all, nil
}

// runOnce runs a line once and drops its slot.
func (b *bench) runOnce(ctx context.Context, l line, slot string, loaded load) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	s, err := l.run(ctx, b, slot, loaded)
	if err != nil {
		return s, err
	}
	return s, b.src.dropSlot(ctx, slot)
}
