package parking

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// topicBroker keeps what it is given, unless it has an error to give first. As
// real brokers it leaves out what is not after the writer's last message.
type topicBroker struct {
	t      *testing.T
	mu     sync.Mutex
	err    error
	last   map[string]publisher.ID
	bodies [][]byte
}

// Deliver implements publisher.Deliverer.
func (b *topicBroker) Deliver(_ context.Context, batch []publisher.Message) error {
	if !b.mu.TryLock() {
		b.t.Error("a deliverer has two callers at once")
		return nil
	}
	defer b.mu.Unlock()
	if err := b.err; err != nil {
		b.err = nil
		return err
	}
	for _, m := range batch {
		if m.Topic != "alerts.parked" || m.ID.Compare(b.last[m.Writer]) <= 0 {
			continue
		}
		if b.last == nil {
			b.last = make(map[string]publisher.ID)
		}
		b.last[m.Writer] = m.ID
		b.bodies = append(b.bodies, bytes.Clone(m.Body))
	}
	return nil
}

// Close implements publisher.Deliverer.
func (b *topicBroker) Close() error { return nil }

func TestTopicHoldsEveryDeliveryWithAllOfIt(t *testing.T) {
	b := &topicBroker{t: t}
	topic := NewTopic(b, "alerts.parked")
	topic.now = func() time.Time { return time.UnixMicro(1_800_000_000_000_001) }
	ds := []notifier.Parked{delivery("mail", 2), delivery("hook", 1), delivery("mail", 0), delivery("hook", 0), delivery("mail", 2)}
	ds[1].Key, ds[1].Payload, ds[1].Manual = nil, []byte("no JSON \xff"), true
	ds[2].Key = []byte("\xff")
	ds[3].Payload = []byte("{\"a\": \"<\",\n \"a\": 1.0}")
	if err := topic.Park(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
	if err := topic.Park(t.Context(), ds[3:4]); err != nil { // of an earlier event than the last one
		t.Fatal(err)
	}
	want := []notifier.Parked{ds[3], ds[1], ds[2], ds[0], ds[3]}
	if len(b.bodies) != len(want) {
		t.Fatalf("the topic has %d messages", len(b.bodies))
	}
	for i, body := range b.bodies {
		got, err := ParseRecord(body)
		if err != nil {
			t.Fatal(err)
		}
		if !got.ParkedAt.Equal(topic.now()) {
			t.Errorf("parked at %v", got.ParkedAt)
		}
		got.ParkedAt = time.Time{}
		if !reflect.DeepEqual(got, want[i]) {
			t.Errorf("got  %+v\nwant %+v", got, want[i])
		}
	}
}

func TestTopicThatTakesNothingKeepsTheDeliveryHeld(t *testing.T) {
	b := &topicBroker{t: t, err: errDown}
	topic := NewTopic(b, "alerts.parked")
	if err := topic.Park(t.Context(), deliveries("hook", 2)); !errors.Is(err, errDown) {
		t.Fatalf("got %v", err)
	}
	if err := topic.Park(t.Context(), deliveries("hook", 2)); err != nil || len(b.bodies) != 2 {
		t.Errorf("the topic has %d messages, %v", len(b.bodies), err)
	}
	if n, err := topic.Due(t.Context(), "hook", notifier.Share{}, 1, nil); n != 0 || err != nil {
		t.Errorf("%d are due, %v", n, err)
	}
}

func TestTopicIsGivenOneBatchAtATime(t *testing.T) {
	b := &topicBroker{t: t}
	topic := NewTopic(b, "alerts.parked")
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			if err := topic.Park(t.Context(), []notifier.Parked{delivery("hook", n)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(b.bodies) != 20 {
		t.Errorf("the topic has %d messages", len(b.bodies))
	}
	topic.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := topic.Park(ctx, deliveries("hook", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestMessageOfSomebodyElseIsNoRecord(t *testing.T) {
	for _, body := range []string{``, `null`, `[]`, `{}`, `{"format":"walherald.parked.v2","destination":"d"}`, `{"format":"walherald.parked.v1"}`} {
		if p, err := ParseRecord([]byte(body)); err == nil {
			t.Errorf("%s became %+v", body, p)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`1`), []byte(`{"a":1}`), "status 500")
	f.Add([]byte(nil), []byte("\xff"), "\x00\xff")
	f.Add([]byte(` 1`), []byte(`null`), "")
	f.Fuzz(func(t *testing.T, key, payload []byte, reason string) {
		want := delivery("hook", 1)
		want.Key, want.Payload, want.Reason = key, payload, reason
		body, err := appendRecord(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRecord(body)
		if err != nil || !bytes.Equal(got.Key, key) || !bytes.Equal(got.Payload, payload) || got.ID != want.ID {
			t.Errorf("got %+v, %v from %s", got, err, body)
		}
		// Neither does anything else make it fail in another way than by an error.
		_, _ = ParseRecord(payload)
	})
}
