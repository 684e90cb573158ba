package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
)

// encodingName is the name of the line, for -only.
const encodingName = "encoding"

// encodingBenchmark is a benchmark of Go's among the tests of a package.
type encodingBenchmark struct {
	title, pkg, name string
}

const (
	listenerPackage = "github.com/walherald/walherald/listener"
	formatPackage   = "github.com/walherald/walherald/publisher/format"
)

// fromRow is the benchmark that begins with the row as PostgreSQL sends it; the
// others begin with the values.
var fromRow = encodingBenchmark{"walherald, from the row", listenerPackage, "BenchmarkBodyOfSixColumnRow"}

// encodings returns the benchmarks in the table's order.
func encodings() []encodingBenchmark {
	all := []encodingBenchmark{fromRow}
	for _, envelope := range []string{"walherald", "wal-listener", "debezium"} {
		all = append(all, encodingBenchmark{envelope, formatPackage, "BenchmarkInsertOfSixColumns/" + envelope})
	}
	return all
}

// encoding is what it takes to encode the body of one event.
type encoding struct {
	Title         string
	Nanos, Allocs spread
	FromRow       bool // what Nanos are held against a target
}

// measureEncoding runs the benchmarks of the encoding, if they were asked for,
// each by itself in a process that is built before.
func (b *bench) measureEncoding(ctx context.Context, r *results) error {
	if b.opts.encoding == 0 || !b.wanted(encodingName) {
		return nil
	}
	for _, pkg := range []string{listenerPackage, formatPackage} {
		b.say("building the benchmarks of package %s …", path.Base(pkg))
		out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", b.testProgram(pkg), pkg).CombinedOutput()
		if err != nil {
			return fmt.Errorf("build benchmark of the encoding: %w\n%s", err, out)
		}
	}
	for _, e := range encodings() {
		measured, err := b.runEncoding(ctx, e)
		if err != nil {
			return err
		}
		r.Encodings = append(r.Encodings, *measured)
	}
	return nil
}

// testProgram is where a package's tests are built.
func (b *bench) testProgram(pkg string) string { return b.path(path.Base(pkg) + ".test") }

// pattern is what selects the benchmark alone.
func (e encodingBenchmark) pattern() string {
	return "^" + strings.ReplaceAll(e.name, "/", "$/^") + "$"
}

// runEncoding runs one benchmark.
func (b *bench) runEncoding(ctx context.Context, e encodingBenchmark) (measured *encoding, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	p, err := startProcess(exec.Command(b.testProgram(e.pkg), "-test.run=^$", "-test.bench="+e.pattern(), "-test.benchmem",
		"-test.count="+strconv.Itoa(b.opts.runs), "-test.benchtime="+b.opts.encoding.String()), b.path("encoding.log"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if _, err := p.finish(ctx); err != nil {
		return nil, err
	}
	log, err := os.ReadFile(p.logPath)
	if err != nil {
		return nil, fmt.Errorf("read benchmark of the encoding: %w", err)
	}
	if measured, err = parseEncoding(string(log), e, b.opts.runs); err != nil {
		return nil, p.explain(err)
	}
	b.say("%-24s %s: %s ns and %s allocations per event", encodingName, e.title, decimals(1)(measured.Nanos.Median), decimals(0)(measured.Allocs.Max))
	return measured, nil
}

// parseEncoding finds the figures of as many runs in what a benchmark printed,
// which has the form of golang.org/design/14313-benchmark-format.
func parseEncoding(printed string, e encodingBenchmark, runs int) (*encoding, error) {
	var nanos, allocs []float64
	for line := range strings.Lines(printed) {
		fields := strings.Fields(line)
		// The name, the number of iterations, then pairs of a value and its unit.
		for i := 3; i < len(fields) && strings.HasPrefix(fields[0], e.name); i += 2 {
			value, err := strconv.ParseFloat(fields[i-1], 64)
			if err != nil {
				return nil, fmt.Errorf("read figure of %s: %w", e.name, err)
			}
			switch fields[i] {
			case "ns/op":
				nanos = append(nanos, value)
			case "allocs/op":
				allocs = append(allocs, value)
			}
		}
	}
	if len(nanos) != runs || len(allocs) != runs {
		return nil, fmt.Errorf("%s printed %d times and %d allocations, should be %d of each", e.name, len(nanos), len(allocs), runs)
	}
	return &encoding{Title: e.title, FromRow: e == fromRow, Nanos: spreadOfValues(nanos), Allocs: spreadOfValues(allocs)}, nil
}
