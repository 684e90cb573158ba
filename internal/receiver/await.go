package receiver

import (
	"testing"
	"time"
)

// patience bounds how long a test waits for requests.
const patience = 30 * time.Second

// Await waits until n requests have arrived since the start. It fails the test if
// they do not within 30 s.
func (r *Receiver) Await(t testing.TB, n int) {
	t.Helper()
	r.await(t, "arrived", n, func() int { return r.arrived })
}

// AwaitEnded waits until n requests have been answered or given up since the start.
// It fails the test if they are not within 30 s.
func (r *Receiver) AwaitEnded(t testing.TB, n int) {
	t.Helper()
	r.await(t, "ended", n, func() int { return r.ended })
}

// await waits for a number that mu guards to reach n.
func (r *Receiver) await(t testing.TB, what string, n int, got func() int) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		r.mu.Lock()
		have, changed := got(), r.changed
		r.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("%d requests have %s within %s, want %d", have, what, patience, n)
		}
	}
}

// signal wakes those that wait. The caller holds mu.
func (r *Receiver) signal() {
	close(r.changed)
	r.changed = make(chan struct{})
}
