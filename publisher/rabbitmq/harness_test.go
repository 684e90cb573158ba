package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/internal/faultproxy"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

const (
	// testTimeout bounds what a test waits for.
	testTimeout = time.Minute
	// testMaxMessage is the node's limit of a body in bytes.
	testMaxMessage = 64 << 10
)

// changes makes the messages of the changes from first on, n of them, those of a
// key with one routing key.
func changes(exchange string, first, n int) []publisher.Message {
	batch := publishertest.Changes("", first, n)
	for i := range batch {
		batch[i].Topic = fmt.Sprintf("%s.t%d", exchange, (first+i)%publishertest.Keys%3)
	}
	return batch
}

// broker is an exchange and a queue of one test, in the shared node.
type broker struct {
	t        testing.TB
	url      string // of the node
	exchange string
	conn     *amqp.Connection
	ch       *amqp.Channel
}

// newBroker makes a name for the test and connects to the node. Its exchanges
// and queues end with the test.
func newBroker(t testing.TB) *broker {
	t.Helper()
	return newBrokerNamed(t, strings.NewReplacer("/", "-", "#", "-").Replace(t.Name()))
}

func newBrokerNamed(t testing.TB, name string) *broker {
	t.Helper()
	b := &broker{t: t, url: node(t).URL(), exchange: name}
	b.connect()
	t.Cleanup(func() {
		if b.conn.IsClosed() {
			b.connect()
		}
		for _, cleanup := range []func() error{
			func() error { return b.ch.ExchangeDelete(b.exchange, false, false) },
			func() error { _, err := b.ch.QueueDelete(b.exchange, false, false, false); return err },
			b.conn.Close,
		} {
			if err := cleanup(); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	})
	return b
}

func (b *broker) connect() {
	b.t.Helper()
	var err error
	if b.conn, err = amqp.Dial(b.url); err != nil {
		b.t.Fatal(err)
	}
	if b.ch, err = b.conn.Channel(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *broker) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// bind makes the exchange and a queue that takes everything of it.
func (b *broker) bind(args amqp.Table) *broker {
	b.t.Helper()
	b.must(b.ch.ExchangeDeclare(b.exchange, amqp.ExchangeTopic, true, false, false, false, nil))
	return b.bindQueue(args)
}

func (b *broker) bindQueue(args amqp.Table) *broker {
	b.t.Helper()
	_, err := b.ch.QueueDeclare(b.exchange, true, false, false, false, args)
	b.must(err)
	b.must(b.ch.QueueBind(b.exchange, "#", b.exchange, false, nil))
	return b
}

// take takes one message out of the queue; ok is false if it is empty.
func (b *broker) take() (m amqp.Delivery, ok bool) {
	b.t.Helper()
	if b.conn.IsClosed() {
		b.connect()
	}
	m, ok, err := b.ch.Get(b.exchange, true)
	b.must(err)
	return m, ok
}

// takeAll takes all messages out of the queue.
func (b *broker) takeAll() []amqp.Delivery {
	b.t.Helper()
	var all []amqp.Delivery
	for {
		m, ok := b.take()
		if !ok {
			return all
		}
		all = append(all, m)
	}
}

// numbers returns the numbers of changes and checks their ids.
func numbers(t testing.TB, stored []amqp.Delivery) []int {
	t.Helper()
	var out []int
	for _, m := range stored {
		out = append(out, publishertest.Number(t, m.Body, m.MessageId))
	}
	return out
}

// open makes a Publisher for the exchange that ends with the test; change may
// alter it.
func (b *broker) open(change ...func(*Publisher)) *Publisher {
	b.t.Helper()
	p := New(Config{URLs: []string{b.url}, Exchange: b.exchange}, Hooks{}, slog.New(slog.DiscardHandler))
	for _, c := range change {
		c(p)
	}
	return publishertest.Closed(b.t, p)
}

// through puts a proxy before the node.
func through(t testing.TB) (proxy *faultproxy.Proxy, url string) {
	t.Helper()
	proxy, err := faultproxy.Listen(node(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	return publishertest.Closed(t, proxy), "amqp://" + proxy.Addr()
}

// mustFail wants an error that is permanent or not and holds all the texts.
func mustFail(t testing.TB, p *Publisher, batch []publisher.Message, permanent bool, texts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	err := p.Deliver(ctx, batch)
	if err == nil || publisher.IsPermanent(err) != permanent || ctx.Err() != nil {
		t.Fatalf("got %v, permanent %v; want permanent %v", err, publisher.IsPermanent(err), permanent)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

// awaitEnd waits until the session has noticed that its connection is gone.
func awaitEnd(t testing.TB, p *Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	for !p.session.over() {
		if err := publisher.Sleep(ctx, time.Millisecond); err != nil {
			t.Fatal("session does not notice its end")
		}
	}
}
