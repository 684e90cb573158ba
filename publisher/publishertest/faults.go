package publishertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/walherald/walherald/publisher"
)

// cutAnywhere plans each cut for somewhere within the bytes that a batch takes
// on its way. Those are not known: the reach of the cuts shrinks with every one
// that came too late, and grows with the others.
func cutAnywhere(t *testing.T, h Harness) {
	const cuts, rounds, size = 20, 200, 200
	rnd := random(t)
	failed := 0
	d := Retrying(h.open(t), &failed)
	Deliver(t, d, nil)
	reach := 8 * float64(bodies(h.messages(0, size)))
	count, cut := 0, 0
	for round := 0; cut < cuts; round++ {
		if round == rounds {
			t.Fatalf("of %d deliveries %d were cut", rounds, cut)
		}
		before := failed
		h.CutAfter(int64(rnd.Float64() * reach))
		Deliver(t, d, h.messages(count, size))
		count += size
		if failed > before {
			cut++
			reach *= 1.1
		} else {
			reach *= 0.9
		}
	}
	expect(t, h.numbers(t), below(count))
}

func orderHolds(t *testing.T, h Harness) {
	failed := 0
	d := Retrying(h.open(t), &failed)
	const batches, size = 30, 200
	var faults sync.WaitGroup // each comes while a batch is written
	defer faults.Wait()
	for b := range batches {
		switch {
		case b%10 == 3, b%10 == 6:
			faults.Go(h.Cut)
		case b == 18:
			h.Kill(t)
			faults.Go(func() { h.Restart(t) })
		}
		Deliver(t, d, h.messages(b*size, size))
		faults.Wait()
	}
	if failed == 0 {
		t.Error("no attempt has failed: the test shows nothing")
	}
	expect(t, h.numbers(t), below(batches*size))
}

// killedInTheMiddle kills the server at a random moment of what a delivery takes.
func killedInTheMiddle(t *testing.T, h Harness) {
	const kills, size = 2, 2000
	rnd := random(t)
	failed := 0
	d := Retrying(h.open(t), &failed)
	Deliver(t, d, nil)
	start := time.Now()
	Deliver(t, d, h.messages(0, size))
	whole := time.Since(start)
	for k := range kills {
		var fault sync.WaitGroup
		moment := time.NewTimer(time.Duration(rnd.Float64() * float64(whole) / 2))
		fault.Go(func() {
			<-moment.C
			h.Kill(t)
			h.Restart(t)
		})
		Deliver(t, d, h.messages((k+1)*size, size))
		fault.Wait()
	}
	Deliver(t, d, h.messages((kills+1)*size, size))
	t.Logf("%d attempts have failed", failed)
	expect(t, h.numbers(t), below((kills+2)*size))
}

func deliveredOutlivesKill(t *testing.T, h Harness) {
	d := h.open(t)
	Deliver(t, d, h.messages(0, 500))
	h.Kill(t)
	h.Restart(t)
	expect(t, h.numbers(t), below(500))
}

func emptyBatchAsks(t *testing.T, h Harness) {
	d := h.open(t)
	Deliver(t, d, nil)
	h.Kill(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := d.Deliver(ctx, nil); err == nil || publisher.IsPermanent(err) || ctx.Err() != nil {
		t.Errorf("a destination that is down answers %v", err)
	}
	h.Restart(t)
	Deliver(t, publisher.Retry(d, 0, publisher.RetryHooks{}), nil)
	if got := h.numbers(t); len(got) != 0 {
		t.Errorf("%d messages are stored", len(got))
	}
}
