package nats

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// tailing runs Tail of topic cdc until the test ends and returns what it emits.
func tailing(t *testing.T, url string, from publisher.Start) <-chan publisher.Received {
	t.Helper()
	return publishertest.Tailing(t, func(ctx context.Context, emit func(publisher.Received) error) error {
		return Tail(ctx, Config{URLs: []string{url}, Topic: "cdc"}, from, emit)
	})
}

func TestTailFromTheOldestGivesAllInOrderThroughALostConnection(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	p, _ := open(t, ModeFast, []string{url}, func(p *Publisher) { p.beside = newBeside(binary) })
	publishertest.Deliver(t, p, changes(0, 1000))
	proxy, proxied := through(t, url)
	got := tailing(t, proxied, publisher.StartOldest)
	for n := range 2000 {
		switch n {
		case 700:
			proxy.Cut()
		case 1000:
			publishertest.Deliver(t, p, changes(1000, 1000))
		}
		r, want := publishertest.Next(t, got), changes(n, 1)[0]
		if string(r.Body) != string(want.Body) || r.Topic != want.Topic || r.Encoding != "gzip" || r.Stored.IsZero() {
			t.Fatalf("message %d is %+v", n, r)
		}
		if a := r.Attributes[len(r.Attributes)-1]; a.Name != "ce-type" || a.Value != "walherald.insert" {
			t.Fatalf("message %d has the attributes %v", n, r.Attributes)
		}
	}
}

func TestTailFromNowPassesOverWhatIsThere(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	p, _ := open(t, ModeFast, []string{url})
	const old = 500
	publishertest.Deliver(t, p, changes(0, old))
	got := tailing(t, url, publisher.StartNow)
	next := old
	var first publisher.Received
	for first.Body == nil { // until it has begun
		publishertest.Deliver(t, p, changes(next, 1))
		next++
		select {
		case first = <-got:
		default:
		}
	}
	n := old
	for string(first.Body) != string(changes(n, 1)[0].Body) {
		if n++; n == next {
			t.Fatalf("first is %q", first.Body)
		}
	}
	for n++; n < next; n++ {
		if r := publishertest.Next(t, got); string(r.Body) != string(changes(n, 1)[0].Body) {
			t.Fatalf("got %q where change %d is next", r.Body, n)
		}
	}
}

func TestTailEndsWithTheErrorOfItsReader(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	p, _ := open(t, ModeFast, []string{url})
	publishertest.Deliver(t, p, changes(0, 3))
	full := errors.New("full")
	err := Tail(t.Context(), Config{URLs: []string{url}, Topic: "cdc"}, publisher.StartOldest, func(publisher.Received) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestTailOfAStreamThatIsMissingSaysSo(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	err := Tail(t.Context(), Config{URLs: []string{url}, Topic: "cdc"}, publisher.StartOldest, func(publisher.Received) error { return nil })
	if !errors.Is(err, jetstream.ErrStreamNotFound) || !strings.Contains(err.Error(), "stream cdc") {
		t.Errorf("got %v", err)
	}
}
