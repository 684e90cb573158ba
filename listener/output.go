package listener

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

// probeInterval is how often an idle output is asked whether it still could.
const probeInterval = 10 * time.Second

// output delivers one window's batches, one at a time and in order, and
// confirms their commits.
type output struct {
	name    string
	window  *window
	deliver publisher.Deliverer
	met     *metrics.Output
	// published counts messages by topic and table.
	published func(topic, table string, n int)
	health    *metrics.Component
	recent    *metrics.Recent // or nil
	log       *slog.Logger
	delivery
	// confirmed is told of each batch that is safe, with its last commit or 0.
	confirmed func(b *batch)
}

// run delivers until the window is closed and empty (nil), ctx has ended, or
// the destination refuses for good.
func (o *output) run(ctx context.Context) error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	if err := o.probe(ctx); err != nil {
		return err
	}
	for {
		b, more := o.window.take(ctx, tick.C)
		if !more {
			return ctx.Err()
		}
		if b == nil {
			if err := o.probe(ctx); err != nil {
				return err
			}
			continue
		}
		if err := o.one(ctx, b); err != nil {
			return err
		}
	}
}

// patience is how long a delivery may take until the output is said to be what
// blocks.
const patience = 5 * time.Second

// delivery is the one that is under way, for those who wait for it.
type delivery struct {
	mu    sync.Mutex
	at    uint64 // its first position
	under bool   // way
	told  bool   // that it takes long
	timer *time.Timer
}

// begin notes that a delivery has begun at a position.
func (o *output) begin(at uint64) {
	d := &o.delivery
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at, d.under, d.told = at, true, false
	if d.timer == nil {
		d.timer = time.AfterFunc(patience, o.overdue)
		return
	}
	d.timer.Reset(patience)
}

// overdue shows that a delivery takes long: while an attempt hangs, nothing else
// would say so.
func (o *output) overdue() {
	d := &o.delivery
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.under {
		return // it has just ended
	}
	d.told = true
	lsn := FormatLSN(d.at)
	o.health.Blocked(fmt.Sprintf("has confirmed nothing for %v, and holds the position", patience), lsn)
	o.log.Warn("output confirms nothing and holds the position", "output", o.name, "lsn", lsn, "waited", patience.String())
}

// end notes that the delivery has ended, and whether it succeeded.
func (o *output) end(err error) {
	d := &o.delivery
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer.Stop()
	if d.under = false; d.told && err == nil {
		o.health.Ready()
		o.log.Info("output confirms again", "output", o.name)
	}
}

// probe asks the destination whether it could deliver. Where nothing is left to
// deliver nobody waits for the answer, but a refusal that has come counts.
func (o *output) probe(ctx context.Context) error {
	probeCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.window.closed, cancel)()
	err := o.deliver.Deliver(probeCtx, nil)
	if probeCtx.Err() != nil && ctx.Err() == nil && !publisher.IsPermanent(err) {
		return nil
	}
	return err
}

// one delivers one batch.
func (o *output) one(ctx context.Context, b *batch) error {
	if len(b.msgs) > 0 {
		start := time.Now()
		o.begin(b.msgs[0].ID.LSN())
		err := o.deliver.Deliver(ctx, b.msgs)
		o.end(err)
		if err != nil {
			first, last := &b.msgs[0], &b.msgs[len(b.msgs)-1]
			return fmt.Errorf("deliver %d changes to output %s, of %s at %s to %s at %s: %w", len(b.msgs), o.name,
				first.Table, FormatLSN(first.ID.LSN()), last.Table, FormatLSN(last.ID.LSN()), err)
		}
		o.observe(b, start, time.Now())
	}
	o.confirmed(b)
	o.window.done(b)
	return nil
}

func (o *output) observe(b *batch, start, now time.Time) {
	o.recent.Confirmed(o.name, b.msgs[len(b.msgs)-1].ID, now)
	first, count, bytes := &b.msgs[0], 0, 0
	// The first is the one that waited longest.
	o.met.CommitToConfirm(time.Duration(now.UnixMicro()-first.CommitTime) * time.Microsecond)
	for i := range b.msgs {
		m := &b.msgs[i]
		if m.Topic != first.Topic || m.Table != first.Table {
			o.published(first.Topic, first.Table, count-o.met.LeftOut(first.Topic, first.Table, count))
			first, count = m, 0
		}
		count++
		bytes += len(m.Body)
	}
	o.published(first.Topic, first.Table, count-o.met.LeftOut(first.Topic, first.Table, count))
	o.met.Delivered(len(b.msgs), bytes, now.Sub(start))
}
