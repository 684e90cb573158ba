package metrics

import (
	"context"
	"testing"
	"time"
)

func recentID(n byte) [16]byte { return [16]byte{15: n} }

// taking runs a Recent until the test ends, and waits until it takes events.
func taking(t *testing.T) *Recent {
	t.Helper()
	r := NewRecent()
	if r.Takes() {
		t.Fatal("events are taken before anybody looks")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	for !r.Takes() {
		if t.Context().Err() != nil {
			t.Fatal("no event is taken")
		}
	}
	return r
}

func TestOfAFloodOnlyASampleIsKept(t *testing.T) {
	r := taking(t)
	taken := 1
	for range 1_000_000 {
		if r.Takes() {
			taken++
		}
	}
	if taken < recentBurst || taken > 100_000 {
		t.Errorf("%d of a million events are taken", taken)
	}
}

func TestEventIsConfirmedByEachOutputOnceThatHasConfirmedWhatIsBehindIt(t *testing.T) {
	r := NewRecent()
	at := time.Unix(100, 0)
	for n := byte(1); n <= 3; n++ {
		r.Add(RecentEvent{ID: recentID(n), Hops: []RecentHop{{Output: "nats"}, {Output: "kafka"}}})
	}
	r.Confirmed("nats", recentID(2), at)
	r.Confirmed("nats", recentID(3), at.Add(time.Second))
	r.Confirmed("kafka", recentID(1), at)
	events := r.Events()
	if len(events) != 3 || events[0].ID != recentID(3) {
		t.Fatalf("events are %+v, want three, the newest first", events)
	}
	want := [][2]time.Time{{at.Add(time.Second), {}}, {at, {}}, {at, at}}
	for i, e := range events {
		if got := [2]time.Time{e.Hops[0].Confirmed, e.Hops[1].Confirmed}; got != want[i] {
			t.Errorf("event %v was confirmed at %v, want %v", e.ID[15], got, want[i])
		}
	}
}

func TestOldEventsMakeRoomForNewOnes(t *testing.T) {
	r := NewRecent()
	for n := range 3 * recentEvents {
		r.Add(RecentEvent{LSN: uint64(n)})
	}
	events := r.Events()
	if len(events) != recentEvents || events[0].LSN != 3*recentEvents-1 {
		t.Errorf("%d events, the newest %+v", len(events), events[0])
	}
}
