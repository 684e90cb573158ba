package publishertest

import (
	"fmt"
	"testing"

	"github.com/walherald/walherald/publisher"
)

const table = "public.t"

// messages makes count messages from number first on. As in every envelope the id
// is in the body, too: a destination that keeps nothing but bodies finds it there,
// as "id".
func (h *Harness) messages(first, count int) []publisher.Message {
	batch := make([]publisher.Message, count)
	for i := range batch {
		n := first + i
		batch[i] = publisher.Message{
			ID: ID(n), Writer: Writer, Topic: h.Topic, Table: table, Action: publisher.Insert,
			Key: []byte(Key(n)), Body: fmt.Appendf(nil, `{"n":%d,"key":%q,"id":%q}`, n, Key(n), ID(n)), CommitTime: int64(n),
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

// open makes a Deliverer that ends with the test.
func (h *Harness) open(t *testing.T) publisher.Deliverer {
	t.Helper()
	return Closed(t, h.New(t))
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
func expect(t testing.TB, numbers, want []int) {
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
		left[Key(n)] = append(left[Key(n)], n)
		wanted[n] = true
	}
	seen := make(map[int]bool)
	for at, n := range numbers {
		k := Key(n)
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
