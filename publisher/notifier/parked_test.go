package notifier

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

func TestParkedNotificationsAreTriedAgainUntilTheyAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{answer: failing(publisher.Permanent(errors.New("answers 400")))}, &fakeStore{}
		d := destination(s, store, nil)
		deliver(t, d, messages(3, oneKey))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { d.Run(ctx); close(ended) }()
		time.Sleep(time.Second)
		if s.count() != 6 || len(store.ids()) != 3 {
			t.Fatalf("%d requests, parked %v", s.count(), store.ids())
		}
		s.mu.Lock()
		s.answer = nil
		s.mu.Unlock()
		time.Sleep(parkedPause)
		if got := s.order()[6:]; !slices.Equal(got, []int{1, 2, 3}) || len(store.ids()) != 0 {
			t.Errorf("sent %v, parked %v", got, store.ids())
		}
		stop()
		<-ended
	})
}

func TestParkedNotificationIsNotTriedWhileTheCircuitIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{answer: failing(errUnavailable)}, &fakeStore{}
		d := destination(s, store, nil)
		deliver(t, d, messages(10, ownKeys))
		tried := s.count()
		if n, err := d.look(t.Context(), Share{}); n != 0 || err != nil || s.count() != tried {
			t.Errorf("%d are tried with %d requests: %v", n, s.count()-tried, err)
		}
		if err := d.Retry(t.Context(), store.parked[0]); !IsNotTried(err) {
			t.Errorf("the error is %v, which counts as an attempt", err)
		}
	})
}

func TestParkedNotificationsAreLeftAloneDuringALongPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{answer: failing(Delayed(errUnavailable, time.Hour))}, &fakeStore{}
		d := destination(s, store, nil)
		deliver(t, d, messages(3, ownKeys))
		if n, err := d.look(t.Context(), Share{}); n != 0 || err != nil {
			t.Errorf("%d are looked at: %v", n, err)
		}
		time.Sleep(time.Hour)
		if n, err := d.look(t.Context(), Share{}); n != 3 || err != nil {
			t.Errorf("%d are looked at after the pause: %v", n, err)
		}
	})
}

func TestSlotThatAParkedOneTakesCostsNoTimeOfADelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := &fakeSender{takes: 20 * time.Second}, &fakeStore{}
		d := destination(s, store, func(c *config.Destination) { c.Concurrency = 1 }) // and 30 s for a delivery
		retried := make(chan error, 1)
		go func() { retried <- d.Retry(t.Context(), Parked{Delivery: Delivery{ID: id(9)}}) }()
		synctest.Wait()
		deliver(t, d, messages(1, oneKey))
		if err := <-retried; err != nil || !slices.Equal(s.order(), []int{9, 1}) || len(store.ids()) > 0 {
			t.Errorf("sent %v, parked %v: %v", s.order(), store.ids(), err)
		}
	})
}
