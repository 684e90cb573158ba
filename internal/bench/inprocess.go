package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
	"github.com/walherald/walherald/publisher/nats"
)

// observer is told of every batch the moment it is confirmed. The messages are
// valid until it returns.
type observer func(batch []publisher.Message, confirmed time.Time)

// observed tells an observer of each confirmed batch.
type observed struct {
	publisher.Deliverer
	observe observer
}

// Deliver implements publisher.Deliverer.
func (o *observed) Deliver(ctx context.Context, batch []publisher.Message) error {
	if err := o.Deliverer.Deliver(ctx, batch); err != nil {
		return err
	}
	if len(batch) > 0 {
		o.observe(batch, time.Now())
	}
	return nil
}

// runHere runs walherald in this process until ctx ends. It puts the parts
// together as package service does, which is internal to cmd and cannot be
// imported here, but for health checks and HTTP servers.
func runHere(ctx context.Context, cfg *config.Config, observe observer) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var out publisher.Deliverer = publisher.Discard{}
	route := listener.Route{Topic: cfg.Publisher.Topic, Envelope: format.Walherald{}}
	if cfg.Publisher.Type == config.PublisherNATS {
		out = nats.New(nats.Config{URLs: cfg.Publisher.Address, Topic: cfg.Publisher.Topic}, nats.Hooks{}, log)
		route.Name = nats.Subject
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	l, err := listener.New(cfg.Listener, cfg.Database, listener.Deps{
		Log: log, Metrics: metrics.New(prometheus.NewRegistry(), "bench"), Health: metrics.NewHealth(time.Now),
		Outputs: []listener.Output{{
			Name: cfg.Publisher.Type, Route: route,
			Deliverer: &observed{publisher.Retry(out, cfg.Listener.AckTimeout, publisher.RetryHooks{}), observe},
		}},
	})
	if err != nil {
		return err
	}
	return l.Run(ctx)
}

// here is walherald running in this process.
type here struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // to be read once ended is closed
}

// startHere starts walherald on a slot of its own and a publication, with the
// given section publisher. It must be stopped.
func (b *bench) startHere(ctx context.Context, slot, publication, output string, observe observer) (*here, error) {
	path, err := b.configFile(slot, publication, output)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	h := &here{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(h.ended)
		h.err = runHere(ctx, cfg, observe)
	}()
	return h, nil
}

// stop ends walherald, if it still runs, and returns how it ended.
func (h *here) stop() error {
	h.cancel()
	<-h.ended
	return h.err
}

// profile runs the first line that can be run in this process and that -only
// asks for, under the CPU profiler.
func (b *bench) profile(ctx context.Context) error {
	kinds := []struct {
		name string
		fast bool
	}{{discardName, false}, {jetStreamName, true}, {msgIDName, false}, {turnsDiscardName, false}}
	for _, kind := range kinds {
		if b.opts.only.MatchString(kind.name) {
			return b.profileLine(ctx, kind.name, kind.fast)
		}
	}
	return fmt.Errorf("-cpuprofile: -only must match one of %s, %s, %s and %s", discardName, jetStreamName, msgIDName, turnsDiscardName)
}

func (b *bench) profileLine(ctx context.Context, name string, fast bool) error {
	const slot = "profile"
	if name == turnsDiscardName {
		if err := b.src.createTurns(ctx, b.opts.tables); err != nil {
			return err
		}
	}
	if err := b.src.createSlot(ctx, slot); err != nil {
		return err
	}
	var loaded load
	var err error
	if name == turnsDiscardName {
		loaded, err = b.src.loadTurns(ctx, b.opts.tables, b.opts.tableRows)
	} else {
		loaded, err = b.src.load(ctx, b.opts.rows, rowsPerTransaction)
	}
	if err != nil {
		return err
	}
	if name == discardName || name == turnsDiscardName {
		return b.profileRun(ctx, slot, "type: "+config.PublisherDiscard, loaded)
	}
	if !fast {
		if err := b.streams.create(ctx, slot); err != nil {
			return err
		}
	}
	if err := b.profileRun(ctx, slot, b.natsPublisher(slot), loaded); err != nil {
		return err
	}
	return b.streams.finish(ctx, slot, fast, loaded.rows+1)
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
	h, err := b.startHere(ctx, slot, l.publication, output, func([]publisher.Message, time.Time) {})
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
