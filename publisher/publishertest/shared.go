package publishertest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// What the messages of the suite and those of [Changes] have in common.
const (
	// Writer is who writes them.
	Writer = "publishertest"
	// Keys is how many keys they have: message n has that of message n+Keys.
	Keys = 7
	// BodySize is how many bytes a body of Changes has at least.
	BodySize = 200
)

// ID is the id of message n; ids sort as the numbers do.
func ID(n int) publisher.ID {
	made, err := publisher.NewID(uint64(1000+n/10), uint64(n%10), 42)
	if err != nil {
		panic(err)
	}
	return made
}

// Key is the key of message n.
func Key(n int) string { return fmt.Sprintf("key-%d", n%Keys) }

// Changes makes count messages from number first on, for tests beside the
// suite's. A body begins with its number, which [Number] reads.
func Changes(topic string, first, count int) []publisher.Message {
	batch := make([]publisher.Message, count)
	for i := range batch {
		n := first + i
		batch[i] = publisher.Message{
			ID: ID(n), Writer: Writer, Topic: topic, Table: table, Action: publisher.Insert,
			Key: []byte(Key(n)), Body: fmt.Appendf(nil, "%d %*s", n, BodySize, "."), CommitTime: int64(n) * 1e6,
		}
	}
	return batch
}

// Number is the number of a stored message of [Changes], which must have this id.
func Number(t testing.TB, body []byte, id string) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(string(body), "%d", &n); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	if want := ID(n).String(); id != want {
		t.Fatalf("message %d has id %s, want %s", n, id, want)
	}
	return n
}

// Closed closes c when the test ends, and returns it.
func Closed[C io.Closer](t testing.TB, c C) C {
	t.Helper()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// Deliver delivers a batch at the first attempt, within a minute.
func Deliver(t testing.TB, d publisher.Deliverer, batch []publisher.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := d.Deliver(ctx, batch); err != nil {
		t.Fatal(err)
	}
}

// Retrying wraps d as the service does and counts the attempts that fail.
func Retrying(d publisher.Deliverer, failed *int) publisher.Deliverer {
	return publisher.Retry(d, timeout, publisher.RetryHooks{
		Failed: func(error, *publisher.Message, time.Duration) { *failed++ },
	})
}

// ExpectOrder wants the messages below count and no others to be stored, the
// first occurrences of each key's in order, and returns how many are repeats.
func ExpectOrder(t testing.TB, numbers []int, count int) (repeats int) {
	t.Helper()
	expect(t, numbers, below(count))
	return len(numbers) - count
}

// ExpectPermanent wants an error that ends the retries and says all of the words.
func ExpectPermanent(t testing.TB, err error, words ...string) {
	t.Helper()
	if !publisher.IsPermanent(err) {
		t.Fatalf("got %v, want a permanent error", err)
	}
	ExpectWords(t, err, words...)
}

// ExpectTemporary wants an error that is worth another attempt and says all of
// the words.
func ExpectTemporary(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil || publisher.IsPermanent(err) {
		t.Fatalf("got %v, want a temporary error", err)
	}
	ExpectWords(t, err, words...)
}

// ExpectWords wants an error that says all of the words.
func ExpectWords(t testing.TB, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
}

// ExpectFinding wants one finding of this severity and path that says all of
// the words, in what was found or in the remedy.
func ExpectFinding(t testing.TB, found []config.Finding, s config.Severity, path string, words ...string) {
	t.Helper()
	for _, f := range found {
		text := f.What + "\n" + f.Remedy
		if f.Severity == s && f.Path == path && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return
		}
	}
	t.Errorf("no finding %q of %s says %q; found:\n%+v", s, path, words, found)
}
