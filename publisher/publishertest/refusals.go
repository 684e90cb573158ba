package publishertest

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walherald/walherald/publisher"
)

// attemptTimeout is that of an attempt where the destination may be silent.
const attemptTimeout = 5 * time.Second

// refusedAreNotPassed lets the destination refuse until three attempts have
// failed.
func refusedAreNotPassed(t *testing.T, h Harness) {
	const batches, size = 20, 100
	d := h.open(t)
	Deliver(t, d, h.messages(0, size))
	end := sync.OnceFunc(h.Refuse(t))
	defer end()
	failed := 0
	d = publisher.Retry(d, attemptTimeout, publisher.RetryHooks{Failed: func(error, *publisher.Message, time.Duration) {
		if failed++; failed == 3 {
			end()
		}
	}})
	for b := range batches {
		Deliver(t, d, h.messages((b+1)*size, size))
	}
	if failed == 0 {
		t.Error("no attempt has failed: the test shows nothing")
	}
	expect(t, h.numbers(t), below((batches+1)*size))
}

// blockedIsWaitedFor blocks the destination for half of the time before a
// delivery that is cancelled, and as long before one that is not.
func blockedIsWaitedFor(t *testing.T, h Harness) {
	const size = 100
	d := h.open(t)
	Deliver(t, d, h.messages(0, size))
	end := sync.OnceFunc(h.Block(t))
	defer end()
	failed := 0
	patient := publisher.Retry(d, 0, publisher.RetryHooks{Failed: func(err error, _ *publisher.Message, _ time.Duration) {
		if failed++; failed == 1 {
			t.Logf("told while blocked: %v", err)
		}
	}})
	if err := whileBlocked(t, patient, h.messages(size, size), true, func() {}); err == nil || publisher.IsPermanent(err) {
		t.Fatalf("a delivery that was blocked and cancelled ends with %v", err)
	}
	if err := whileBlocked(t, patient, h.messages(size, size), false, end); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d attempts have failed", failed)
	Deliver(t, patient, h.messages(2*size, size))
	expect(t, h.numbers(t), below(3*size))
}

// whileBlocked delivers for half of -walherald.block, in which it must not come
// to an end; then cancels or calls then, and returns how the delivery ended.
func whileBlocked(t *testing.T, d publisher.Deliverer, batch []publisher.Message, cancelled bool, then func()) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), *blockFor+timeout)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.Deliver(ctx, batch) }()
	blocked := time.NewTimer(*blockFor / 2)
	defer blocked.Stop()
	select {
	case err := <-ended:
		t.Fatalf("a delivery to a blocked destination has ended: %v", err)
	case <-blocked.C:
	}
	then()
	if cancelled {
		cancel()
	}
	soon := time.NewTimer(timeout)
	defer soon.Stop()
	select {
	case err := <-ended:
		return err
	case <-soon.C:
		t.Fatal("a delivery goes on after the block, or its context, has ended")
		return nil
	}
}

func deniedEndsRetries(t *testing.T, h Harness) {
	d := Closed(t, h.Denied(t))
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	for _, batch := range [][]publisher.Message{nil, h.messages(0, 10)} {
		err := d.Deliver(ctx, batch)
		if !publisher.IsPermanent(err) {
			t.Fatalf("refused credentials: %v, want a permanent error", err)
		}
		if strings.Contains(err.Error(), Password) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

// missing prepares a destination without its topic, and the Harness of it.
func (h *Harness) missing(t *testing.T, policy string) (Missing, Harness) {
	t.Helper()
	m := h.Missing(t, policy)
	Closed(t, m.Deliverer)
	of := *h
	of.Topic, of.Read = m.Topic, m.Read
	return m, of
}

func missingIsCreated(t *testing.T, h Harness) {
	m, h := h.missing(t, PolicyCreate)
	failed := 0
	Deliver(t, Retrying(m.Deliverer, &failed), h.messages(0, 100))
	expect(t, h.numbers(t), below(100))
}

func missingIsWaitedFor(t *testing.T, h Harness) {
	m, h := h.missing(t, PolicyWait)
	failed := 0
	d := publisher.Retry(m.Deliverer, attemptTimeout, publisher.RetryHooks{Failed: func(err error, _ *publisher.Message, _ time.Duration) {
		failed++
		if failed <= 2 && !strings.Contains(err.Error(), m.Name) {
			t.Errorf("the error does not name %s: %v", m.Name, err)
		}
		if failed == 2 {
			m.Create(t)
		}
	}})
	Deliver(t, d, h.messages(0, 100))
	if failed < 2 {
		t.Errorf("%d attempts have failed, want 2 until the topic is there", failed)
	}
	expect(t, h.numbers(t), below(100))
}

func missingEndsRetries(t *testing.T, h Harness) {
	m, h := h.missing(t, PolicyStop)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	failed := 0
	err := Retrying(m.Deliverer, &failed).Deliver(ctx, h.messages(0, 100))
	if !publisher.IsPermanent(err) || !strings.Contains(err.Error(), m.Name) {
		t.Errorf("got %v, want a permanent error that names %s", err, m.Name)
	}
}

// withOversize makes a batch in which message large is too large.
func (h *Harness) withOversize(size, large int) []publisher.Message {
	batch := h.messages(0, size)
	body := append(batch[large].Body[:len(batch[large].Body)-1], `,"fill":"`...)
	for len(body) < h.TooLarge-2 {
		body = append(body, 'a'+byte(len(body)*7919%26))
	}
	batch[large].Body = append(body, `"}`...)
	return batch
}

func oversizeStops(t *testing.T, h Harness) {
	const size, large = 50, 23
	d := h.open(t)
	batch := h.withOversize(size, large)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	failed := 0
	err := Retrying(d, &failed).Deliver(ctx, batch)
	if !publisher.IsPermanent(err) {
		t.Fatalf("got %v, want a permanent error", err)
	}
	if !strings.Contains(err.Error(), table) || !saysSize(err.Error(), len(batch[large].Body)) {
		t.Errorf("the error does not say table %s and about %d bytes: %v", table, len(batch[large].Body), err)
	}
	if keyed := (interface{ MessageKey() []byte })(nil); strings.Contains(err.Error(), string(batch[large].Key)) && !errors.As(err, &keyed) {
		t.Errorf("the error does not say that it names a key, which is data of a row: %v", err)
	}
	stored := h.numbers(t)
	for _, n := range stored {
		if n == large {
			t.Fatalf("message %d of %d bytes is stored: it is not too large", n, len(batch[large].Body))
		}
	}
	for n := large + Keys; n < size; n += Keys { // of the same key
		for _, s := range stored {
			if s == n {
				t.Errorf("message %d has passed message %d, which is refused", n, large)
			}
		}
	}
	expect(t, without(stored, func(n int) bool { return n > large }), below(large))
}

// saysSize reports whether text holds a number of bytes of the size's body and
// what stands beside it.
func saysSize(text string, size int) bool {
	const beside = 4096
	for _, digits := range regexp.MustCompile(`\d+`).FindAllString(text, -1) {
		if n, err := strconv.Atoi(digits); err == nil && n >= size && n <= size+beside {
			return true
		}
	}
	return false
}

// without returns the numbers that drop is false for.
func without(numbers []int, drop func(int) bool) []int {
	var kept []int
	for _, n := range numbers {
		if !drop(n) {
			kept = append(kept, n)
		}
	}
	return kept
}

func oversizeIsSkipped(t *testing.T, h Harness) {
	const size, large = 50, 23
	var skipped []publisher.ID
	d := Closed(t, h.NewSkipping(t, func(m publisher.Message) { skipped = append(skipped, m.ID) }))
	Deliver(t, d, h.withOversize(size, large))
	Deliver(t, d, h.messages(size, size))
	if len(skipped) != 1 || skipped[0] != ID(large) {
		t.Errorf("told to be skipped are %v, want %v alone", skipped, ID(large))
	}
	expect(t, h.numbers(t), without(below(2*size), func(n int) bool { return n == large }))
}
