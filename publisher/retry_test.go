package publisher

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// attempts is a Deliverer that does at each attempt what a function says.
type attempts struct {
	do     func(ctx context.Context, n int) error // n counts from 1
	made   []time.Time
	gave   [][]Message
	closed int
}

func (a *attempts) Deliver(ctx context.Context, batch []Message) error {
	a.made = append(a.made, time.Now())
	a.gave = append(a.gave, batch)
	return a.do(ctx, len(a.made))
}

func (a *attempts) Close() error {
	a.closed++
	return nil
}

// failing fails the first n attempts.
func failing(n int, err error) func(context.Context, int) error {
	return func(_ context.Context, attempt int) error {
		if attempt <= n {
			return err
		}
		return nil
	}
}

var errReset = errors.New("connection reset")

func TestRetryTriesUntilTheBatchIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 10_000 // more than a day
		a := &attempts{do: failing(failures, errReset)}
		batch := bodies("a", "b")
		var pauses []time.Duration
		succeeded := 0
		d := Retry(a, 0, RetryHooks{
			Failed: func(err error, first *Message, again time.Duration) {
				if !errors.Is(err, errReset) || first != &batch[0] {
					t.Errorf("Failed is told %v of %v", err, first)
				}
				pauses = append(pauses, again)
			},
			Succeeded: func() { succeeded++ },
		})
		if err := d.Deliver(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if len(a.made) != failures+1 || len(pauses) != failures || succeeded != 1 {
			t.Errorf("%d attempts, %d told as failed, %d as succeeded", len(a.made), len(pauses), succeeded)
		}
		for i, gave := range a.gave {
			if !reflect.DeepEqual(gave, batch) {
				t.Fatalf("attempt %d is given %v", i, gave)
			}
		}
		for i, pause := range pauses {
			if got := a.made[i+1].Sub(a.made[i]); got != pause {
				t.Fatalf("pause %d lasts %v, told was %v", i, got, pause)
			}
		}
	})
}

// Pauses vary by half, so that many processes do not come back at once.
func TestPausesGrowToTheirLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pauses []time.Duration
		d := Retry(&attempts{do: failing(200, errReset)}, 0, RetryHooks{
			Failed: func(_ error, _ *Message, again time.Duration) { pauses = append(pauses, again) },
		})
		if err := d.Deliver(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if first := pauses[0]; first < retryFirst/2 || first > retryFirst*3/2 {
			t.Errorf("the first pause is %v", first)
		}
		late := pauses[100:]
		if low, high := slices.Min(late), slices.Max(late); low < retryMax/2 || high > retryMax*3/2 {
			t.Errorf("the later pauses are from %v to %v", low, high)
		}
	})
}

func TestEveryDeliveryBeginsWithShortPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last time.Duration
		a := &attempts{do: func(_ context.Context, n int) error {
			if n == 100 || n == 102 {
				return nil
			}
			return errReset
		}}
		d := Retry(a, 0, RetryHooks{Failed: func(_ error, _ *Message, again time.Duration) { last = again }})
		for range 2 {
			if err := d.Deliver(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		if last > retryFirst*3/2 {
			t.Errorf("after a success the first pause is %v", last)
		}
	})
}

func TestRetryStopsAtAPermanentError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := fmt.Errorf("publish: %w", Permanent(errors.New("no such topic")))
		a := &attempts{do: func(_ context.Context, n int) error {
			if n < 3 {
				return errReset
			}
			return refused
		}}
		failed := 0
		d := Retry(a, time.Minute, RetryHooks{
			Failed: func(_ error, first *Message, _ time.Duration) {
				if failed++; first == nil {
					t.Error("Failed is told of no message")
				}
			},
			Succeeded: func() { t.Error("a refusal is told as a success") },
		})
		if err := d.Deliver(t.Context(), bodies("a")); err != refused {
			t.Errorf("got %v", err)
		}
		if len(a.made) != 3 || failed != 2 {
			t.Errorf("%d attempts, %d told as to be made again", len(a.made), failed)
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	blocked := func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return fmt.Errorf("publish: %w", ctx.Err())
	}
	failed := func(context.Context, int) error { return errReset }
	for name, tt := range map[string]struct {
		do    func(context.Context, int) error
		after time.Duration
		again bool // other attempts come before
	}{
		"before it begins":    {blocked, 0, false},
		"during an attempt":   {blocked, time.Second, false},
		"between two of them": {failed, time.Hour, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &attempts{do: tt.do}
			ctx, cancel := context.WithTimeout(t.Context(), tt.after)
			defer cancel()
			start, told := time.Now(), 0
			hooks := RetryHooks{Failed: func(error, *Message, time.Duration) { told++ }}
			err := Retry(a, 0, hooks).Deliver(ctx, bodies("a"))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got %v", name, err)
			}
			if got := time.Since(start); got != tt.after || len(a.made) > 1 != tt.again || told > 0 != tt.again {
				t.Errorf("%s: it takes %v and %d attempts, of which %d are to be made again", name, got, len(a.made), told)
			}
		})
	}
}

func TestEachAttemptHasItsOwnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 7 * time.Second
		a := &attempts{do: func(ctx context.Context, n int) error {
			if n == 3 {
				return nil
			}
			start := time.Now()
			<-ctx.Done()
			if got := time.Since(start); got != timeout {
				t.Errorf("attempt %d is given up after %v", n, got)
			}
			return ctx.Err()
		}}
		if err := Retry(a, timeout, RetryHooks{}).Deliver(t.Context(), bodies("a")); err != nil {
			t.Error(err)
		}
		if len(a.made) != 3 {
			t.Errorf("%d attempts", len(a.made))
		}
	})
}

func TestNoTimeoutMeansNone(t *testing.T) {
	a := &attempts{do: func(ctx context.Context, _ int) error {
		if deadline, ok := ctx.Deadline(); ok {
			return Permanent(fmt.Errorf("there is a deadline: %v", deadline))
		}
		return nil
	}}
	if err := Retry(a, 0, RetryHooks{}).Deliver(context.WithoutCancel(t.Context()), nil); err != nil {
		t.Error(err)
	}
}

func TestEmptyBatchHasNoFirstMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		d := Retry(&attempts{do: failing(1, errReset)}, 0, RetryHooks{Failed: func(_ error, first *Message, _ time.Duration) {
			if told++; first != nil {
				t.Errorf("first is %v", first)
			}
		}})
		if err := d.Deliver(t.Context(), nil); err != nil || told != 1 {
			t.Errorf("got %v, told %d times", err, told)
		}
	})
}

func TestCloseIsPassedOn(t *testing.T) {
	a := &attempts{}
	if err := Retry(a, 0, RetryHooks{}).Close(); err != nil || a.closed != 1 {
		t.Errorf("got %v, closed %d times", err, a.closed)
	}
}
