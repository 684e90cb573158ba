package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/walherald/walherald/publisher"
)

const (
	// steadyRate and loneRate are transactions a second, of one row each. At the
	// second one each finds everything idle.
	steadyRate = 1000
	loneRate   = 100
	// latencyConns is how many connections take turns: at the steady rate each
	// has 16 ms for a commit, so that one that waits for the disk does not slow
	// the pace.
	latencyConns = 16
)

// The names of the lines of latency.
const (
	latencyName       = "latency"
	loneJetStreamName = "lone-jetstream"
	loneKafkaName     = "lone-kafka"
	loneRabbitName    = "lone-rabbitmq"
	loneClassicName   = "lone-rabbitmq-classic"
	loneOrderedName   = "lone-pubsub"
)

// paced is a line that measures latency at a steady pace.
type paced struct {
	name, title string
	rate        int // transactions a second
	to          place
}

// pacedLines returns them in the table's order.
func pacedLines() []paced {
	return []paced{
		{latencyName, "JetStream, fast ingest", steadyRate, toFastStream},
		{loneJetStreamName, "JetStream, fast ingest", loneRate, toFastStream},
		{loneKafkaName, "Kafka", loneRate, toKafka},
		{loneRabbitName, "RabbitMQ, quorum queue", loneRate, toQuorum},
		{loneClassicName, "RabbitMQ, classic queue", loneRate, toClassic},
		{loneOrderedName, "Pub/Sub, ordering keys", loneRate, toOrdered},
	}
}

// pacedLines returns those that were asked for.
func (b *bench) pacedLines() []paced {
	var some []paced
	for _, p := range pacedLines() {
		if b.wanted(p.name) && b.duration(p) > 0 {
			some = append(some, p)
		}
	}
	return some
}

// duration is how long a line measures; 0 leaves it out.
func (b *bench) duration(p paced) time.Duration {
	if p.rate == loneRate {
		return b.opts.lone
	}
	return b.opts.latency
}

// latency is what a line of latency found.
type latency struct {
	Name, Title                string
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

// measureLatency measures every line of latency that was asked for.
func (b *bench) measureLatency(ctx context.Context, r *results) error {
	for _, p := range b.pacedLines() {
		l, err := b.runLatency(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		b.say("%-24s p50 %.2f ms, p99 %.2f ms", p.name, millis(l.P50), millis(l.P99))
		r.Latencies = append(r.Latencies, *l)
	}
	return nil
}

// runLatency runs walherald in this process while small transactions are
// committed at a steady pace.
func (b *bench) runLatency(ctx context.Context, p paced) (*latency, error) {
	slot := line{name: p.name}.slot(0)
	b.say("%s: %s transactions a second for %v …", p.name, thousands(float64(p.rate)), b.duration(p))
	if err := b.src.createSlot(ctx, slot); err != nil {
		return nil, err
	}
	to := b.destinations([]place{p.to})
	if err := to.create(ctx, slot); err != nil {
		return nil, err
	}
	turns := int(b.duration(p).Seconds() * float64(p.rate))
	w := &stopwatch{times: make([]time.Duration, 0, turns+1)}
	h, err := b.startHere(ctx, slot, publication, to.sections(slot), w.observe)
	if err != nil {
		return nil, err
	}
	committed, took, err := b.generate(ctx, turns, p.rate, w, h)
	if err = errors.Join(err, h.stop()); err != nil {
		return nil, err
	}
	if committed == 0 {
		return nil, errors.New("no transaction was committed in time")
	}
	if err := to.finish(ctx, slot, committed+1); err != nil {
		return nil, err
	}
	l := w.latency()
	l.Name, l.Title, l.Planned, l.Missed = p.name, p.title, turns, turns-committed
	l.Rate = float64(committed) / took.Seconds()
	return l, b.src.dropSlot(ctx, slot)
}

// latency sums up what was kept, two times at least. The first row opened the
// session and does not count.
func (w *stopwatch) latency() *latency {
	times := slices.Sorted(slices.Values(w.times[1:]))
	return &latency{
		Confirmed: len(times), P50: quantile(times, 0.50), P99: quantile(times, 0.99), Max: times[len(times)-1],
	}
}

// generate commits one row to begin with, then one a turn, and waits until all
// are confirmed. It returns how many turns were taken and how long that took.
func (b *bench) generate(ctx context.Context, turns, rate int, w *stopwatch, h *here) (int, time.Duration, error) {
	if err := b.src.insert(ctx, 1); err != nil {
		return 0, 0, err
	}
	if err := w.await(ctx, 1, h.ended); err != nil {
		return 0, 0, fmt.Errorf("first row: %w", err)
	}
	g := generator{
		dsn: b.pg.DSN(database), turns: turns, interval: time.Second / time.Duration(rate), conns: latencyConns,
	}
	g.first = b.src.takeIDs(g.turns)
	if err := g.run(ctx); err != nil {
		return 0, 0, fmt.Errorf("generate load: %w", err)
	}
	committed := int(g.committed.Load())
	return committed, g.took, w.await(ctx, 1+committed, h.ended)
}
