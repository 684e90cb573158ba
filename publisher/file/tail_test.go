package file

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/walherald/walherald/publisher"
)

// tailing runs Tail until the test ends and returns what it emits.
func tailing(t *testing.T, path string, from publisher.Start) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- Tail(ctx, Config{Path: path}, from, func(r publisher.Received) error {
			select {
			case got <- r.Topic + " " + string(r.Body):
			case <-ctx.Done():
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("tail ends with %v", err)
		}
	})
	return got
}

func expectLine(t *testing.T, got <-chan string, path string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	select {
	case l := <-got:
		if want := path + " " + string(line(n)); l != want {
			t.Fatalf("got %q, want %q", l, want)
		}
	case <-ctx.Done():
		t.Fatalf("line %d does not come", n)
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
		mustDeliver(t, f, lines(n, 1))
		expectLine(t, got, path, n)
	}
}

func TestTailLosesNoLineThatCameJustBeforeRotation(t *testing.T) {
	path := inFolder(t)
	f, _ := open(t, path)
	got := tailing(t, path, publisher.StartOldest)
	mustDeliver(t, f, lines(0, 1))
	expectLine(t, got, path, 0) // what is renamed before it is looked at is not of this file
	n := 1
	for range 20 {
		mustDeliver(t, f, lines(n, 10))
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		mustDeliver(t, f, lines(n+10, 1))
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
	mustDeliver(t, f, []publisher.Message{{Body: long}, {Body: line(1)}})
	got := tailing(t, path, publisher.StartOldest)
	if l := <-got; l != path+" "+string(long) {
		t.Errorf("got %d bytes", len(l))
	}
	expectLine(t, got, path, 1)
}
