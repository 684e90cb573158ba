package notifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

func TestDeliveriesOfAKeyFollowEachOtherAndOthersGoSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSender{takes: time.Second}
		start := time.Now()
		deliver(t, destination(s, nil, nil), messages(30, threeKeys))
		if took := time.Since(start); took != 10*time.Second || s.most != 3 {
			t.Errorf("30 deliveries of 3 keys take %v, %d at once; want 10 s, 3 at once", took, s.most)
		}
		last := make(map[int]int)
		for _, n := range s.order() {
			if n < last[n%3] {
				t.Errorf("%d comes after %d", n, last[n%3])
			}
			last[n%3] = n
		}
	})
}

func TestNoMoreRequestsThanConcurrencyAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, order := range []string{config.OrderKey, config.OrderNone} {
			s := &fakeSender{takes: time.Second}
			deliver(t, destination(s, nil, func(c *config.Destination) { c.Order = order }), messages(40, ownKeys))
			if s.most != 8 || s.count() != 40 {
				t.Errorf("order %s: %d requests, %d at once; want 40, 8 at once", order, s.count(), s.most)
			}
		}
	})
}

func TestRequestsOfSeveralEventsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSender{takes: time.Second}
		deliver(t, destination(s, nil, func(c *config.Destination) { c.Batch = 10 }), messages(25, ownKeys))
		if got := s.order(); s.count() != 3 || s.most != 1 || !slices.IsSorted(got) || len(got) != 25 {
			t.Errorf("%d requests, %d at once, with %v", s.count(), s.most, got)
		}
	})
}

func TestAttemptsAndPausesAreThoseConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{answer: failing(errUnavailable)}, &fakeStore{}
		start := time.Now()
		deliver(t, destination(s, store, nil), messages(1, oneKey))
		var at []time.Duration
		for _, r := range s.sent {
			at = append(at, r.at.Sub(start))
		}
		if want := []time.Duration{0, time.Second, 3 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("attempts at %v, want %v", at, want)
		}
		if p := store.parked; len(p) != 1 || p[0].Reason != "3 attempts: answers 503 Service Unavailable" || p[0].Destination != "crm" ||
			p[0].Rule != "first" || string(p[0].Payload) != "payload 1" {
			t.Errorf("parked: %+v", p)
		}
	})
}

func TestRefusalIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{answer: failing(publisher.Permanent(errors.New("answers 404")))}, &fakeStore{}
		start := time.Now()
		deliver(t, destination(s, store, nil), messages(100, ownKeys))
		if s.count() != 100 || len(store.parked) != 100 || time.Since(start) != 0 {
			t.Errorf("%d requests in %v, %d parked; want 100 at once, each parked, and no circuit that opens", s.count(), time.Since(start), len(store.parked))
		}
	})
}

func TestNextOfAKeyWaitsForTheAttemptsOfTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := 0
		s := &fakeSender{answer: func(ds []Delivery) error {
			if ordinal(ds[0].ID) == 2 && failed < 2 {
				failed++
				return errUnavailable
			}
			return nil
		}}
		deliver(t, destination(s, nil, nil), messages(4, oneKey))
		if got, want := s.order(), []int{1, 2, 2, 2, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
	})
}

func TestRetryAfterIsHonouredByTheWholeDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		s := &fakeSender{answer: func([]Delivery) error {
			if first {
				first = false
				return Delayed(errors.New("answers 429"), 10*time.Second)
			}
			return nil
		}}
		start := time.Now()
		d := destination(s, &fakeStore{}, func(c *config.Destination) { c.Concurrency = 1 })
		deliver(t, d, messages(3, ownKeys))
		for i, r := range s.sent[1:] {
			if after := r.at.Sub(start); after < 10*time.Second {
				t.Errorf("request %d comes after %v", i+2, after)
			}
		}
	})
}

func TestOfSeveralPausesTheLongestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSender{takes: time.Second} // so that both are under way at once
		s.answer = func(ds []Delivery) error {
			switch ordinal(ds[0].ID) {
			case 1:
				return Delayed(errUnavailable, 20*time.Second)
			case 2:
				time.Sleep(time.Second) // its answer comes after that of the other one
				return Delayed(errUnavailable, time.Second)
			}
			return nil
		}
		store := &fakeStore{}
		d := destination(s, store, func(c *config.Destination) { c.MaxAttempts = 1 })
		start := time.Now()
		deliver(t, d, messages(2, ownKeys))
		deliver(t, d, messages(3, ownKeys)[2:])
		if after := s.sent[2].at.Sub(start); after != 21*time.Second {
			t.Errorf("the next request comes after %v", after)
		}
	})
}

func TestRetryAfterBeyondTheTimeBudgetParksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{answer: failing(Delayed(errUnavailable, time.Hour))}, &fakeStore{}
		start := time.Now()
		deliver(t, destination(s, store, nil), messages(50, oneKey))
		if s.count() != 1 || len(store.parked) != 50 || time.Since(start) != 0 {
			t.Errorf("%d requests in %v, %d parked; want 1 at once, and all 50 parked", s.count(), time.Since(start), len(store.parked))
		}
	})
}

func TestTimeBudgetBoundsADelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{takes: time.Hour}, &fakeStore{}
		start := time.Now()
		deliver(t, destination(s, store, func(c *config.Destination) { c.MaxAttempts = 100 }), messages(1, oneKey))
		if took := time.Since(start); took != 30*time.Second || len(store.parked) != 1 {
			t.Errorf("takes %v, %d parked", took, len(store.parked))
		}
	})
}

func TestDestinationThatIsDownIsNotTriedWhileItsCircuitIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := false
		s, store := &fakeSender{}, &fakeStore{}
		s.answer = func([]Delivery) error {
			if up {
				return nil
			}
			return errUnavailable
		}
		d := destination(s, store, nil)
		// 8 at once fail, each after 3 attempts; some begin anew before the fifth has failed,
		// and what still sleeps then makes no third one.
		deliver(t, d, messages(100, ownKeys))
		tried, start := s.count(), time.Now()
		if tried < 21 || tried > 28 || len(store.parked) != 100 {
			t.Fatalf("%d requests and %d parked before the circuit is open, want 21 to 28 and 100", tried, len(store.parked))
		}
		deliver(t, d, messages(1000, ownKeys))
		if s.count() != tried || time.Since(start) != 0 || len(store.parked) != 1100 {
			t.Errorf("%d requests in %v while it is open, %d parked", s.count()-tried, time.Since(start), len(store.parked))
		}
		if text := store.parked[1000].Reason; !strings.Contains(text, "503") {
			t.Errorf("the reason does not tell the last failure: %s", text)
		}
		up = true
		time.Sleep(31 * time.Second)
		deliver(t, d, messages(1, ownKeys))
		deliver(t, d, messages(10, ownKeys))
		if s.count() != tried+11 || len(store.parked) != 1100 {
			t.Errorf("%d requests after it is up again, %d parked", s.count()-tried, len(store.parked))
		}
	})
}

func TestWhatWasNeverSentShowsNothingOfADestinationThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mistake := Unsent(publisher.Permanent(errors.New("template: there is no field x")))
		s := &fakeSender{answer: func(ds []Delivery) error {
			if ordinal(ds[0].ID)%2 == 0 {
				return mistake
			}
			return errUnavailable
		}}
		d := destination(s, &fakeStore{}, func(c *config.Destination) { c.Concurrency, c.MaxAttempts = 1, 1 })
		deliver(t, d, messages(9, ownKeys))
		if !d.down() {
			t.Fatal("five failures with mistakes of a template between them do not open the circuit")
		}
		time.Sleep(31 * time.Second)
		deliver(t, d, messages(2, ownKeys)[1:])
		if state := d.breaker.State(); state != gobreaker.StateHalfOpen {
			t.Errorf("after a mistake of a template the circuit is %v", state)
		}
	})
}

func TestHeldNotificationHoldsItsKeyAndIsTriedUntilItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := false
		s := &fakeSender{}
		s.answer = func(ds []Delivery) error {
			if !up && ordinal(ds[0].ID) == 2 {
				return publisher.Permanent(errors.New("answers 400 Bad Request"))
			}
			return nil
		}
		d := destination(s, nil, func(c *config.Destination) { c.OnFailure = config.OnFailureHold })
		batch := messages(6, func(i int) string { return fmt.Sprint(i % 2) })
		err := d.Deliver(t.Context(), batch)
		if err == nil || publisher.IsPermanent(err) || !strings.Contains(err.Error(), "400") {
			t.Fatalf("the error is %v, want one that can be mended", err)
		}
		sent := s.order()
		slices.Sort(sent)
		if want := []int{1, 2, 3, 5}; !slices.Equal(sent, want) {
			t.Errorf("sent %v, want %v: what comes after 2 waits", sent, want)
		}
		up = true
		deliver(t, d, batch)
		if got, want := s.order()[4:], []int{2, 4, 6}; !slices.Equal(got, want) {
			t.Errorf("then sent %v, want %v", got, want)
		}
	})
}

// Events can be read again, and rules then select others between the same two.
func TestAnotherBatchIsNotTakenForTheOneThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSender{answer: func(ds []Delivery) error {
			if ordinal(ds[0].ID) == 1 {
				return errUnavailable
			}
			return nil
		}}
		d := destination(s, nil, func(c *config.Destination) { c.OnFailure = config.OnFailureHold })
		all := messages(4, ownKeys)
		if err := d.Deliver(t.Context(), []publisher.Message{all[0], all[1], all[3]}); err == nil {
			t.Fatal("nothing is held")
		}
		s.answer = nil
		deliver(t, d, []publisher.Message{all[0], all[2], all[3]})
		if !slices.Contains(s.order(), 3) {
			t.Errorf("sent are %v, and never 3", s.order())
		}
	})
}

func TestNothingIsLostOrRepeatedWhereParkingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{}, &fakeStore{broken: errors.New("no room")}
		s.answer = func(ds []Delivery) error {
			if ordinal(ds[0].ID)%2 == 0 {
				return publisher.Permanent(errors.New("answers 400"))
			}
			return nil
		}
		d := destination(s, store, nil)
		batch := messages(6, ownKeys)
		for range 3 {
			if err := d.Deliver(t.Context(), batch); err == nil || publisher.IsPermanent(err) || !strings.Contains(err.Error(), "no room") {
				t.Fatalf("the error is %v", err)
			}
		}
		store.broken = nil
		deliver(t, d, batch)
		if got, want := store.ids(), []int{2, 4, 6}; s.count() != 6 || !slices.Equal(got, want) {
			t.Errorf("%d requests, want 6; parked %v, want %v", s.count(), got, want)
		}
	})
}

func TestParkingThatRefusesHoldsInsteadOfEndingTheService(t *testing.T) {
	store := &fakeStore{broken: publisher.Permanent(errors.New("the record is too large"))}
	d := destination(&fakeSender{answer: failing(publisher.Permanent(errors.New("answers 400")))}, store, nil)
	err := d.Deliver(t.Context(), messages(1, oneKey))
	if err == nil || publisher.IsPermanent(err) || !strings.Contains(err.Error(), "the record is too large") {
		t.Errorf("the error is %v, want one that is tried again and says why", err)
	}
	store.broken = nil
	deliver(t, d, messages(1, oneKey))
	if got := store.ids(); !slices.Equal(got, []int{1}) {
		t.Errorf("parked %v", got)
	}
}

func TestDroppedNotificationsHoldNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSender{answer: failing(publisher.Permanent(errors.New("answers 400")))}
		deliver(t, destination(s, nil, func(c *config.Destination) { c.OnFailure = config.OnFailureDrop }), messages(3, oneKey))
		if s.count() != 3 {
			t.Errorf("%d requests", s.count())
		}
	})
}

func TestEventThatCannotBeJudgedIsParkedWithItsReason(t *testing.T) {
	s, store := &fakeSender{}, &fakeStore{}
	batch := messages(2, oneKey)
	batch[0].Body = append(appendFrame(nil, 1, "when: cannot compare"), "payload"...)
	deliver(t, destination(s, store, nil), batch)
	if len(store.parked) != 1 || store.parked[0].Reason != "when: cannot compare" || store.parked[0].Rule != "second" || !store.parked[0].Manual || s.count() != 1 {
		t.Errorf("parked %+v, %d requests", store.parked, s.count())
	}
}

func TestLimitsAreKeptAndWhatWouldWaitTooLongIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{}, &fakeStore{}
		wait := 10 * time.Second
		start := time.Now()
		d := destination(s, store, func(c *config.Destination) { c.MaxWait = &wait }, rate.NewLimiter(1, 1))
		deliver(t, d, messages(100, ownKeys))
		if took := time.Since(start); took != wait || s.count() != 11 || len(store.parked) != 89 {
			t.Errorf("%d requests in %v, %d parked; want 11 in 10 s and 89", s.count(), took, len(store.parked))
		}
	})
}

func TestAttemptThatGetsNoTurnLeavesTheFailureOfTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		d := destination(&fakeSender{answer: failing(errUnavailable)}, store, func(c *config.Destination) {
			c.Circuit.Failures = 1
		}, rate.NewLimiter(.02, 1)) // a turn every 50 s, and 30 s for a delivery
		deliver(t, d, messages(1, oneKey))
		if reason := store.parked[0].Reason; !strings.Contains(reason, errUnavailable.Error()) || !strings.Contains(reason, "1 attempts, and no turn") {
			t.Errorf("the reason is %q", reason)
		}
		if !d.down() {
			t.Error("it does not count as a failure")
		}
	})
}

func TestLimitWithoutMaxWaitParksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{}, &fakeStore{}
		start := time.Now()
		deliver(t, destination(s, store, nil, rate.NewLimiter(10, 1)), messages(1001, ownKeys))
		if took := time.Since(start).Round(time.Second); took != 100*time.Second || s.count() != 1001 || len(store.parked) != 0 {
			t.Errorf("%d requests in %v, %d parked", s.count(), took, len(store.parked))
		}
	})
}

func TestOfAKeyTheLastNotificationInItsWindowIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSender{}
		d := destination(s, nil, func(c *config.Destination) { c.Coalesce = time.Minute })
		start := time.Now()
		deliver(t, d, messages(1, oneKey))
		if time.Since(start) != 0 {
			t.Error("one that comes alone waits")
		}
		deliver(t, d, messages(30, threeKeys))
		got := s.order()[1:]
		slices.Sort(got)
		if want := []int{28, 29, 30}; !slices.Equal(got, want) || time.Since(start) != time.Minute {
			t.Errorf("sent %v after %v, want %v", got, time.Since(start), want)
		}
	})
}

func TestWaitForTheIntervalIsNoWaitForATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{}, &fakeStore{}
		d := destination(s, store, func(c *config.Destination) { c.Type, c.Coalesce = config.DestinationSlack, 5*time.Minute }) // maxWait is a minute
		deliver(t, d, messages(1, oneKey))
		deliver(t, d, messages(2, oneKey))
		if got := s.order(); !slices.Equal(got, []int{1, 2}) || len(store.ids()) > 0 {
			t.Errorf("sent %v, parked %v", got, store.ids())
		}
	})
}

func TestStopEndsEveryWait(t *testing.T) {
	for name, begin := range map[string]func() *Destination{
		"request": func() *Destination { return destination(&fakeSender{takes: time.Hour}, &fakeStore{}, nil) },
		"backoff": func() *Destination {
			return destination(&fakeSender{answer: failing(errUnavailable)}, &fakeStore{}, nil)
		},
		"limit": func() *Destination { return destination(&fakeSender{}, &fakeStore{}, nil, rate.NewLimiter(.01, 1)) },
		"coalescing": func() *Destination {
			d := destination(&fakeSender{}, &fakeStore{}, func(c *config.Destination) { c.Coalesce = time.Hour })
			d.gather = time.Now()
			return d
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer stop()
			start := time.Now()
			if err := begin().Deliver(ctx, messages(20, ownKeys)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 500*time.Millisecond {
				t.Errorf("%s: ends after %v with %v", name, time.Since(start), err)
			}
		})
	}
}

func FuzzFramesAreTakenApartWithoutPanic(f *testing.F) {
	f.Add(append(appendFrame(nil, 300, "why"), "payload"...), 301)
	f.Add([]byte{0, 0x80}, 1)
	f.Fuzz(func(t *testing.T, b []byte, rules int) {
		rules = max(rules, 0)
		got, err := parseFrame(b, rules)
		if err == nil && (got.rule < 0 || got.rule >= rules) {
			t.Errorf("rule %d of %d", got.rule, rules)
		}
	})
}
