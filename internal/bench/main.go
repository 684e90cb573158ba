// Command bench measures walherald against private servers of its own and
// prints a table: how many events a second it moves from PostgreSQL to each kind
// of broker with confirmation, what that costs, and how far it is from what the
// servers can do without it.
//
//	go run ./internal/bench                          everything, about a quarter of an hour
//	go run ./internal/bench -rows 50000 -big 0 -tables 0 -only 'discard|pg_recvlogical'
//	go run ./internal/bench -o docs/benchmarks.md    the same as a Markdown page
//	go run ./internal/bench -only '^jetstream$' -cpuprofile jetstream.prof
//
// All lines of one table come from one run on the same servers: a PostgreSQL
// (fsync on, autovacuum off), JetStream, Kafka, RabbitMQ and Pub/Sub's emulator,
// each with its processes. Brokers that no line asks for are not started.
// The rows are in the log before the first line starts, and each run of each
// line reads them from a replication slot of its own. The runs are interleaved
// line by line, so that a machine that gets slower or faster meanwhile does so
// for all of them. A line's clock runs from the start of its process until its
// last event is confirmed. What a broker holds afterwards is counted: a run that
// lost or repeated a message is an error.
//
// With the usual numbers it needs about 10 GB below the temporary folders. It
// removes what it made, also when it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == ceilingRole {
		os.Exit(report(runCeilingRole(os.Args[2:])))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(report(err))
}

// report prints err, if there is one, and returns the exit code.
func report(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	return 1
}

// options are the flags.
type options struct {
	rows, slow, big, runs   int
	tables, tableRows       int
	notify                  int
	latency, lone, encoding time.Duration
	out                     string
	only                    *regexp.Regexp
	profile                 string
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rows, "rows", 1_000_000, "rows of the throughput lines, in transactions of 1,000")
	flags.IntVar(&o.slow, "broker-rows", 200_000, "rows of the lines with RabbitMQ and Pub/Sub, in transactions of 1,000; 0 leaves these out")
	flags.IntVar(&o.big, "big", 5_000_000, "rows of the one large transaction; 0 leaves its lines out")
	flags.IntVar(&o.runs, "runs", 3, "runs of each throughput line; the table shows the median")
	flags.IntVar(&o.tables, "tables", 5000, "tables of the lines with many tables in turn; 0 leaves these out")
	flags.IntVar(&o.tableRows, "tablerows", 1_000_000, "rows of the lines with many tables, each to the next table, in transactions of 1,000")
	flags.IntVar(&o.notify, "notify", 10_000, "changes of the lines of notifications, each for every endpoint; 0 leaves these out")
	flags.DurationVar(&o.latency, "latency", 20*time.Second, "how long latency at 1,000 transactions a second is measured; 0 leaves it out")
	flags.DurationVar(&o.lone, "lone", 10*time.Second, "how long latency of lone changes is measured for each broker; 0 leaves it out")
	flags.DurationVar(&o.encoding, "encoding", time.Second, "how long each run of the encoding takes; 0 leaves it out")
	flags.StringVar(&o.out, "o", "", "also write the report to this file, as Markdown")
	flags.StringVar(&only, "only", "", "regular expression of the lines to run: "+strings.Join(lineNames(), ", "))
	flags.StringVar(&o.profile, "cpuprofile", "",
		"run the first line of walherald's that -only picks in this process and write its CPU profile to this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	return o, o.check()
}

// check refuses numbers that nothing can be measured with.
func (o *options) check() error {
	switch {
	case o.rows < 1, o.runs < 1, o.slow < 0, o.notify < 0, o.big < 0, o.latency < 0, o.lone < 0, o.encoding < 0, o.tables < 0:
		return errors.New("-rows and -runs must be at least 1, -broker-rows, -notify, -big, -tables, -latency, -lone and -encoding at least 0")
	case o.tableRows < max(o.tables, 1):
		return errors.New("-tablerows must be at least -tables, so that each table has a row, and at least 1")
	}
	return nil
}

var errInterrupted = errors.New("interrupted")

// run runs the benchmark that args ask for.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	opts, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := clearEnvironment(); err != nil {
		return err
	}
	b, err := start(ctx, opts, stderr)
	if err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil {
			err = errInterrupted // whatever failed, failed because of it
		}
		err = errors.Join(err, b.close())
	}()
	if opts.profile != "" {
		return b.profile(ctx)
	}
	r, err := b.measureAll(ctx)
	if err != nil {
		return err
	}
	r.Command = commandLine(args)
	if err := r.writePlain(stdout); err != nil {
		return err
	}
	return r.writeFile(opts.out)
}

// commandLine shows how the benchmark was called, fit for a shell.
func commandLine(args []string) string {
	line := "go run ./internal/bench"
	for _, arg := range args {
		if strings.ContainsAny(arg, " |&;<>()$`\\\"'*?[]#~=%!{}^") || arg == "" {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		line += " " + arg
	}
	return line
}

// clearEnvironment removes what would steer walherald (WAL_…) or PostgreSQL's
// programs (PG…) past the settings that are measured.
func clearEnvironment() error {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "WAL_") && !strings.HasPrefix(name, "PG") {
			continue
		}
		if err := os.Unsetenv(name); err != nil {
			return fmt.Errorf("clear environment: %w", err)
		}
	}
	return nil
}
