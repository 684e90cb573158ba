// Package publishertest is the conformance suite of publisher.Deliverer: what
// every destination has to guarantee, asked of a real server. The package of a
// destination runs it in its own tests:
//
//	publishertest.Run(t, func(t *testing.T) publishertest.Harness { ... })
//
// What is particular to one kind of server (limits, rights, its own ways to
// fail) is tested beside its Deliverer.
package publishertest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/publisher"
)

// timeout bounds what a guarantee waits for.
const timeout = time.Minute

// Harness is a destination that belongs to one test. All fields are needed.
type Harness struct {
	// Topic is where messages go.
	Topic string
	// New makes a Deliverer for the destination. The suite closes it.
	New func(t *testing.T) publisher.Deliverer
	// Read returns everything the destination holds, in its order; of what it
	// keeps apart (partitions) the order among each other does not matter.
	Read func(t *testing.T) []Stored
	// Cut breaks all connections without a word.
	Cut func()
	// Kill ends the destination's server as a power switch would, Restart
	// starts it again with what it held and returns when it takes connections.
	Kill, Restart func(t *testing.T)
}

// Stored is one message as the destination gives it to consumers.
type Stored struct {
	ID   publisher.ID
	Key  []byte // nil where the destination keeps none
	Body []byte
}

// Run tests all guarantees, each with a Harness of its own.
func Run(t *testing.T, start func(t *testing.T) Harness) {
	for name, guarantee := range map[string]func(*testing.T, Harness){
		"DeliveredMeansStored":             deliveredMeansStored,
		"OrderOfAKeyHoldsThroughFaults":    orderHolds,
		"EmptyBatchAsksTheDestination":     emptyBatchAsks,
		"CancelledContextIsNeverADelivery": cancelledIsNoDelivery,
		"RepeatsCarryEqualIDs":             repeatsCarryEqualIDs,
		"CloseLeavesNoGoroutine":           closeLeavesNothing,
		"DeliveredOutlivesAKill":           deliveredOutlivesKill,
	} {
		t.Run(name, func(t *testing.T) { guarantee(t, start(t)) })
	}
}

const (
	writer = "publishertest"
	keys   = 5
)

// id is the id of message n.
func id(n int) publisher.ID {
	made, err := publisher.NewID(uint64(1+n/3), uint64(n%3), 7)
	if err != nil {
		panic(err)
	}
	return made
}

func key(n int) string { return fmt.Sprintf("key-%d", n%keys) }

// messages makes count messages from number first on.
func (h Harness) messages(first, count int) []publisher.Message {
	batch := make([]publisher.Message, count)
	for i := range batch {
		n := first + i
		batch[i] = publisher.Message{
			ID: id(n), Writer: writer, Topic: h.Topic, Table: "public.t", Action: publisher.Insert,
			Key: []byte(key(n)), Body: fmt.Appendf(nil, `{"n":%d,"key":%q}`, n, key(n)), CommitTime: int64(n),
		}
	}
	return batch
}

// numbers reads the numbers of the stored messages and checks all else in them.
func (h Harness) numbers(t *testing.T) []int {
	t.Helper()
	var numbers []int
	for _, s := range h.Read(t) {
		var n int
		if _, err := fmt.Sscanf(string(s.Body), `{"n":%d,`, &n); err != nil {
			t.Fatalf("body %q: %v", s.Body, err)
		}
		want := h.messages(n, 1)[0]
		if string(s.Body) != string(want.Body) || s.ID != want.ID || (s.Key != nil && string(s.Key) != string(want.Key)) {
			t.Fatalf("message %d is stored as %v %q %q", n, s.ID, s.Key, s.Body)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// open makes a Deliverer that ends with the test.
func (h Harness) open(t *testing.T) publisher.Deliverer {
	t.Helper()
	d := h.New(t)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func deliver(t *testing.T, d publisher.Deliverer, batch []publisher.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := d.Deliver(ctx, batch); err != nil {
		t.Fatal(err)
	}
}

// expectAll wants the messages below count stored, the first occurrences of
// each key in order.
func expectAll(t *testing.T, numbers []int, count int) {
	t.Helper()
	next := make(map[string]int) // the number each key goes on with
	for n := range keys {
		next[key(n)] = n
	}
	for at, n := range numbers {
		k := key(n)
		if n > next[k] {
			t.Fatalf("message %d of %s comes before %d, at place %d", n, k, next[k], at)
		}
		if n == next[k] {
			next[k] += keys
		}
	}
	for k, n := range next {
		if n < count {
			t.Errorf("message %d of %s is missing", n, k)
		}
	}
}

func deliveredMeansStored(t *testing.T, h Harness) {
	d := h.open(t)
	count := 0
	for _, size := range []int{1, 2, 1000, 1, 300} {
		deliver(t, d, h.messages(count, size))
		count += size
		expectAll(t, h.numbers(t), count)
	}
}

func orderHolds(t *testing.T, h Harness) {
	failed := 0
	d := publisher.Retry(h.open(t), 0, publisher.RetryHooks{
		Failed: func(error, *publisher.Message, time.Duration) { failed++ },
	})
	const batches, size = 30, 200
	var faults sync.WaitGroup // each comes while a batch is written
	defer faults.Wait()
	for b := range batches {
		switch b % 10 {
		case 3, 6:
			faults.Go(h.Cut)
		case 8:
			h.Kill(t)
			faults.Go(func() { h.Restart(t) })
		}
		deliver(t, d, h.messages(b*size, size))
		faults.Wait()
	}
	if failed == 0 {
		t.Error("no attempt has failed: the test shows nothing")
	}
	expectAll(t, h.numbers(t), batches*size)
}

func emptyBatchAsks(t *testing.T, h Harness) {
	d := h.open(t)
	deliver(t, d, nil)
	h.Kill(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := d.Deliver(ctx, nil); err == nil || publisher.IsPermanent(err) || ctx.Err() != nil {
		t.Errorf("a destination that is down answers %v", err)
	}
	h.Restart(t)
	deliver(t, publisher.Retry(d, 0, publisher.RetryHooks{}), nil)
	if got := h.numbers(t); len(got) != 0 {
		t.Errorf("%d messages are stored", len(got))
	}
}

func cancelledIsNoDelivery(t *testing.T, h Harness) {
	d := h.open(t)
	deliver(t, d, h.messages(0, 10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, batch := range [][]publisher.Message{nil, h.messages(10, 10)} {
		if err := d.Deliver(ctx, batch); err == nil || publisher.IsPermanent(err) {
			t.Errorf("%d messages with a cancelled context: %v", len(batch), err)
		}
	}
	deliver(t, d, h.messages(10, 10))
	expectAll(t, h.numbers(t), 20)
}

func repeatsCarryEqualIDs(t *testing.T, h Harness) {
	for range 2 { // the second as after a restart
		d := h.New(t)
		deliver(t, d, h.messages(0, 50))
		deliver(t, d, h.messages(20, 50))
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	expectAll(t, h.numbers(t), 70) // which compares the ids
}

func closeLeavesNothing(t *testing.T, h Harness) {
	// What the destination itself starts at the first message is not meant.
	deliver(t, h.open(t), h.messages(0, 1))
	running := goleak.IgnoreCurrent()
	d := h.New(t)
	deliver(t, d, h.messages(1, 100))
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, running)
}

func deliveredOutlivesKill(t *testing.T, h Harness) {
	d := h.open(t)
	deliver(t, d, h.messages(0, 500))
	h.Kill(t)
	h.Restart(t)
	expectAll(t, h.numbers(t), 500)
}
