package metrics

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// recentEvents is how many events are kept to be looked at.
	recentEvents = 64
	// recentBurst events are taken in each recentInterval: all of an idle database, a
	// sample of a flood, which must not be slowed down by being watched.
	recentBurst    = 8
	recentInterval = 250 * time.Millisecond
)

// Recent keeps the last events and their ways, or of many a sample. Its methods are
// safe for concurrent use; those of a nil *Recent do nothing.
type Recent struct {
	budget atomic.Int32 // how many more are taken until it is filled up again

	mu     sync.Mutex
	events []RecentEvent // the oldest first
}

// RecentEvent is one event. It holds no row data.
type RecentEvent struct {
	// ID is the event's; ids of one source sort in commit order.
	ID     [16]byte
	LSN    uint64
	Table  string
	Action string
	// Committed is by the database's clock.
	Committed time.Time
	Hops      []RecentHop
}

// RecentHop is what became of an event at one output.
type RecentHop struct {
	Output, Topic string
	// Confirmed is when the output had it; zero before.
	Confirmed time.Time
}

// NewRecent makes a Recent, which takes nothing before Run runs.
func NewRecent() *Recent { return new(Recent) }

// Run lets new events in, again and again, until ctx ends.
func (r *Recent) Run(ctx context.Context) {
	tick := time.NewTicker(recentInterval)
	defer tick.Stop()
	for {
		r.budget.Store(recentBurst)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Takes reports whether the next event is wanted; the caller then owes it to Add. It
// costs next to nothing where the answer is no.
func (r *Recent) Takes() bool {
	return r != nil && r.budget.Load() > 0 && r.budget.Add(-1) >= 0
}

// Add takes an event, before any of its outputs can have confirmed it.
func (r *Recent) Add(e RecentEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) >= recentEvents {
		r.events = slices.Delete(r.events, 0, 1)
	}
	r.events = append(r.events, e)
}

// Confirmed says that an output has confirmed everything up to an event.
func (r *Recent) Confirmed(output string, id [16]byte, at time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.events {
		e := &r.events[i]
		if bytes.Compare(e.ID[:], id[:]) > 0 {
			return // as are all behind it
		}
		for j := range e.Hops {
			if h := &e.Hops[j]; h.Output == output && h.Confirmed.IsZero() {
				h.Confirmed = at
			}
		}
	}
}

// Events returns the events, the newest first.
func (r *Recent) Events() []RecentEvent {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]RecentEvent, len(r.events))
	for i, e := range r.events {
		e.Hops = slices.Clone(e.Hops)
		all[len(all)-1-i] = e
	}
	return all
}
