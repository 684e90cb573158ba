package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

// shaky is a Deliverer whose attempts take time and fail as its fields say.
type shaky struct {
	takes time.Duration // every attempt
	// fault is asked before each attempt with a batch. With an error, it says
	// how much of the batch is stored all the same.
	fault func(batch []publisher.Message) (stored int, err error)
	// ask answers the question whether it could deliver; nil means it could.
	ask func() error

	stored []string // keys

	mu  sync.Mutex
	log []string // what happened, confirmations included
}

func (d *shaky) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, fmt.Sprintf(format, args...))
}

func (d *shaky) Deliver(ctx context.Context, batch []publisher.Message) error {
	if d.takes > 0 {
		select {
		case <-time.After(d.takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if len(batch) == 0 {
		d.note("asked")
		if d.ask == nil {
			return nil
		}
		return d.ask()
	}
	n, err := len(batch), error(nil)
	if d.fault != nil {
		if stored, fault := d.fault(batch); fault != nil {
			n, err = stored, fault
		}
	}
	for i := range batch[:n] {
		d.stored = append(d.stored, string(batch[i].Key))
	}
	d.note("delivered %d of %d", n, len(batch))
	return err
}

func (d *shaky) Close() error { return nil }

// outputTo makes an output to d, whose log gets the confirmations and counts.
func outputTo(d *shaky, deliver publisher.Deliverer) *output {
	return &output{
		window: newWindow(64 << 10), deliver: deliver, log: slog.New(slog.DiscardHandler),
		published: func(topic, table string, n int) { d.note("published %d %s %s", n, topic, table) },
		confirmed: func(b *batch) { d.note("confirmed %v", b.commit) },
	}
}

func wantLog(t *testing.T, d *shaky, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.log, want) {
		t.Errorf("got  %q\nwant %q", d.log, want)
	}
}

func TestCommitIsConfirmedOnlyAfterItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &shaky{takes: 2 * time.Second}
		o := outputTo(d, d)
		put(o.window, "a1", "")
		put(o.window, "a2", "")
		o.window.mark(0x10)
		put(o.window, "b1", "")
		ended := make(chan error, 1)
		go func() { ended <- o.run(t.Context()) }()

		time.Sleep(3 * time.Second) // of the bubble's clock: the batch is on its way
		synctest.Wait()
		wantLog(t, d, "asked")
		put(o.window, "b2", "")
		o.window.mark(0x20)
		o.window.close()

		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantLog(t, d, "asked", "delivered 3 of 3", "published 3  ", "confirmed 0/10")
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		wantLog(t, d, "asked", "delivered 3 of 3", "published 3  ", "confirmed 0/10",
			"delivered 1 of 1", "published 1  ", "confirmed 0/20")
		if n := o.window.waiting().Bytes; n != 0 {
			t.Errorf("the window still holds %d bytes", n)
		}
	})
}

func TestCommitWithoutChangesNeedsNoDelivery(t *testing.T) {
	d := &shaky{}
	o := outputTo(d, d)
	o.window.mark(0x10)
	o.window.close()
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLog(t, d, "asked", "confirmed 0/10")
}

func TestPermanentErrorEndsTheOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusal := errors.New("message is too large")
		d := &shaky{fault: func(batch []publisher.Message) (int, error) {
			if string(batch[0].Key) == "b" {
				return 0, publisher.Permanent(refusal)
			}
			return 0, nil
		}}
		o := outputTo(d, publisher.Retry(d, time.Minute, publisher.RetryHooks{}))
		put(o.window, "a", "")
		o.window.mark(0x10)
		ended := make(chan error, 1)
		go func() { ended <- o.run(t.Context()) }()
		synctest.Wait()
		put(o.window, "b", "")
		o.window.mark(0x20)
		put(o.window, "c", "")
		o.window.wake()
		if err := <-ended; !errors.Is(err, refusal) || !publisher.IsPermanent(err) {
			t.Errorf("it ends with %v", err)
		}
		wantLog(t, d, "asked", "delivered 1 of 1", "published 1  ", "confirmed 0/10", "delivered 0 of 2")
	})
}

func TestCancelledDeliveryIsNeverAConfirmation(t *testing.T) {
	for name, wrap := range map[string]func(publisher.Deliverer) publisher.Deliverer{
		"alone":   func(d publisher.Deliverer) publisher.Deliverer { return d },
		"retried": func(d publisher.Deliverer) publisher.Deliverer { return publisher.Retry(d, 0, publisher.RetryHooks{}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &shaky{takes: time.Hour}
			o := outputTo(d, wrap(d))
			put(o.window, "a", "")
			o.window.mark(0x10)
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Minute)
			defer cancel()
			if err := o.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: it ends with %v", name, err)
			}
			wantLog(t, d, "asked")
		})
	}
}

func TestOutputEndsWithItsContextWhenNothingIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &shaky{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := outputTo(d, d).run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ends with %v", err)
		}
	})
}

func TestIdleOutputIsAskedWhetherItStillCouldDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone, asks := errors.New("no such topic"), 0
		d := &shaky{ask: func() error {
			if asks++; asks < 4 {
				return nil
			}
			return gone
		}}
		start := time.Now()
		if err := outputTo(d, d).run(t.Context()); !errors.Is(err, gone) {
			t.Errorf("it ends with %v", err)
		}
		if got := time.Since(start); asks != 4 || got != 3*probeInterval {
			t.Errorf("it is asked %d times in %v, want 4 in %v", asks, got, 3*probeInterval)
		}
	})
}

func TestRefusedOutputIsGivenNothing(t *testing.T) {
	refusal := errors.New("no right to publish")
	d := &shaky{ask: func() error { return publisher.Permanent(refusal) }}
	o := outputTo(d, d)
	put(o.window, "a", "")
	o.window.mark(0x10)
	o.window.close()
	if err := o.run(t.Context()); !errors.Is(err, refusal) {
		t.Errorf("it ends with %v", err)
	}
	wantLog(t, d, "asked")
}

func TestPublishedMessagesAreCountedByTopicAndTable(t *testing.T) {
	d := &shaky{}
	o := outputTo(d, d)
	reg := prometheus.NewPedanticRegistry()
	o.met = metrics.New(reg, "test").Output("test")
	for _, m := range []publisher.Message{
		{Topic: "t", Table: "s.a"},
		{Topic: "t", Table: "s.a"},
		{Topic: "t", Table: "s.b"},
		{Topic: "u", Table: "s.b"},
		{Topic: "t", Table: "s.a"},
	} {
		e := &publisher.Event{New: []publisher.Value{textValue("key"), textValue("0123456789")}}
		o.window.append(m, plainPlan, e)
	}
	o.window.close()
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLog(t, d, "asked", "delivered 5 of 5",
		"published 2 t s.a", "published 1 t s.b", "published 1 u s.b", "published 1 t s.a", "confirmed 0/0")
	for name, want := range map[string]float64{"walherald_batch_messages": 5, "walherald_batch_bytes": 50} {
		if got := histogramSum(t, reg, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestOldestCommitOfABatchIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &shaky{takes: 3 * time.Second}
		o := outputTo(d, d)
		reg := prometheus.NewPedanticRegistry()
		o.met = metrics.New(reg, "test").Output("test")
		now := time.Now()
		for _, age := range []time.Duration{4 * time.Second, time.Second} {
			e := &publisher.Event{New: []publisher.Value{textValue("key"), textValue("")}}
			o.window.append(publisher.Message{CommitTime: now.Add(-age).UnixMicro()}, plainPlan, e)
		}
		o.window.close()
		if err := o.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Whether it could deliver was not waited for: the window is closed.
		for name, want := range map[string]float64{"walherald_commit_to_confirm_seconds": 7, "walherald_deliver_seconds": 3} {
			if got := histogramSum(t, reg, name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

func histogramSum(t *testing.T, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetHistogram().GetSampleSum()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// The destination is slow, fails at random and then keeps part of the batch.
// Whatever it does, what it holds has no gap and no turned order, and nothing
// is confirmed before it is there.
func TestNoFaultPutsAConfirmationBeforeItsDelivery(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 2000), 1, 200).Draw(t, "sizes")
		commitEvery := rapid.IntRange(1, 20).Draw(t, "changes in a transaction")
		failPercent := rapid.IntRange(0, 90).Draw(t, "percent of attempts that fail")
		takes := rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Minute}).Draw(t, "takes")
		seed := rapid.Uint64().Draw(t, "seed")
		rapid.SyncTest(t, func(t *rapid.T) {
			d := &shaky{takes: takes, fault: faults(seed, failPercent)}
			o := outputTo(d, publisher.Retry(d, 30*time.Second+takes, publisher.RetryHooks{}))
			o.window = newWindow(4000)
			last := 0
			o.confirmed = func(b *batch) {
				if b.commit == 0 {
					return
				}
				if n := int(b.commit); n <= last || !holds(d.stored, n*commitEvery-1) {
					t.Fatalf("commit %d is confirmed after %d, with %v delivered", n, last, d.stored)
				}
				last = int(b.commit)
			}
			filled := make(chan error, 1)
			go func() { filled <- fillSizes(t.Context(), o.window, sizes, commitEvery) }()
			if err := o.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-filled; err != nil {
				t.Fatal(err)
			}
			if last != len(sizes)/commitEvery {
				t.Fatalf("commit %d is the last that was confirmed, of %d", last, len(sizes)/commitEvery)
			}
			checkNoGap(t, d.stored, len(sizes))
		})
	})
}

// faults fails an attempt, on an average, in percent of 100 cases.
func faults(seed uint64, percent int) func([]publisher.Message) (int, error) {
	return func(batch []publisher.Message) (int, error) {
		seed = seed*6364136223846793005 + 1442695040888963407
		if int((seed>>33)%100) >= percent {
			return 0, nil
		}
		return int((seed >> 40) % uint64(len(batch)+1)), errors.New("connection reset")
	}
}

func holds(stored []string, key int) bool {
	return slices.Contains(stored, strconv.Itoa(key))
}

// checkNoGap checks that the first appearances of the keys are in order.
func checkNoGap(t *rapid.T, stored []string, n int) {
	next := 0
	for _, key := range stored {
		switch k, err := strconv.Atoi(key); {
		case err != nil || k > next:
			t.Fatalf("message %s came before %d: %v", key, next, stored)
		case k == next:
			next++
		}
	}
	if next != n {
		t.Fatalf("%d of %d messages were delivered", next, n)
	}
}
