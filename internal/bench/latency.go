package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/walherald/walherald/publisher"
)

const (
	// latencyRate is the transactions a second, of one row each.
	latencyRate = 1000
	// latencyConns is how many connections take turns: each then has 16 ms for
	// a commit, so that one that waits for the disk does not slow the pace.
	latencyConns = 16
	// settleTimeout bounds the wait for what is still on its way at the end.
	settleTimeout = 30 * time.Second
)

// latency is what the latency line found.
type latency struct {
	Planned, Missed, Confirmed int
	Rate                       float64 // transactions a second that were committed
	P50, P99, Max              time.Duration
}

// stopwatch keeps the time from commit to confirmation of every message.
type stopwatch struct {
	count atomic.Int64    // of messages confirmed
	times []time.Duration // of the observer until walherald has ended
}

// observe is walherald's observer.
func (w *stopwatch) observe(batch []publisher.Message, confirmed time.Time) {
	for i := range batch {
		w.times = append(w.times, confirmed.Sub(time.UnixMicro(batch[i].CommitTime)))
	}
	w.count.Add(int64(len(batch)))
}

// await polls until n messages are confirmed.
func (w *stopwatch) await(ctx context.Context, n int, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for w.count.Load() < int64(n) {
		select {
		case <-tick.C:
		case <-ended:
			return errors.New("walherald ended")
		case <-ctx.Done():
			return fmt.Errorf("wait for %d events to be confirmed, have %d: %w", n, w.count.Load(), ctx.Err())
		}
	}
	return nil
}

// measureLatency measures latency if it was asked for.
func (b *bench) measureLatency(ctx context.Context, r *results) (err error) {
	if b.opts.latency == 0 || !b.opts.only.MatchString(latencyName) {
		return nil
	}
	r.Latency, err = b.runLatency(ctx)
	return err
}

// runLatency runs walherald in this process against JetStream while small
// transactions are committed at a steady pace.
func (b *bench) runLatency(ctx context.Context) (*latency, error) {
	const slot = latencyName
	b.say("%s transactions a second for %v …", thousands(latencyRate), b.opts.latency)
	if err := b.src.createSlot(ctx, slot); err != nil {
		return nil, err
	}
	w := &stopwatch{times: make([]time.Duration, 0, int(b.opts.latency.Seconds()*latencyRate)+1)}
	h, err := b.startHere(ctx, slot, publication, b.natsPublisher(slot), w.observe)
	if err != nil {
		return nil, err
	}
	g, committed, err := b.generate(ctx, w, h)
	if err = errors.Join(err, h.stop()); err != nil {
		return nil, err
	}
	// The first row opened the session and the stream.
	times := w.times[1:]
	if len(times) == 0 {
		return nil, errors.New("no transaction was committed in the time of -latency")
	}
	slices.Sort(times)
	g.Confirmed = len(times)
	g.P50, g.P99, g.Max = quantile(times, 0.50), quantile(times, 0.99), times[len(times)-1]
	if err := b.streams.finish(ctx, slot, true, committed+1); err != nil {
		return nil, err
	}
	return g, b.src.dropSlot(ctx, slot)
}

// generate commits one row to begin with, then the load, and waits until all
// of it is confirmed. It returns what is known of the load.
func (b *bench) generate(ctx context.Context, w *stopwatch, h *here) (*latency, int, error) {
	if err := b.src.insert(ctx, 1); err != nil {
		return nil, 0, err
	}
	if err := w.await(ctx, 1, h.ended); err != nil {
		return nil, 0, fmt.Errorf("first row: %w", err)
	}
	g := generator{
		dsn: b.pg.DSN(database), turns: int(b.opts.latency.Seconds() * latencyRate),
		interval: time.Second / latencyRate, conns: latencyConns,
	}
	g.first = b.src.takeIDs(g.turns)
	if err := g.run(ctx); err != nil {
		return nil, 0, fmt.Errorf("generate load: %w", err)
	}
	committed := int(g.committed.Load())
	if err := w.await(ctx, 1+committed, h.ended); err != nil {
		return nil, 0, err
	}
	return &latency{
		Planned: g.turns, Missed: g.turns - committed, Rate: float64(committed) / g.took.Seconds(),
	}, committed, nil
}

// generator commits one row a turn. The turns are due at a steady pace and are
// dealt out to the connections in rotation; a connection that comes too late
// for a turn by a whole rotation misses it, so that the pace does not turn
// into bursts.
type generator struct {
	dsn      string
	first    int64 // the first turn's id
	turns    int
	interval time.Duration
	conns    int

	committed atomic.Int64
	took      time.Duration
}

// run connects and takes all turns.
func (g *generator) run(ctx context.Context) error {
	conns := make([]*pgx.Conn, g.conns)
	for i := range conns {
		conn, err := pgx.Connect(ctx, g.dsn)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		conns[i] = conn
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for i, conn := range conns {
		group.Go(func() error { return g.work(ctx, conn, i, start) })
	}
	err := group.Wait()
	g.took = time.Since(start)
	return err
}

// work takes the turns of connection number i.
func (g *generator) work(ctx context.Context, conn *pgx.Conn, i int, start time.Time) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for turn := i; turn < g.turns; turn += g.conns {
		due := start.Add(time.Duration(turn) * g.interval)
		if time.Since(due) > time.Duration(g.conns)*g.interval {
			continue
		}
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		id := g.first + int64(turn)
		if _, err := conn.Exec(ctx, insertRows, id, id); err != nil {
			return fmt.Errorf("commit row: %w", err)
		}
		g.committed.Add(1)
	}
	return nil
}
