package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/publisher"
)

const (
	// tailPrefetch is how many messages are on their way to a tail at most.
	tailPrefetch = 256
	// tailBytes bounds the queue of a tail; one that is slower loses the oldest.
	tailBytes = 64 << 20
)

var errNothingKept = errors.New("RabbitMQ exchanges keep no messages: a tail begins now; for older ones read a queue that is bound to the exchange")

// Tail hands every message that the exchange distributes from now on to emit,
// until ctx ends, which is no error, emit fails or the connection is lost. It
// binds a queue of its own that ends with it and that publishers never wait for;
// where emit is slow and 64 MiB have gathered there, the oldest are lost.
//
// A direct exchange gives only what it is asked for by routing key: topics lists
// them, and those with a * or # are left out. Other kinds give everything.
//
// As long as a tail runs, messages that no other queue takes go to it and are
// confirmed, where otherwise a Publisher would hold them.
func Tail(ctx context.Context, cfg Config, topics []string, from publisher.Start, emit func(publisher.Received) error) error {
	if from != publisher.StartNow {
		return errNothingKept
	}
	keys, err := bindingKeys(&cfg, topics)
	if err != nil {
		return err
	}
	cfg.Missing = MissingWait // a tail makes nothing
	s := &session{p: New(cfg, Hooks{}, slog.New(slog.DiscardHandler)), blocks: make(chan amqp.Blocking, 1)}
	if err := s.connect(ctx); err != nil {
		return ended(ctx, err)
	}
	defer s.close(nil)
	defer s.endWith(ctx)()
	messages, err := consume(s.conn, &cfg, keys)
	if err != nil {
		return ended(ctx, err)
	}
	for m := range messages {
		if ctx.Err() != nil {
			return nil
		}
		if err := emit(received(&m)); err != nil {
			return err
		}
		if err := m.Ack(false); err != nil {
			return ended(ctx, fmt.Errorf("read exchange %q: %w", cfg.Exchange, err))
		}
	}
	return ended(ctx, fmt.Errorf("read exchange %q: %w", cfg.Exchange, errLost))
}

// ended returns err unless ctx has ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// bindingKeys returns what a tail's queue is bound with.
func bindingKeys(cfg *Config, topics []string) ([]string, error) {
	if kind(cfg) != amqp.ExchangeDirect {
		return []string{"#"}, nil // a fanout does not look at it
	}
	var keys []string
	for _, topic := range topics {
		if !strings.ContainsAny(topic, "*#") {
			keys = append(keys, topic)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("exchange of kind direct gives only what is asked for by routing key, and no routing key is known: bind a queue to it and read that")
	}
	return keys, nil
}

// consume makes the queue and reads it.
func consume(conn *amqp.Connection, cfg *Config, keys []string) (<-chan amqp.Delivery, error) {
	if err := findExchange(conn, cfg); err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	const durable, autoDelete, exclusive, noWait = false, true, true, false
	q, err := ch.QueueDeclare("", durable, autoDelete, exclusive, noWait, amqp.Table{"x-max-length-bytes": tailBytes})
	if err != nil {
		return nil, fmt.Errorf("make a queue to read exchange %q: %w", cfg.Exchange, err)
	}
	for _, key := range keys {
		if err := ch.QueueBind(q.Name, key, cfg.Exchange, noWait, nil); err != nil {
			return nil, fmt.Errorf("bind a queue to exchange %q: %w", cfg.Exchange, err)
		}
	}
	if err := ch.Qos(tailPrefetch, 0, false); err != nil {
		return nil, fmt.Errorf("bound what is on its way: %w", err)
	}
	const autoAck, noLocal = false, false
	messages, err := ch.Consume(q.Name, "", autoAck, exclusive, noLocal, noWait, nil)
	if err != nil {
		return nil, fmt.Errorf("read the queue of exchange %q: %w", cfg.Exchange, err)
	}
	return messages, nil
}

func received(m *amqp.Delivery) publisher.Received {
	r := publisher.Received{Topic: m.RoutingKey, Encoding: m.ContentEncoding, Body: m.Body}
	for name, value := range m.Headers {
		r.Attributes = append(r.Attributes, publisher.Attribute{Name: name, Value: fmt.Sprint(value)})
	}
	slices.SortFunc(r.Attributes, func(a, b publisher.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return r
}
