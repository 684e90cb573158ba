package notifier

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// sent is a request that a fakeSender got.
type sent struct {
	ids []publisher.ID
	at  time.Time
}

// fakeSender answers as a test says.
type fakeSender struct {
	answer func(ds []Delivery) error // nil accepts all
	takes  time.Duration

	mu     sync.Mutex
	sent   []sent
	flying int
	most   int
}

func (f *fakeSender) Send(ctx context.Context, ds []Delivery) error {
	f.mu.Lock()
	s := sent{at: time.Now()}
	for _, d := range ds {
		s.ids = append(s.ids, d.ID)
	}
	f.sent = append(f.sent, s)
	f.flying++
	f.most = max(f.most, f.flying)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.flying--
		f.mu.Unlock()
	}()
	if err := publisher.Sleep(ctx, f.takes); err != nil {
		return err
	}
	if f.answer != nil {
		return f.answer(ds)
	}
	return nil
}

func (f *fakeSender) Close() error { return nil }

func (f *fakeSender) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

// order returns the ordinals of what was sent, attempts included, in order.
func (f *fakeSender) order() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []int
	for _, s := range f.sent {
		for _, id := range s.ids {
			all = append(all, ordinal(id))
		}
	}
	return all
}

// fakeStore keeps parked deliveries in memory.
type fakeStore struct {
	mu     sync.Mutex
	broken error
	parked []Parked
}

func (f *fakeStore) Park(_ context.Context, ds []Parked) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken == nil {
		f.parked = append(f.parked, ds...)
	}
	return f.broken
}

func (f *fakeStore) Due(ctx context.Context, destination string, _ Share, limit int, try func(context.Context, Parked) error) (int, error) {
	f.mu.Lock()
	due := f.parked[:min(limit, len(f.parked))]
	f.parked = nil
	f.mu.Unlock()
	for _, p := range due {
		if err := try(ctx, p); err != nil {
			f.mu.Lock()
			f.parked = append(f.parked, p)
			f.mu.Unlock()
		}
	}
	return len(due), nil
}

func (f *fakeStore) ids() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []int
	for _, p := range f.parked {
		ids = append(ids, ordinal(p.ID))
	}
	return ids
}

func id(n int) publisher.ID {
	var id publisher.ID
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func ordinal(id publisher.ID) int { return int(binary.BigEndian.Uint64(id[8:])) }

// messages makes frames of events 1 to n of the first rule, whose keys key returns.
func messages(n int, key func(i int) string) []publisher.Message {
	var all []publisher.Message
	for i := 1; i <= n; i++ {
		all = append(all, publisher.Message{
			ID: id(i), Topic: "public_t", Table: "public.t", Action: publisher.Insert, Key: []byte(key(i)),
			Body: append(appendFrame(nil, 0, ""), fmt.Sprintf("payload %d", i)...),
		})
	}
	return all
}

func oneKey(int) string      { return "k" }
func ownKeys(i int) string   { return fmt.Sprint(i) }
func threeKeys(i int) string { return fmt.Sprint(i % 3) }

// destination makes one with a sender and a store, configured by change.
func destination(s *fakeSender, store *fakeStore, change func(*config.Destination), limits ...*rate.Limiter) *Destination {
	n := config.Notification{
		Destination: config.Destination{
			Name: "crm", Type: config.DestinationWebhook, Concurrency: 8, Order: config.OrderKey, Batch: 1, MaxAttempts: 3,
			Backoff:    []time.Duration{time.Second, 2 * time.Second, 3 * time.Second},
			TimeBudget: 30 * time.Second, OnFailure: config.OnFailurePark, Circuit: config.Circuit{Failures: 5, OpenFor: 30 * time.Second},
		},
		Rules: []config.NamedRule{{Rule: config.Rule{Name: "first"}}, {Rule: config.Rule{Name: "second"}}},
	}
	if change != nil {
		change(&n.Destination)
	}
	o := Options{Config: n, Sender: s, Limits: limits, Log: slog.New(slog.DiscardHandler)}
	if store != nil {
		o.Store = store
	}
	return New(o)
}

var errUnavailable = errors.New("answers 503 Service Unavailable")

func failing(err error) func([]Delivery) error { return func([]Delivery) error { return err } }

func deliver(t *testing.T, d *Destination, batch []publisher.Message) {
	t.Helper()
	if err := d.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}
