package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestConformance(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			publishertest.Run(t, func(t *testing.T) publishertest.Harness { return conformance(t, amqp.Table{"x-queue-type": kind}) })
		})
	}
}

// conformance makes the Harness of one test in the shared node.
func conformance(t *testing.T, queue amqp.Table) publishertest.Harness {
	b := newBroker(t).bind(queue)
	// RabbitMQ 3.10 has the list of its quorum queues on disk only after minutes:
	// one made just before a power cut would not come back with the node.
	control(t, "eval", "mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()].")
	read := b.reader()
	proxy, proxied := through(t)
	open := func(change func(*Config), hooks Hooks) publisher.Deliverer {
		cfg := Config{URLs: []string{proxied}, Exchange: b.exchange, Content: publisher.Content{Type: "application/json"}}
		change(&cfg)
		return New(cfg, hooks, slog.New(slog.DiscardHandler))
	}
	return publishertest.Harness{
		Topic: b.exchange + ".t",
		New:   func(*testing.T) publisher.Deliverer { return open(func(*Config) {}, Hooks{}) },
		Read:  read,
		Cut:   proxy.Cut, CutAfter: proxy.CutAfter,
		Kill:    func(t *testing.T) { fatal(t, node(t).Kill()) },
		Restart: func(t *testing.T) { fatal(t, node(t).Restart(context.Background())) },
		Refuse: func(t *testing.T) (end func()) {
			b.limit(150)
			return func() {
				b.limit(1 << 20)
				read(t) // a full quorum queue looks at its limit again when it loses messages
			}
		},
		Block: block,
		Denied: func(*testing.T) publisher.Deliverer {
			return open(func(c *Config) { c.User, c.Password = "guest", publishertest.Password }, Hooks{})
		},
		Missing: func(t *testing.T, policy string) publishertest.Missing {
			return missing(t, policy, queue, func(exchange string) publisher.Deliverer {
				return open(func(c *Config) { c.Exchange, c.Missing = exchange, policy }, Hooks{})
			})
		},
		TooLarge: testMaxMessage + 1,
		NewSkipping: func(_ *testing.T, skipped func(publisher.Message)) publisher.Deliverer {
			return open(func(c *Config) { c.SkipOversize = true }, Hooks{Skipped: skipped})
		},
		NewContent: func(_ *testing.T, content publisher.Content) publisher.Deliverer {
			return open(func(c *Config) { c.Content = content }, Hooks{})
		},
		Prefix: attributePrefix,
	}
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reader returns a function that takes what is new in the queue and returns all
// that it has taken so far.
func (b *broker) reader() func(*testing.T) []publishertest.Stored {
	var all []publishertest.Stored
	return func(t *testing.T) []publishertest.Stored {
		t.Helper()
		for _, m := range b.takeAll() {
			id, err := publisher.ParseID(m.MessageId)
			if err != nil {
				t.Fatal(err)
			}
			s := publishertest.Stored{
				ID: id, Body: m.Body, Type: m.ContentType, Encoding: m.ContentEncoding, Attributes: make(map[string]string),
			}
			for name, value := range m.Headers {
				s.Attributes[name] = fmt.Sprint(value)
			}
			all = append(all, s)
		}
		return all
	}
}

// limit makes the queue full at n messages.
func (b *broker) limit(n int) {
	b.t.Helper()
	control(b.t, "set_policy", b.exchange, "^"+regexp.QuoteMeta(b.exchange)+"$",
		fmt.Sprintf(`{"max-length":%d,"overflow":"reject-publish"}`, n), "--apply-to", "queues")
}

func control(t testing.TB, args ...string) {
	t.Helper()
	if _, err := node(t).Control(context.Background(), args...); err != nil {
		t.Fatal(err)
	}
}

func block(t *testing.T) (end func()) {
	fatal(t, node(t).Block(context.Background(), true))
	return func() { fatal(t, node(t).Block(context.Background(), false)) }
}

// missing prepares an exchange that is not there.
func missing(t *testing.T, policy string, queue amqp.Table, open func(exchange string) publisher.Deliverer) publishertest.Missing {
	b := newBroker(t)
	b.exchange += "-missing"
	m := publishertest.Missing{
		Deliverer: open(b.exchange), Topic: b.exchange + ".t", Name: b.exchange,
		Create: func(*testing.T) { b.bind(queue) },
		Read:   b.reader(),
	}
	if policy == publishertest.PolicyCreate {
		// Once it is made somebody has to bind a queue.
		m.Deliverer = &binding{m.Deliverer, func() { b.bindQueue(queue) }}
	}
	return m
}

// binding calls bind after the first attempt that failed.
type binding struct {
	publisher.Deliverer
	bind func()
}

// Deliver implements publisher.Deliverer.
func (d *binding) Deliver(ctx context.Context, batch []publisher.Message) error {
	err := d.Deliverer.Deliver(ctx, batch)
	if err != nil && d.bind != nil {
		d.bind()
		d.bind = nil
	}
	return err
}
