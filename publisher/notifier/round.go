package notifier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

// state is how far a notification has come.
type state uint8

const (
	pending state = iota
	givenUp       // to be parked or dropped
	settled       // delivered, parked, dropped, or left to a later one of its key
)

// task is one notification of a round.
type task struct {
	Delivery
	state  state
	reason string // why it is given up
	// unjudged says that nobody knows whether its rule wants it.
	unjudged bool
}

// round is one batch being delivered. When an attempt at the batch fails as a whole,
// which happens to those that have to be held, the next one goes on where it ended.
type round struct {
	tasks []task
	begun time.Time
}

// begin makes the round of a batch.
func (d *Destination) begin(batch []publisher.Message) (*round, error) {
	r, rules := &round{tasks: make([]task, len(batch)), begun: time.Now()}, d.rules.all()
	for i := range batch {
		m, t := &batch[i], &r.tasks[i]
		f, err := parseFrame(m.Body, len(rules))
		if err != nil {
			return nil, publisher.Permanent(err)
		}
		t.Delivery = Delivery{
			ID: m.ID, Rule: rules[f.rule], Topic: m.Topic, Table: m.Table, Action: m.Action,
			Key: m.Key, CommitTime: m.CommitTime, Payload: f.payload,
		}
		if len(f.failure) > 0 {
			t.state, t.reason, t.unjudged = givenUp, string(f.failure), true
		}
	}
	if last := d.round; last.of(batch) {
		for i := range r.tasks {
			r.tasks[i].state, r.tasks[i].reason = last.tasks[i].state, last.tasks[i].reason
		}
	}
	return r, nil
}

// of reports whether the round is one of this batch.
func (r *round) of(batch []publisher.Message) bool {
	if r == nil || len(r.tasks) != len(batch) {
		return false
	}
	for i := range batch {
		if r.tasks[i].ID != batch[i].ID {
			return false
		}
	}
	return true
}

// lane is a row of tasks that are delivered one after another.
type lane struct{ tasks []*task }

// lanes sorts what is left to do into lanes that may be delivered side by side.
func (d *Destination) lanes(r *round) []*lane {
	var lanes []*lane
	byKey := make(map[string]*lane)
	for i := range r.tasks {
		t := &r.tasks[i]
		if t.state != pending {
			continue
		}
		name := d.laneOf(t, i)
		l := byKey[name]
		if l == nil {
			l = &lane{}
			byKey[name] = l
			lanes = append(lanes, l)
		}
		l.tasks = append(l.tasks, t)
	}
	return lanes
}

// laneOf names the lane of task i. Requests of several events hold several keys, so
// they follow each other where order counts.
func (d *Destination) laneOf(t *task, i int) string {
	c := &d.o.Config
	switch {
	case c.Order == config.OrderNone:
		return fmt.Sprint(i / c.Batch)
	case c.Batch > 1:
		return ""
	}
	return t.Table + "\x00" + string(t.Key)
}

// run delivers the round's tasks, as many lanes at once as the destination takes
// requests. Its error is why one has to be held, or that of ctx.
func (d *Destination) run(ctx context.Context, r *round) error {
	lanes := d.lanes(r)
	if len(lanes) == 0 {
		return nil
	}
	queue := make(chan *lane, len(lanes)) // has room for all, so nobody waits to send
	for _, l := range lanes {
		queue <- l
	}
	var left atomic.Int64
	left.Store(int64(len(lanes)))
	held := make(chan error, len(lanes))
	var workers sync.WaitGroup
	for range min(d.o.Config.Concurrency, len(lanes)) {
		workers.Go(func() {
			defer metrics.ReportPanic()
			for l := range until(ctx, queue) {
				more, err := d.step(ctx, l, r.begun)
				if err != nil {
					held <- err
				}
				switch {
				case more:
					queue <- l
				case left.Add(-1) == 0:
					close(queue)
				}
			}
		})
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case err := <-held:
		return err
	default:
		return nil
	}
}

// until yields what comes from c until that is closed or ctx ends.
func until[T any](ctx context.Context, c <-chan T) func(yield func(T) bool) {
	return func(yield func(T) bool) {
		for {
			select {
			case v, ok := <-c:
				if !ok || !yield(v) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// step delivers the next of a lane and reports whether there are more. Its error
// is why the lane has to wait.
func (d *Destination) step(ctx context.Context, l *lane, begun time.Time) (more bool, err error) {
	n := min(d.o.Config.Batch, len(l.tasks))
	tasks := l.tasks[:n]
	ds := make([]Delivery, n)
	for i, t := range tasks {
		ds[i] = t.Delivery
	}
	err = d.send(ctx, ds, begun)
	switch {
	case err == nil:
		d.ended(tasks, metrics.OutcomeDelivered)
	case ctx.Err() != nil:
		return false, nil // run tells
	case d.o.Config.OnFailure == config.OnFailureHold:
		// Not for good, whatever the error says: somebody may mend it.
		return false, errors.New(reason(err))
	default:
		for _, t := range tasks {
			t.state, t.reason = givenUp, reason(err)
		}
	}
	l.tasks = l.tasks[n:]
	return len(l.tasks) > 0, nil
}

// ended notes how tasks ended.
func (d *Destination) ended(tasks []*task, o metrics.Outcome) {
	for _, t := range tasks {
		t.state = settled
		d.o.Metrics.Ended(t.Rule, o, 1)
	}
}

// maxReason bounds the text of an error that is kept and shown, in bytes.
const maxReason = 500

func reason(err error) string {
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// coalesce waits, if the destination coalesces, until it may send again, and then
// leaves of each key's notifications the last one.
func (d *Destination) coalesce(ctx context.Context, r *round) error {
	interval := d.o.Config.Coalesce
	if interval == 0 {
		return nil
	}
	if err := publisher.Sleep(ctx, time.Until(d.gather.Add(interval))); err != nil {
		return err
	}
	d.gather = time.Now()
	r.begun = d.gather // to wait for the interval is no wait for a turn
	later := make(map[string]bool)
	for i := len(r.tasks) - 1; i >= 0; i-- {
		t := &r.tasks[i]
		if t.state != pending || len(t.Key) == 0 {
			continue
		}
		key := t.Table + "\x00" + string(t.Key)
		if later[key] {
			d.ended([]*task{t}, metrics.OutcomeCoalesced)
		}
		later[key] = true
	}
	return nil
}

// settle parks or drops what was given up. Its error is why it could not be parked.
func (d *Destination) settle(ctx context.Context, r *round) error {
	var given []*task
	for i := range r.tasks {
		if r.tasks[i].state == givenUp {
			given = append(given, &r.tasks[i])
		}
	}
	if len(given) == 0 {
		return nil
	}
	first := given[0]
	where := []any{"destination", d.name, "notifications", len(given), "rule", first.Rule, "id", first.ID.String(), "error", first.reason}
	switch d.o.Config.OnFailure {
	case config.OnFailureDrop:
		d.o.Log.Error("notifications that could not be delivered are dropped, as onFailure says", where...)
		d.ended(given, metrics.OutcomeDropped)
	case config.OnFailureHold:
		return fmt.Errorf("notification %s of rule %s: %s", first.ID, first.Rule, first.reason)
	default:
		if err := d.park(ctx, given); err != nil {
			// Not for good, whatever a broker says: somebody may mend it.
			return fmt.Errorf("park %d notifications, the first because of %q: %s", len(given), first.reason, err.Error())
		}
		d.o.Log.Warn("notifications could not be delivered and are parked", where...)
		d.ended(given, metrics.OutcomeParked)
	}
	return nil
}
