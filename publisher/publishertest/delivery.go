package publishertest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/publisher"
)

func deliveredMeansStored(t *testing.T, h Harness) {
	d := h.open(t)
	count := 0
	for _, size := range []int{1, 2, 1000, 1, 300} {
		Deliver(t, d, h.messages(count, size))
		count += size
		expect(t, h.numbers(t), below(count))
	}
}

func repeatsCarryEqualIDs(t *testing.T, h Harness) {
	for range 2 { // the second as after a restart
		d := h.New(t)
		Deliver(t, d, h.messages(0, 50))
		Deliver(t, d, h.messages(20, 50))
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	expect(t, h.numbers(t), below(70)) // numbers compares the ids
}

func cancelledIsNoDelivery(t *testing.T, h Harness) {
	d := h.open(t)
	Deliver(t, d, h.messages(0, 10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, batch := range [][]publisher.Message{nil, h.messages(10, 10)} {
		if err := d.Deliver(ctx, batch); err == nil || publisher.IsPermanent(err) {
			t.Errorf("%d messages with a cancelled context: %v", len(batch), err)
		}
	}
	Deliver(t, d, h.messages(10, 10))
	expect(t, h.numbers(t), below(20))
}

// cancelledInTheMiddle ends the context at random moments of what a whole
// delivery has taken so far.
func cancelledInTheMiddle(t *testing.T, h Harness) {
	const size, wanted, rounds = 1000, 5, 200
	rnd := random(t)
	d := h.open(t)
	Deliver(t, d, nil)
	start := time.Now()
	Deliver(t, d, h.messages(0, size))
	whole := time.Since(start)

	count, cut := size, 0
	for round := 0; cut < wanted; round++ {
		if round == rounds {
			t.Fatalf("of %d deliveries %d were cut short", rounds, cut)
		}
		batch := h.messages(count, size)
		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.Float64()*float64(whole)))
		err := d.Deliver(ctx, batch)
		cancel()
		switch {
		case publisher.IsPermanent(err):
			t.Fatal(err)
		case err != nil:
			cut++
			failed := 0
			Deliver(t, Retrying(d, &failed), batch)
		default:
			whole = min(whole, time.Since(start))
		}
		count += size
	}
	expect(t, h.numbers(t), below(count))
}

func closeLeavesNothing(t *testing.T, h Harness) {
	// What the destination itself starts at the first message is not meant.
	d := h.New(t)
	Deliver(t, d, h.messages(0, 1))
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	running := goleak.IgnoreCurrent()
	d = h.New(t)
	Deliver(t, d, h.messages(1, 100))
	if h.Cut != nil { // in the state a fault leaves
		h.Cut()
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		// Whether it notices before it has succeeded again does not matter here.
		if err := d.Deliver(ctx, h.messages(101, 100)); publisher.IsPermanent(err) {
			t.Error(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, running)
}
