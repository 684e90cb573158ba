package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"time"
)

// profiled returns the lines that can be run in this process.
func profiled() []line {
	var some []line
	for _, l := range lines() {
		if l.ours() && l.phase != bigPhase {
			some = append(some, l)
		}
	}
	return some
}

// profile runs the first line that can be run in this process and that -only
// asks for, under the CPU profiler.
func (b *bench) profile(ctx context.Context) error {
	var names []string
	for _, l := range profiled() {
		if b.wanted(l.name) {
			return b.profileLine(ctx, l)
		}
		names = append(names, l.name)
	}
	return fmt.Errorf("-cpuprofile: -only must match one of %s", strings.Join(names, ", "))
}

func (b *bench) profileLine(ctx context.Context, l line) error {
	const slot = "profile"
	if l.phase == turnsPhase {
		if err := b.src.createTurns(ctx, b.opts.tables); err != nil {
			return err
		}
	}
	if err := b.src.createSlot(ctx, slot); err != nil {
		return err
	}
	loaded, err := b.loadFor(ctx, l.phase)
	if err != nil {
		return err
	}
	to := b.destinations(l.to)
	if err := to.create(ctx, slot); err != nil {
		return err
	}
	if err := b.profileRun(ctx, slot, to.sections(slot)+l.extra(), loaded); err != nil {
		return err
	}
	return to.finish(ctx, slot, loaded.rows+1)
}

// profileRun profiles one run from its start to the marker's confirmation.
func (b *bench) profileRun(ctx context.Context, slot, output string, l load) (err error) {
	file, err := os.Create(b.opts.profile)
	if err != nil {
		return fmt.Errorf("make profile: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := pprof.StartCPUProfile(file); err != nil {
		return fmt.Errorf("start profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	started := time.Now()
	h, err := b.startHere(ctx, slot, l.publication, output, nil)
	if err != nil {
		return err
	}
	err = b.src.awaitConfirmed(ctx, slot, l.end, h.ended)
	elapsed := time.Since(started)
	if err = errors.Join(err, h.stop()); err != nil {
		return err
	}
	b.say("%s events/s in this process; profile in %s", thousands(float64(l.rows)/elapsed.Seconds()), b.opts.profile)
	return nil
}
