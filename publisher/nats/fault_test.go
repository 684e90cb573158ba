package nats

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/faultproxy"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// withCuts delivers batches, each with a cut planned somewhere in it, and wants
// the stream to hold everything once. plan is given a random number below 1.
func withCuts(t *testing.T, mode string, plan func(proxy *faultproxy.Proxy, at float64)) {
	url := natsserver.InProcess(t).ClientURL()
	makeStream(t, url, streamFor(mode))
	proxy, proxied := through(t, url)
	p, _ := open(t, mode, []string{proxied})
	failed := 0
	d := publishertest.Retrying(p, &failed)
	publishertest.Deliver(t, d, nil)
	random := rand.New(rand.NewPCG(1, 2))
	const cuts, size = 20, 300
	for round := range cuts {
		plan(proxy, random.Float64())
		publishertest.Deliver(t, d, changes(round*size, size))
	}
	if failed < cuts {
		t.Errorf("%d attempts have failed, want one for each of %d cuts", failed, cuts)
	}
	expectExactly(t, stored(t, url), cuts*size)
}

func TestBatchCutAnywhereIsStoredOnceAndInOrder(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		withCuts(t, mode, func(proxy *faultproxy.Proxy, at float64) {
			proxy.CutAfter(int64(at * 300 * publishertest.BodySize))
		})
	})
}

// The server has stored it and we do not know.
func TestLostConfirmationsCauseNoRepeats(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		const bytes = 100 // fewer than the acknowledgements of a batch have
		withCuts(t, mode, func(proxy *faultproxy.Proxy, at float64) {
			proxy.CutRepliesAfter(int64(at * bytes))
		})
	})
}

// load delivers batches until it is told to end.
type load struct {
	confirmed chan int // how many changes are confirmed, after each batch
	end       chan struct{}
	ended     chan error
}

func startLoad(t *testing.T, d publisher.Deliverer, size int) *load {
	l := &load{confirmed: make(chan int), end: make(chan struct{}), ended: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	go func() {
		defer close(l.confirmed)
		for n := 0; ; n += size {
			if err := d.Deliver(ctx, changes(n, size)); err != nil {
				l.ended <- err
				return
			}
			select {
			case l.confirmed <- n + size:
			case <-l.end:
				l.confirmed <- n + size
				l.ended <- nil
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range l.confirmed {
		}
	})
	return l
}

// next waits until another n batches are confirmed; the load is then in the
// middle of the one after them.
func (l *load) next(t *testing.T, n int) (confirmed int) {
	t.Helper()
	for range n {
		var ok bool
		if confirmed, ok = <-l.confirmed; !ok {
			t.Fatal(<-l.ended)
		}
	}
	return confirmed
}

// stop ends the load after its current batch.
func (l *load) stop(t *testing.T) (confirmed int) {
	t.Helper()
	close(l.end)
	for n := range l.confirmed {
		confirmed = n
	}
	if err := <-l.ended; err != nil {
		t.Fatal(err)
	}
	return confirmed
}

func TestServerKilledUnderLoadLosesNothingConfirmedAndRepeatsNothing(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		server := natsserver.ForTest(t, natsserver.Options{})
		makeStream(t, server.URL(), streamFor(mode))
		p, _ := open(t, mode, []string{server.URL()})
		failed := 0
		l := startLoad(t, publishertest.Retrying(p, &failed), 500)
		for round := range 5 {
			confirmed := l.next(t, 5+round)
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := len(stored(t, server.URL())); got < confirmed {
				t.Fatalf("stream holds %d changes after a kill, %d were confirmed", got, confirmed)
			}
		}
		confirmed := l.stop(t)
		if failed == 0 {
			t.Error("no attempt has failed: the test shows nothing")
		}
		expectExactly(t, stored(t, server.URL()), confirmed)
	})
}

// As after walherald itself was killed, with the log's position behind the stream's.
func TestNewPublisherLeavesOutWhatTheStreamHolds(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		url := natsserver.InProcess(t).ClientURL()
		makeStream(t, url, streamFor(mode))
		first, _ := open(t, mode, []string{url})
		publishertest.Deliver(t, first, changes(0, 500))
		second, told := open(t, mode, []string{url})
		for n := 200; n < 800; n += 70 {
			publishertest.Deliver(t, second, changes(n, min(70, 800-n)))
		}
		if told.held != 300 {
			t.Errorf("%d messages are told of as held, want 300", told.held)
		}
		expectExactly(t, stored(t, url), 800)
	})
}

// Positions of another slot or timeline say nothing of ours.
func TestAnotherWritersPositionLeavesNothingOut(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		url := natsserver.InProcess(t).ClientURL()
		makeStream(t, url, streamFor(mode))
		p, told := open(t, mode, []string{url})
		other := changes(0, 500)
		for i := range other {
			other[i].Writer = "writer-b"
		}
		publishertest.Deliver(t, p, other)
		// One batch in which the writer changes, with ids that were there before.
		publishertest.Deliver(t, p, append(other[490:], changes(0, 100)...))
		if told.held != 10 {
			t.Errorf("%d messages are told of as held, want the 10 of the first writer", told.held)
		}
		expectExactly(t, stored(t, url), 100)
	})
}

func TestServerThatIsNotThereYetIsWaitedFor(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		url := natsserver.InProcess(t).ClientURL()
		makeStream(t, url, streamFor(mode))
		proxy, proxied := through(t, url)
		proxy.Refuse(true)
		p, _ := open(t, mode, []string{proxied})
		if err := p.Deliver(t.Context(), nil); err == nil || publisher.IsPermanent(err) {
			t.Fatalf("ping of a server that is not there: %v", err)
		}
		d := publisher.Retry(p, 0, publisher.RetryHooks{Failed: func(error, *publisher.Message, time.Duration) { proxy.Refuse(false) }})
		publishertest.Deliver(t, d, changes(0, 10))
		expectExactly(t, stored(t, url), 10)
	})
}

// A server that is gone without a sign: nothing fails, nothing comes.
func TestServerThatStopsAnsweringIsNoticedAndRiddenOut(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		url := natsserver.InProcess(t).ClientURL()
		makeStream(t, url, streamFor(mode))
		proxy, proxied := through(t, url)
		p, _ := open(t, mode, []string{proxied}, func(p *Publisher) { p.stall = 300 * time.Millisecond })
		publishertest.Deliver(t, p, changes(0, 10))
		proxy.Blackhole(true)
		attempts := 0
		d := publisher.Retry(p, 0, publisher.RetryHooks{Failed: func(error, *publisher.Message, time.Duration) {
			if attempts++; attempts == 3 { // in mid-batch, and with a new session that gets no answer
				proxy.Blackhole(false)
			}
		}})
		// More than the buffers on the way take, so that writing itself blocks.
		const n = 40_000
		publishertest.Deliver(t, d, changes(10, n))
		if attempts < 3 {
			t.Errorf("%d attempts have failed, want 3", attempts)
		}
		expectExactly(t, stored(t, url), 10+n)
	})
}

func TestCancelledContextIsNeverADelivery(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		url := natsserver.InProcess(t).ClientURL()
		makeStream(t, url, streamFor(mode))
		p, _ := open(t, mode, []string{url})
		publishertest.Deliver(t, p, changes(0, 10))
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		for name, batch := range map[string][]publisher.Message{"new": changes(10, 10), "held": changes(0, 10), "empty": nil} {
			if err := p.Deliver(cancelled, batch); err == nil || publisher.IsPermanent(err) {
				t.Errorf("%s batch with a cancelled context: %v", name, err)
			}
		}
		publishertest.Deliver(t, p, changes(10, 10))
		expectExactly(t, stored(t, url), 20)
	})
}
