package publishertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/walherald/walherald/publisher"
)

const (
	writer = "publishertest"
	table  = "public.t"
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

// messages makes count messages from number first on. As in every envelope the id
// is in the body, too: a destination that keeps nothing but bodies finds it there,
// as "id".
func (h *Harness) messages(first, count int) []publisher.Message {
	batch := make([]publisher.Message, count)
	for i := range batch {
		n := first + i
		batch[i] = publisher.Message{
			ID: id(n), Writer: writer, Topic: h.Topic, Table: table, Action: publisher.Insert,
			Key: []byte(key(n)), Body: fmt.Appendf(nil, `{"n":%d,"key":%q,"id":%q}`, n, key(n), id(n)), CommitTime: int64(n),
		}
	}
	return batch
}

// bodies is how many bytes the bodies of a batch have.
func bodies(batch []publisher.Message) (sum int) {
	for i := range batch {
		sum += len(batch[i].Body)
	}
	return sum
}

// number returns the number of a stored message.
func number(t *testing.T, s Stored) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(string(s.Body), `{"n":%d,`, &n); err != nil {
		t.Fatalf("body %q: %v", s.Body, err)
	}
	return n
}

// numbers reads the numbers of the stored messages and checks all else in them.
func (h *Harness) numbers(t *testing.T) []int {
	t.Helper()
	var numbers []int
	for _, s := range h.Read(t) {
		n := number(t, s)
		want := h.messages(n, 1)[0]
		if string(s.Body) != string(want.Body) || s.ID != want.ID || (s.Key != nil && string(s.Key) != string(want.Key)) {
			t.Fatalf("message %d is stored as %v %q %q", n, s.ID, s.Key, s.Body)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// closed closes d when the test ends.
func closed(t *testing.T, d publisher.Deliverer) publisher.Deliverer {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// open makes a Deliverer that ends with the test.
func (h *Harness) open(t *testing.T) publisher.Deliverer {
	t.Helper()
	return closed(t, h.New(t))
}

func deliver(t *testing.T, d publisher.Deliverer, batch []publisher.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := d.Deliver(ctx, batch); err != nil {
		t.Fatal(err)
	}
}

// retried wraps d as the service does and counts the attempts that fail.
func retried(d publisher.Deliverer, failed *int) publisher.Deliverer {
	return publisher.Retry(d, timeout, publisher.RetryHooks{
		Failed: func(error, *publisher.Message, time.Duration) { *failed++ },
	})
}

// below returns the numbers 0 to count-1.
func below(count int) []int {
	all := make([]int, count)
	for n := range all {
		all[n] = n
	}
	return all
}

// expect wants these messages and no others to be stored, however often, the
// first occurrences of each key's in order.
func expect(t *testing.T, numbers, want []int) {
	t.Helper()
	if err := compare(numbers, want); err != nil {
		t.Fatal(err)
	}
}

// compare is the judgement of expect.
func compare(numbers, want []int) error {
	left := make(map[string][]int) // of each key, in order
	wanted := make(map[int]bool)
	for _, n := range want {
		left[key(n)] = append(left[key(n)], n)
		wanted[n] = true
	}
	seen := make(map[int]bool)
	for at, n := range numbers {
		k := key(n)
		switch {
		case seen[n]:
		case !wanted[n]:
			return fmt.Errorf("message %d of %s is stored, at place %d", n, k, at)
		case n != left[k][0]:
			return fmt.Errorf("message %d of %s comes before %d, at place %d", n, k, left[k][0], at)
		default:
			seen[n], left[k] = true, left[k][1:]
		}
	}
	for k, missing := range left {
		if len(missing) > 0 {
			return fmt.Errorf("%d messages of %s are missing, the first is %d", len(missing), k, missing[0])
		}
	}
	return nil
}
