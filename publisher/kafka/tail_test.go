package kafka

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/kafkaserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// tailing runs Tail until the test ends and returns what it emits.
func tailing(t *testing.T, cfg Config, prefix string, from publisher.Start) <-chan publisher.Received {
	t.Helper()
	return publishertest.Tailing(t, func(ctx context.Context, emit func(publisher.Received) error) error {
		return Tail(ctx, cfg, prefix, from, emit)
	})
}

func TestTailReadsWhatConsumersGet(t *testing.T) {
	s, proxy := behindProxy(t, kafkaserver.Options{})
	for _, topic := range []string{"cdc.a", "cdc.b", "other"} {
		makeTopic(t, s.AdminAddr(), topic, 2)
	}
	content := publisher.Content{Type: "application/json", Encoding: "gzip"}
	cfg := Config{Addresses: []string{proxy.Addr()}, Content: content, MissingTopic: MissingCreate, Compression: "zstd"}
	p := open(t, cfg, Hooks{})
	d := publisher.Retry(p, 0, publisher.RetryHooks{})
	const size = 50
	publishertest.Deliver(t, p, publishertest.Changes("other", 0, size))
	publishertest.Deliver(t, p, publishertest.Changes("cdc.a", size, size))
	publishertest.Deliver(t, p, publishertest.Changes("cdc.b", 2*size, size))

	all := tailing(t, cfg, "cdc.", publisher.StartOldest)
	got := make(map[int]publisher.Received)
	for range 2 * size {
		r := publishertest.Next(t, all)
		var n int
		if _, err := fmt.Sscanf(string(r.Body), "%d", &n); err != nil {
			t.Fatal(err)
		}
		got[n] = r
	}
	for n := size; n < 3*size; n++ {
		r, m := got[n], publishertest.Changes("", n, 1)[0]
		topic := map[bool]string{true: "cdc.a", false: "cdc.b"}[n < 2*size]
		if r.Topic != topic || string(r.Key) != string(m.Key) || r.Encoding != "gzip" || time.Since(r.Stored) > time.Hour ||
			len(r.Attributes) != 7 || r.Attributes[0] != (publisher.Attribute{Name: publisher.AttrID, Value: m.ID.String()}) {
			t.Fatalf("change %d is read as %+v", n, r)
		}
	}

	// It goes on after a cut, and finds topics that are new.
	proxy.Cut()
	publishertest.Deliver(t, d, publishertest.Changes("cdc.a", 3*size, 1))
	publishertest.Deliver(t, d, publishertest.Changes("cdc.new", 3*size+1, 1))
	for range 2 {
		if r := publishertest.Next(t, all); r.Topic != "cdc.a" && r.Topic != "cdc.new" {
			t.Errorf("read from %s", r.Topic)
		}
	}
}

func TestTailFromNowLeavesOutWhatWasBefore(t *testing.T) {
	c := fakes(t, 2, 3)
	cfg := Config{Addresses: c.ListenAddrs()}
	p := open(t, cfg, Hooks{})
	publishertest.Deliver(t, p, publishertest.Changes("t", 0, 100))
	now := tailing(t, cfg, "t", publisher.StartNow)
	// When it has begun is not known: changes are made until one is read.
	for n := 100; ; n++ {
		publishertest.Deliver(t, p, publishertest.Changes("t", n, 1))
		select {
		case r := <-now:
			var got int
			if _, err := fmt.Sscanf(string(r.Body), "%d", &got); err != nil || got < 100 {
				t.Errorf("change %d is read: %v", got, err)
			}
			return
		default:
		}
		if n == 100_000 {
			t.Fatal("nothing is read")
		}
	}
}

func TestTailEndsWithTheErrorOfEmit(t *testing.T) {
	c := fakes(t, 1, 1)
	cfg := Config{Addresses: c.ListenAddrs()}
	publishertest.Deliver(t, open(t, cfg, Hooks{}), publishertest.Changes("t", 0, 10))
	want := fmt.Errorf("full")
	n := 0
	err := Tail(bounded(t), cfg, "t", publisher.StartOldest, func(publisher.Received) error {
		if n++; n == 3 {
			return want
		}
		return nil
	})
	if err != want || n != 3 {
		t.Errorf("Tail ended with %v after %d", err, n)
	}
}
