package metrics

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// Heartbeat is the sign of life of one loop that must not stand still. Its
// methods are safe for concurrent use; those of a nil *Heartbeat do nothing.
type Heartbeat struct {
	health *Health
	name   string
	limit  time.Duration
	// last is the latest beat, counted from health.start. A difference and not
	// a point in time: a change of the system's clock must not look like a loop
	// that has been standing for an hour.
	last atomic.Int64
}

// Liveness registers a loop that beats at least every limit, which must be
// positive; the process counts as dead once one does not. The first beat is
// this call. A heartbeat of the same name takes the place of the earlier one. A
// nil *Health has nil heartbeats.
func (h *Health) Liveness(name string, limit time.Duration) *Heartbeat {
	if h == nil {
		return nil
	}
	b := &Heartbeat{health: h, name: name, limit: limit}
	b.Beat()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heartbeats[name] = b
	return b
}

// Beat says that the loop still moves. It takes no lock.
func (b *Heartbeat) Beat() {
	if b != nil {
		b.last.Store(int64(b.health.clock().Sub(b.health.start)))
	}
}

// Done says that the loop has ended as it should: no more beats are expected.
func (b *Heartbeat) Done() {
	if b == nil {
		return
	}
	b.health.mu.Lock()
	defer b.health.mu.Unlock()
	if b.health.heartbeats[b.name] == b {
		delete(b.health.heartbeats, b.name)
	}
}

// LivenessReport is the answer to whether the process still moves.
type LivenessReport struct {
	Alive bool `json:"alive"`
	// Heartbeats are sorted by name.
	Heartbeats []HeartbeatReport `json:"heartbeats"`
}

// HeartbeatReport is the state of one loop.
type HeartbeatReport struct {
	Name  string `json:"name"`
	Alive bool   `json:"alive"`
	// Since is the latest beat, in UTC.
	Since time.Time `json:"since"`
	// Seconds is how long ago Since is, not disturbed by changes of the clock.
	Seconds float64 `json:"seconds"`
	// Limit is how many seconds it may be at most.
	Limit float64 `json:"limit"`
}

// Alive says whether every registered loop has beaten within its limit.
func (h *Health) Alive() LivenessReport {
	now := h.clock()
	h.mu.Lock()
	defer h.mu.Unlock()
	r := LivenessReport{Alive: true, Heartbeats: make([]HeartbeatReport, 0, len(h.heartbeats))}
	byName := func(a, b *Heartbeat) int { return cmp.Compare(a.name, b.name) }
	for _, b := range slices.SortedFunc(maps.Values(h.heartbeats), byName) {
		beat := b.report(now)
		r.Heartbeats = append(r.Heartbeats, beat)
		r.Alive = r.Alive && beat.Alive
	}
	return r
}

func (b *Heartbeat) report(now time.Time) HeartbeatReport {
	last := time.Duration(b.last.Load())
	age := now.Sub(b.health.start) - last
	return HeartbeatReport{
		Name: b.name, Alive: age <= b.limit, Since: now.Add(-age).UTC(),
		Seconds: seconds(age), Limit: b.limit.Seconds(),
	}
}
