package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestTailGivesWhatIsPublishedFromNowOn(t *testing.T) {
	for _, kind := range []string{"topic", "fanout", "direct"} {
		t.Run(kind, func(t *testing.T) {
			b := newBroker(t)
			b.must(b.ch.ExchangeDeclare(b.exchange, kind, true, false, false, false, nil))
			cfg := Config{URLs: []string{b.url}, Exchange: b.exchange, Kind: kind}
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			var got []string
			ended := make(chan error, 1)
			topics := []string{b.exchange + ".t0", b.exchange + ".t1", b.exchange + ".t2", b.exchange + ".*"}
			go func() {
				ended <- Tail(ctx, cfg, topics, publisher.StartNow, func(r publisher.Received) error {
					got = append(got, fmt.Sprintf("%s %s %d", r.Topic, r.Body[:2], len(r.Attributes)))
					if len(got) == 20 {
						cancel()
					}
					return nil
				})
			}()
			// Until the tail has bound its queue, nothing takes the first message.
			failed := 0
			p := b.open(func(p *Publisher) { p.cfg.Kind = kind })
			batch := changes(b.exchange, 10, 20)
			publishertest.Deliver(t, publisher.Retry(p, testTimeout, publisher.RetryHooks{Failed: func(error, *publisher.Message, time.Duration) { failed++ }}), batch)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			seen := make(map[string]bool)
			for _, g := range got {
				seen[g] = true
			}
			for i, m := range batch {
				if want := fmt.Sprintf("%s %d 5", m.Topic, 10+i); !seen[want] {
					t.Errorf("%q is missing in %q", want, got)
				}
			}
		})
	}
}

func TestTailEndsWithTheErrorOfItsReader(t *testing.T) {
	b := newBroker(t)
	b.must(b.ch.ExchangeDeclare(b.exchange, amqp.ExchangeTopic, true, false, false, false, nil))
	full := errors.New("disk full")
	ended := make(chan error, 1)
	cfg := Config{URLs: []string{b.url}, Exchange: b.exchange}
	go func() {
		ended <- Tail(t.Context(), cfg, nil, publisher.StartNow, func(publisher.Received) error { return full })
	}()
	failed := 0
	publishertest.Deliver(t, publishertest.Retrying(b.open(), &failed), changes(b.exchange, 0, 1))
	if err := <-ended; !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestTailSaysWhatItCannotRead(t *testing.T) {
	b := newBroker(t)
	cfg := Config{URLs: []string{b.url}, Exchange: b.exchange}
	direct := cfg
	direct.Kind = "direct"
	none := func(publisher.Received) error { return nil }
	if err := Tail(t.Context(), cfg, nil, publisher.StartOldest, none); !errors.Is(err, errNothingKept) {
		t.Errorf("from the oldest: %v", err)
	}
	if err := Tail(t.Context(), direct, []string{"a.*"}, publisher.StartNow, none); err == nil {
		t.Error("a direct exchange without routing keys is read")
	}
	if err := Tail(t.Context(), cfg, nil, publisher.StartNow, none); code(err) != amqp.NotFound {
		t.Errorf("missing exchange: %v", err)
	}
}
