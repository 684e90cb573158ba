package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestLostConfirmsRepeatAtMostOneMessageOfEachKey(t *testing.T) {
	b := newBroker(t).bind(nil)
	proxy, url := through(t)
	p := b.open(func(p *Publisher) { p.cfg.URLs = []string{url} })
	publishertest.Deliver(t, p, changes(b.exchange, 0, 70))
	proxy.CutRepliesAfter(100) // the broker has stored more than it could say
	failed := 0
	publishertest.Deliver(t, publishertest.Retrying(p, &failed), changes(b.exchange, 70, 700))
	if failed != 1 {
		t.Errorf("%d attempts have failed, want 1", failed)
	}
	if repeats := publishertest.ExpectOrder(t, numbers(t, b.takeAll()), 770); repeats > publishertest.Keys {
		t.Errorf("%d messages are repeated, want %d at most", repeats, publishertest.Keys)
	}
}

func TestConfirmedMessagesOfAFailedBatchAreNotRepeated(t *testing.T) {
	b := newBroker(t).bind(amqp.Table{"x-max-length": 40, "x-overflow": "reject-publish"})
	p := b.open()
	var all []int
	failed := 0
	d := publisher.Retry(p, testTimeout, publisher.RetryHooks{Failed: func(err error, _ *publisher.Message, _ time.Duration) {
		failed++
		if !errors.Is(err, errNotTaken) || !strings.Contains(err.Error(), "reject-publish") {
			t.Errorf("a full queue is told as %v", err)
		}
		all = append(all, numbers(t, b.takeAll())...) // the consumer catches up
	}})
	publishertest.Deliver(t, d, changes(b.exchange, 0, 250))
	all = append(all, numbers(t, b.takeAll())...)
	if repeats := publishertest.ExpectOrder(t, all, 250); repeats != 0 || failed == 0 {
		t.Errorf("%d repeats after %d refusals", repeats, failed)
	}
}

func TestCancelledBatchGoesOnWithoutRepeats(t *testing.T) {
	b := newBroker(t).bind(nil)
	proxy, url := through(t)
	p := b.open(func(p *Publisher) { p.cfg.URLs = []string{url} })
	publishertest.Deliver(t, p, changes(b.exchange, 0, 70))
	batch := changes(b.exchange, 70, 700)
	proxy.Blackhole(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Deliver(ctx, batch); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	proxy.Blackhole(false)
	publishertest.Deliver(t, p, batch)
	if repeats := publishertest.ExpectOrder(t, numbers(t, b.takeAll()), 770); repeats != 0 {
		t.Errorf("%d messages are repeated", repeats)
	}
}

func TestAnotherBatchAfterOneThatWasGivenUpIsDeliveredWhole(t *testing.T) {
	b := newBroker(t).bind(nil)
	proxy, url := through(t)
	p := b.open(func(p *Publisher) { p.cfg.URLs = []string{url} })
	publishertest.Deliver(t, p, changes(b.exchange, 0, 7))
	proxy.Blackhole(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Deliver(ctx, changes(b.exchange, 7, 7)); err == nil {
		t.Fatal("delivered through a black hole")
	}
	proxy.Blackhole(false)
	publishertest.Deliver(t, p, changes(b.exchange, 7, 70))
	publishertest.ExpectOrder(t, numbers(t, b.takeAll()), 77)
}

func TestSilentBrokerIsToldAndThenGivenUp(t *testing.T) {
	b := newBroker(t).bind(nil)
	proxy, url := through(t)
	p := b.open(func(p *Publisher) {
		p.cfg.URLs, p.patience, p.stall = []string{url + "?connection_timeout=500"}, 200*time.Millisecond, 300*time.Millisecond
	})
	publishertest.Deliver(t, p, changes(b.exchange, 0, 7))
	proxy.Blackhole(true)
	batch := changes(b.exchange, 7, 70)
	mustFail(t, p, batch, false, "no confirm from RabbitMQ", "7 messages")
	if p.session == nil {
		t.Error("the session is given up at once")
	}
	for p.session != nil {
		mustFail(t, p, batch, false, "no confirm from RabbitMQ")
	}
	mustFail(t, p, nil, false, "deadline exceeded") // nobody answers a new session either
	proxy.Blackhole(false)
	failed := 0
	publishertest.Deliver(t, publishertest.Retrying(p, &failed), batch)
	publishertest.ExpectOrder(t, numbers(t, b.takeAll()), 77)
}

func TestAlarmIsToldAndNothingIsLostOrPiledUp(t *testing.T) {
	b := newBroker(t).bind(nil)
	proxy, url := through(t)
	p := b.open(func(p *Publisher) { p.cfg.URLs, p.patience = []string{url}, 100*time.Millisecond })
	publishertest.Deliver(t, p, changes(b.exchange, 0, 70))
	batch := changes(b.exchange, 70, 700)
	unblock := sync.OnceFunc(block(t))
	defer unblock()
	for range 5 { // connections come and go meanwhile
		mustFail(t, p, batch, false, "low on memory", "RabbitMQ takes nothing")
		mustFail(t, p, nil, false, "low on memory")
		proxy.Cut()
		awaitEnd(t, p)
	}
	unblock()
	failed := 0
	publishertest.Deliver(t, publishertest.Retrying(p, &failed), batch)
	// A session that is blocked has one message on its way, or what a wave had
	// before the alarm.
	if repeats := publishertest.ExpectOrder(t, numbers(t, b.takeAll()), 770); repeats > publishertest.Keys+5 {
		t.Errorf("%d messages are repeated", repeats)
	}
}

func TestAlarmInTheMiddleOfABurstRepeatsNothing(t *testing.T) {
	b := newBroker(t).bind(nil)
	p := b.open(func(p *Publisher) { p.patience = 200 * time.Millisecond })
	publishertest.Deliver(t, p, changes(b.exchange, 0, 70))
	raised := make(chan error, 1)
	srv := node(t)
	go func() { raised <- srv.Block(context.Background(), true) }()
	defer func() { fatal(t, srv.Block(context.Background(), false)) }()
	told := 0
	d := publisher.Retry(p, testTimeout, publisher.RetryHooks{Failed: func(err error, _ *publisher.Message, _ time.Duration) {
		if !errors.Is(err, errBlocked) { // a busy machine can take longer than patience
			t.Logf("told is %v", err)
			return
		}
		if told++; told == 3 {
			fatal(t, <-raised)
			fatal(t, srv.Block(context.Background(), false))
		}
	}})
	count := 70
	for told == 0 && count < 1_000_000 { // until the alarm is there
		publishertest.Deliver(t, d, changes(b.exchange, count, 700))
		count += 700
	}
	if repeats := publishertest.ExpectOrder(t, numbers(t, b.takeAll()), count); repeats != 0 || told == 0 {
		t.Errorf("%d repeats after %d errors", repeats, told)
	}
}

func TestConnectionClosedByAnOperatorIsOpenedAgain(t *testing.T) {
	b := newBroker(t).bind(nil)
	p := b.open()
	publishertest.Deliver(t, p, changes(b.exchange, 0, 70))
	control(t, "close_all_connections", "--limit", "100", "a test")
	failed := 0
	publishertest.Deliver(t, publishertest.Retrying(p, &failed), changes(b.exchange, 70, 70))
	publishertest.ExpectOrder(t, numbers(t, b.takeAll()), 140)
}

func TestDeletedExchangeIsMadeAgainAndUnboundMessagesAreHeld(t *testing.T) {
	b := newBroker(t).bind(nil)
	p := b.open()
	publishertest.Deliver(t, p, changes(b.exchange, 0, 70))
	b.must(b.ch.ExchangeDelete(b.exchange, false, false))
	batch := changes(b.exchange, 70, 70)
	mustFail(t, p, batch, false, "NOT_FOUND", b.exchange)
	mustFail(t, p, batch, false, "no queue is bound", b.exchange, batch[0].Topic)
	b.bindQueue(nil)
	publishertest.Deliver(t, p, batch)
	if repeats := publishertest.ExpectOrder(t, numbers(t, b.takeAll()), 140); repeats != 0 {
		t.Errorf("%d repeats", repeats)
	}
}

func TestUnroutableMessageHoldsItsKey(t *testing.T) {
	b := newBroker(t)
	b.must(b.ch.ExchangeDeclare(b.exchange, amqp.ExchangeTopic, true, false, false, false, nil))
	_, err := b.ch.QueueDeclare(b.exchange, true, false, false, false, nil)
	b.must(err)
	for _, table := range []string{"t0", "t2"} { // and none for t1
		b.must(b.ch.QueueBind(b.exchange, b.exchange+"."+table, b.exchange, false, nil))
	}
	p := b.open()
	batch := changes(b.exchange, 0, 70)
	mustFail(t, p, batch, false, "no queue is bound", fmt.Sprintf("%q", b.exchange+".t1"))
	b.must(b.ch.QueueBind(b.exchange, "#", b.exchange, false, nil))
	publishertest.Deliver(t, p, batch)
	if repeats := publishertest.ExpectOrder(t, numbers(t, b.takeAll()), 70); repeats != 0 {
		t.Errorf("%d repeats", repeats)
	}
}

func TestNextHostIsTriedWhereOneIsDown(t *testing.T) {
	b := newBroker(t).bind(nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(t, err)
	nobody := l.Addr().String()
	fatal(t, l.Close())
	p := b.open(func(p *Publisher) { p.cfg.URLs = []string{"amqp://" + nobody, b.url} })
	publishertest.Deliver(t, p, changes(b.exchange, 0, 7))
	if p.host != 1 {
		t.Errorf("begins with host %d the next time", p.host)
	}
	p = b.open(func(p *Publisher) {
		p.cfg.URLs = []string{"amqp://" + nobody, strings.Replace(b.url, "guest@", "wrong@", 1)}
	})
	mustFail(t, p, nil, false, "connection refused", "ACCESS_REFUSED")
}

// What is written arrives as it was written, however it gathers.
func TestBufferedConnectionKeepsEveryByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		writes := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 50).Draw(t, "writes")
		near, far := net.Pipe()
		c := newBufferedConn(near)
		var want, got []byte
		read := make(chan struct{})
		go func() {
			defer close(read)
			buf := make([]byte, 100)
			for {
				n, err := far.Read(buf)
				got = append(got, buf[:n]...)
				if err != nil {
					return
				}
			}
		}()
		for _, w := range writes {
			want = append(want, w...)
			if _, err := c.Write(w); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		<-read
		if string(got) != string(want) {
			t.Fatalf("%d bytes arrive, want %d", len(got), len(want))
		}
		if _, err := c.Write([]byte("x")); err == nil {
			t.Error("a closed connection takes bytes")
		}
	})
}
