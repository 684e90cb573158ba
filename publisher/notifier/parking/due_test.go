package parking

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// atOnce makes deliveries due when they are parked.
var atOnce = config.Parking{Schedule: []time.Duration{0, time.Hour}}

func TestDueDeliveriesComeInOrderAndLeaveWhenDelivered(t *testing.T) {
	p := newPlace(t)
	table := p.table(atOnce)
	all := deliveries("hook", 600)
	backward := slices.Clone(all)
	slices.Reverse(backward)
	p.park(table, backward...)
	p.park(table, delivery("mail", 0))
	p.exec("ANALYZE walherald.parked") // so that the server reads the table as it lies
	ids := idsOfAll(all)
	wantIDs(t, "the first four", p.due(table, 4, nil), ids[:4])
	wantIDs(t, "the rest", p.due(table, 1000, nil), ids[4:])
	wantIDs(t, "after that", p.due(table, 1000, nil), nil)
	if left := p.list(table, Filter{}); len(left) != 1 || left[0].Destination != "mail" {
		t.Errorf("left are %+v", left)
	}
}

func TestScheduleIsFollowedToItsEndAndThenSomebodyIsWaitedFor(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour) // one hour after parking, two after the next attempt
	p.park(table, delivery("hook", 0))
	one := []publisher.ID{delivery("hook", 0).ID}
	for _, step := range []struct {
		elapse time.Duration
		want   []publisher.ID
	}{
		{0, nil},
		{59 * time.Minute, nil},
		{2 * time.Minute, one},
		{119 * time.Minute, nil},
		{2 * time.Minute, one},
		{1000 * time.Hour, nil},
	} {
		p.elapse(step.elapse)
		wantIDs(t, "after another "+step.elapse.String(), p.due(table, 10, errDown), step.want)
	}
	left := p.list(table, Filter{})[0]
	if left.Attempts != 2 || left.Reason != errDown.Error() || !left.Next.IsZero() {
		t.Errorf("left is %+v", left)
	}
	stock, err := table.Stock(p.ctx())
	if err != nil || stock["hook"].Number != 1 || stock["hook"].Waiting != 1 || !stock["hook"].Oldest.Equal(left.ParkedAt) {
		t.Errorf("stock is %+v, %v", stock, err)
	}
}

func TestWithoutScheduleNothingIsEverDue(t *testing.T) {
	p := newPlace(t)
	table := p.table(config.Parking{})
	p.park(table, delivery("hook", 0))
	p.elapse(1000 * time.Hour)
	wantIDs(t, "due", p.due(table, 10, nil), nil)
}

func TestDestinationThatAsksForTimeGetsIt(t *testing.T) {
	p := newPlace(t)
	table := p.table(config.Parking{Schedule: []time.Duration{0, time.Second}})
	p.park(table, delivery("hook", 0))
	p.due(table, 1, notifier.Delayed(errDown, 50*time.Minute))
	p.elapse(49 * time.Minute)
	wantIDs(t, "too early", p.due(table, 1, nil), nil)
	p.elapse(2 * time.Minute)
	wantIDs(t, "in time", p.due(table, 1, nil), []publisher.ID{delivery("hook", 0).ID})
}

func TestAttemptThatWasNotMadeDoesNotCount(t *testing.T) {
	p := newPlace(t)
	table := p.table(atOnce)
	p.park(table, delivery("hook", 0))
	for range 3 {
		n, err := table.Due(p.ctx(), "hook", notifier.Share{}, 1, func(context.Context, notifier.Parked) error { return notifier.NotTried(errDown) })
		if n != 0 || err != nil {
			t.Errorf("%d count as tried: %v", n, err)
		}
	}
	if left := p.list(table, Filter{})[0]; left.Attempts != 0 || left.Reason == errDown.Error() {
		t.Errorf("left is %+v", left)
	}
	wantIDs(t, "due", p.due(table, 1, nil), []publisher.ID{delivery("hook", 0).ID})
}

func TestTwoStoresNeverTryOneDeliveryAtTheSameMoment(t *testing.T) {
	p := newPlace(t)
	const n = 120
	p.park(p.table(atOnce), deliveries("hook", n)...)
	var mu sync.Mutex
	under, tried := map[publisher.ID]bool{}, map[publisher.ID]int{}
	try := func(_ context.Context, d notifier.Parked) error {
		mu.Lock()
		if under[d.ID] {
			t.Errorf("%s is tried twice at once", d.ID)
		}
		under[d.ID] = true
		tried[d.ID]++
		mu.Unlock()
		defer func() {
			mu.Lock()
			under[d.ID] = false
			mu.Unlock()
		}()
		return nil
	}
	var stores sync.WaitGroup
	for i := range 4 {
		table := p.table(atOnce)
		stores.Go(func() {
			for got := 1; got > 0; {
				var err error
				if i == 0 {
					got, err = table.Retry(p.ctx(), Filter{Limit: 7}, try)
				} else {
					got, err = table.Due(p.ctx(), "hook", notifier.Share{}, 7, try)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	stores.Wait()
	for id, times := range tried {
		if times != 1 {
			t.Errorf("%s was tried %d times", id, times)
		}
	}
	if left := p.list(p.table(atOnce), Filter{}); len(tried) != n || len(left) != 0 {
		t.Errorf("%d of %d tried, %d left", len(tried), n, len(left))
	}
}

func TestClaimOfAKilledProcessRunsOut(t *testing.T) {
	p := newPlace(t)
	killed, other := p.table(atOnce), p.table(atOnce)
	all := deliveries("hook", 3)
	p.park(killed, all...)
	// What a killed process leaves: claims, and nothing more.
	claims, err := killed.claim(p.ctx(), "next_at <= now()", 2, map[string]any{})
	if err != nil || len(claims) != 2 {
		t.Fatalf("%d claims: %v", len(claims), err)
	}
	wantIDs(t, "while the claims hold", p.due(other, 10, nil), idsOfAll(all[2:]))
	p.elapse(leaseTime - 30*time.Second)
	wantIDs(t, "before they end", p.due(other, 10, nil), nil)
	p.elapse(time.Minute)
	wantIDs(t, "when they have run out", p.due(other, 10, errDown), idsOfAll(all[:2]))

	// Had it only been slow, it would find that the deliveries are no longer its own.
	n, err := killed.tryAll(p.ctx(), claims, func(context.Context, notifier.Parked) error {
		t.Error("what somebody else had was tried")
		return nil
	})
	if n != 0 || err != nil {
		t.Errorf("tried %d, %v", n, err)
	}
	if err := killed.failed(p.ctx(), claims[0], 9, errDown); err != nil {
		t.Error(err)
	}
	for _, e := range p.list(other, Filter{}) {
		if e.Attempts != 1 {
			t.Errorf("%s has %d attempts", e.ID, e.Attempts)
		}
	}
}

func TestAttemptEndsBeforeItsClaim(t *testing.T) {
	p := newPlace(t)
	table, other := p.table(atOnce), p.table(atOnce)
	table.lease = 300 * time.Millisecond
	p.park(table, delivery("hook", 0))
	n, err := table.Due(p.ctx(), "hook", notifier.Share{}, 1, func(ctx context.Context, _ notifier.Parked) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if n != 1 || err != nil {
		t.Fatalf("tried %d, %v", n, err)
	}
	if e := p.list(other, Filter{})[0]; e.Attempts != 1 || e.Reason != context.DeadlineExceeded.Error() {
		t.Errorf("it became %+v", e)
	}
}

func TestEndOfContextGivesDeliveriesBackUncounted(t *testing.T) {
	p := newPlace(t)
	table, other := p.table(atOnce), p.table(atOnce)
	all := deliveries("hook", 5)
	p.park(table, all...)
	ctx, cancel := context.WithCancel(p.ctx())
	calls := 0
	n, err := table.Due(ctx, "hook", notifier.Share{}, 5, func(ctx context.Context, _ notifier.Parked) error {
		if calls++; calls == 1 {
			return nil
		}
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if n != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("tried %d, %v", n, err)
	}
	for _, e := range p.list(other, Filter{}) {
		if e.Attempts != 0 || e.Reason != "status 503" {
			t.Errorf("it became %+v", e)
		}
	}
	wantIDs(t, "at once", p.due(other, 10, nil), idsOfAll(all[1:]))
}

func TestDeliveryThatArrivedAsTheContextEndedIsRemoved(t *testing.T) {
	p := newPlace(t)
	table := p.table(atOnce)
	p.park(table, delivery("hook", 0))
	ctx, cancel := context.WithCancel(p.ctx())
	n, err := table.Due(ctx, "hook", notifier.Share{}, 1, func(context.Context, notifier.Parked) error { cancel(); return nil })
	if n != 1 || err != nil {
		t.Errorf("tried %d, %v", n, err)
	}
	if left := p.list(table, Filter{}); len(left) != 0 {
		t.Errorf("left are %+v", left)
	}
}

func TestRetryTriesWhatIsSelectedOnceDueOrNot(t *testing.T) {
	p := newPlace(t)
	table := p.table(config.Parking{})
	all := deliveries("hook", claimBatch+5)
	p.park(table, all...)
	p.park(table, delivery("mail", 0), delivery("mail", 1))
	var ids []publisher.ID
	n, err := table.Retry(p.ctx(), Filter{Destination: "hook"}, func(_ context.Context, d notifier.Parked) error {
		ids = append(ids, d.ID)
		return errDown
	})
	if n != len(all) || err != nil {
		t.Errorf("tried %d, %v", n, err)
	}
	wantIDs(t, "retried", ids, idsOfAll(all))
	for _, e := range p.list(table, Filter{Limit: 3}) {
		if want := map[string]int{"hook": 1, "mail": 0}[e.Destination]; e.Attempts != want {
			t.Errorf("%+v", e)
		}
	}
	n, err = table.Retry(p.ctx(), Filter{IDs: ids[:1], Limit: 5}, func(context.Context, notifier.Parked) error { return nil })
	if n != 2 || err != nil {
		t.Errorf("retried %d of one event's two deliveries, %v", n, err)
	}
}

func TestWhatIsLeftToSomebodyIsNeverDue(t *testing.T) {
	p := newPlace(t)
	table := p.table(atOnce)
	d := delivery("hook", 0)
	d.Manual = true
	p.park(table, d)
	p.elapse(time.Hour)
	wantIDs(t, "due", p.due(table, 10, nil), nil)
	n, err := table.Retry(p.ctx(), Filter{}, func(context.Context, notifier.Parked) error { return errDown })
	if n != 1 || err != nil {
		t.Errorf("retried %d, %v", n, err)
	}
	if e := p.list(table, Filter{})[0]; !e.Manual || !e.Next.IsZero() || e.Attempts != 1 {
		t.Errorf("it became %+v", e)
	}
}

func TestSharesHoldEveryDeliveryOnceAndAKeyInOneOfThem(t *testing.T) {
	p := newPlace(t)
	table := p.table(atOnce)
	all := deliveries("hook", 90)
	for i := range all {
		all[i].Key = []byte{byte(i % 30)}
	}
	p.park(table, all...)
	shareOf, tried := make(map[string]int), 0
	for part := range 4 {
		_, err := table.Due(p.ctx(), "hook", notifier.Share{Part: part, Of: 4}, 1000, func(_ context.Context, d notifier.Parked) error {
			if first, ok := shareOf[string(d.Key)]; ok && first != part {
				t.Errorf("key %x is in shares %d and %d", d.Key, first, part)
			}
			shareOf[string(d.Key)] = part
			tried++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if tried != len(all) {
		t.Errorf("%d are tried, want %d", tried, len(all))
	}
}
