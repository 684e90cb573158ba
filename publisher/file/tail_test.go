package file

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// tailing runs Tail until the test ends and returns what it emits.
func tailing(t *testing.T, path string, from publisher.Start) <-chan publisher.Received {
	t.Helper()
	return publishertest.Tailing(t, func(ctx context.Context, emit func(publisher.Received) error) error {
		return Tail(ctx, Config{Path: path}, from, emit)
	})
}

func expectLine(t *testing.T, got <-chan publisher.Received, path string, n int) {
	t.Helper()
	if r := publishertest.Next(t, got); r.Topic != path || string(r.Body) != string(line(n)) {
		t.Fatalf("got %q of %s, want %q of %s", r.Body, r.Topic, line(n), path)
	}
}

func TestTailFromTheOldestFollowsThroughRotation(t *testing.T) {
	path := inFolder(t)
	got := tailing(t, path, publisher.StartOldest) // before there is a file
	f, _ := open(t, path)
	for n := range 6 {
		if n == 3 {
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
		}
		publishertest.Deliver(t, f, lines(n, 1))
		expectLine(t, got, path, n)
	}
}

func TestTailLosesNoLineThatCameJustBeforeRotation(t *testing.T) {
	path := inFolder(t)
	f, _ := open(t, path)
	got := tailing(t, path, publisher.StartOldest)
	publishertest.Deliver(t, f, lines(0, 1))
	expectLine(t, got, path, 0) // what is renamed before it is looked at is not of this file
	n := 1
	for range 20 {
		publishertest.Deliver(t, f, lines(n, 10))
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		publishertest.Deliver(t, f, lines(n+10, 1))
		// Two rotations faster than it looks would lose the one in between.
		for end := n + 11; n < end; n++ {
			expectLine(t, got, path, n)
		}
	}
}

func TestTailFromNowPassesOverWhatIsThere(t *testing.T) {
	path := inFolder(t)
	write(t, path, text(5)+`{"n":`) // the last is being written
	tail := &tail{path: path}
	if err := tail.begin(publisher.StartNow); err != nil {
		t.Fatal(err)
	}
	defer tail.close()
	if tail.at != int64(len(text(5))) {
		t.Errorf("begins at %d, want %d", tail.at, len(text(5)))
	}
}

func TestTailEndsWithTheErrorOfItsReader(t *testing.T) {
	path := inFolder(t)
	write(t, path, text(5))
	full := errors.New("full")
	err := Tail(t.Context(), Config{Path: path}, publisher.StartOldest, func(publisher.Received) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestTailReadsLinesLongerThanItsBuffer(t *testing.T) {
	path := inFolder(t)
	long := make([]byte, 300<<10)
	for i := range long {
		long[i] = 'x'
	}
	f, _ := open(t, path)
	publishertest.Deliver(t, f, []publisher.Message{{Body: long}, {Body: line(1)}})
	got := tailing(t, path, publisher.StartOldest)
	if r := publishertest.Next(t, got); string(r.Body) != string(long) {
		t.Errorf("got %d bytes", len(r.Body))
	}
	expectLine(t, got, path, 1)
}
