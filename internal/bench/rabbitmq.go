package main

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/rabbitserver"
)

// The kinds of queues, by the words of the argument x-queue-type.
const (
	quorumKind  = "quorum"
	classicKind = "classic"
)

// rabbitBroker is a RabbitMQ node.
type rabbitBroker struct {
	server *rabbitserver.Server
	conn   *amqp.Connection
}

func openRabbitMQ(ctx context.Context, _ *bench) (*broker, error) {
	server, err := rabbitserver.Start(ctx, rabbitserver.Options{})
	if err != nil {
		return nil, err
	}
	conn, err := amqp.Dial(server.URL())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to RabbitMQ: %w", err), server.Close())
	}
	r := &rabbitBroker{server, conn}
	return &broker{
		version: fmt.Sprintf("RabbitMQ %v", conn.Properties["version"]), address: server.URL(), close: r.close,
		destination: func(kind string) destination { return queue{r, kind} },
	}, nil
}

func (r *rabbitBroker) close() error { return errors.Join(r.conn.Close(), r.server.Close()) }

// queue is one queue behind a topic exchange. Both are named as the topic.
type queue struct {
	*rabbitBroker
	kind string
}

// onChannel runs f on a channel of its own: an error ends the channel.
func (q queue) onChannel(f func(*amqp.Channel) error) error {
	ch, err := q.conn.Channel()
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	if err := f(ch); err != nil {
		return err
	}
	return ch.Close()
}

func (q queue) create(_ context.Context, topic string) error {
	err := q.onChannel(func(ch *amqp.Channel) error {
		if err := ch.ExchangeDeclare(topic, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
			return err
		}
		if _, err := ch.QueueDeclare(topic, true, false, false, false, amqp.Table{"x-queue-type": q.kind}); err != nil {
			return err
		}
		return ch.QueueBind(topic, "#", topic, false, nil)
	})
	if err != nil {
		return fmt.Errorf("make exchange and %s queue %s: %w", q.kind, topic, err)
	}
	return nil
}

func (q queue) section(topic string) []string {
	return []string{"type: " + config.PublisherRabbitMQ, "address: " + q.server.URL(), "topic: " + topic}
}

func (q queue) finish(ctx context.Context, topic string, messages int) error {
	// A quorum queue knows its length a moment after it has confirmed.
	if err := poll(ctx, func() error { return q.check(topic, messages) }); err != nil {
		return err
	}
	err := q.onChannel(func(ch *amqp.Channel) error {
		if _, err := ch.QueueDelete(topic, false, false, false); err != nil {
			return err
		}
		return ch.ExchangeDelete(topic, false, false)
	})
	if err != nil {
		return fmt.Errorf("delete exchange and queue %s: %w", topic, err)
	}
	return nil
}

// check declares the queue again, which its broker refuses if it is of another
// kind, and compares its length.
func (q queue) check(topic string, messages int) error {
	return q.onChannel(func(ch *amqp.Channel) error {
		found, err := ch.QueueDeclare(topic, true, false, false, false, amqp.Table{"x-queue-type": q.kind})
		if err != nil {
			return fmt.Errorf("look at %s queue %s: %w", q.kind, topic, err)
		}
		err = stored("queue", topic, found.Messages, messages)
		if err != nil {
			err = errors.Join(err, ch.Close())
		}
		return err
	})
}
