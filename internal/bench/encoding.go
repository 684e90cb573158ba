package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

const (
	// encodingPackage has the benchmark encodingBenchmark among its tests.
	encodingPackage   = "github.com/walherald/walherald/listener"
	encodingBenchmark = "BenchmarkBodyOfSixColumnRow"
)

// encoding is what it takes to encode the body of one event.
type encoding struct{ Nanos, Allocs spread }

// measureEncoding runs the benchmark of the encoding, if it was asked for, by
// itself in a process that is built before.
func (b *bench) measureEncoding(ctx context.Context, r *results) (err error) {
	if b.opts.encoding == 0 || !b.opts.only.MatchString(encodingName) {
		return nil
	}
	b.say("building the benchmark of the encoding …")
	program := b.path("listener.test")
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, encodingPackage).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build benchmark of the encoding: %w\n%s", err, out)
	}
	r.Encoding, err = b.runEncoding(ctx, program)
	return err
}

// runEncoding runs the benchmark that program holds.
func (b *bench) runEncoding(ctx context.Context, program string) (e *encoding, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	p, err := startProcess(exec.Command(program, "-test.run=^$", "-test.bench=^"+encodingBenchmark+"$", "-test.benchmem",
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
	if e, err = parseEncoding(string(log), b.opts.runs); err != nil {
		return nil, p.explain(err)
	}
	b.say("%-20s %s ns and %s allocations per event", encodingName, decimals(1)(e.Nanos.Median), decimals(0)(e.Allocs.Max))
	return e, nil
}

// parseEncoding finds the figures of as many runs in what a benchmark printed,
// which has the form of golang.org/design/14313-benchmark-format.
func parseEncoding(printed string, runs int) (*encoding, error) {
	var nanos, allocs []float64
	for line := range strings.Lines(printed) {
		fields := strings.Fields(line)
		// The name, the number of iterations, then pairs of a value and its unit.
		for i := 3; i < len(fields) && strings.HasPrefix(fields[0], encodingBenchmark); i += 2 {
			value, err := strconv.ParseFloat(fields[i-1], 64)
			if err != nil {
				return nil, fmt.Errorf("read figure of %s: %w", encodingBenchmark, err)
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
		return nil, fmt.Errorf("%s printed %d times and %d allocations, should be %d of each",
			encodingBenchmark, len(nanos), len(allocs), runs)
	}
	return &encoding{Nanos: spreadOfValues(nanos), Allocs: spreadOfValues(allocs)}, nil
}
