package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// rabbitPending is how many messages wait for their confirms.
const rabbitPending = 2000

// publishRabbitMQ sends by amqp091-go, each message persistent and mandatory,
// until all are confirmed.
func publishRabbitMQ(ctx context.Context, c *ceiling) (err error) {
	conn, err := amqp.Dial(c.address)
	if err != nil {
		return fmt.Errorf("connect to RabbitMQ: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("ask for confirms: %w", err)
	}
	returned := ch.NotifyReturn(make(chan amqp.Return, rabbitPending))
	if err := c.pipeline(ctx, ch); err != nil {
		return err
	}
	select {
	case r := <-returned:
		return fmt.Errorf("a message came back: %s", r.ReplyText)
	default:
		return nil
	}
}

// pipeline publishes; message number i leaves once i-rabbitPending is confirmed.
func (c *ceiling) pipeline(ctx context.Context, ch *amqp.Channel) error {
	m := c.message()
	msg := amqp.Publishing{
		Headers: amqp.Table{}, DeliveryMode: amqp.Persistent, AppId: "walherald", ContentType: "application/json",
		MessageId: m.ID.String(), Type: m.Action.String(), Timestamp: time.UnixMicro(m.CommitTime), Body: m.Body,
	}
	for _, a := range c.attributes() {
		if a.Name != "content-type" { // AMQP has a place of its own for it
			msg.Headers[a.Name] = a.Value
		}
	}
	pending := make([]*amqp.DeferredConfirmation, rabbitPending)
	for i := range c.count + rabbitPending {
		at := i % rabbitPending
		if pending[at] != nil {
			if ok, err := pending[at].WaitContext(ctx); err != nil || !ok {
				return errors.Join(errors.New("a message is not confirmed"), err)
			}
		}
		if i >= c.count {
			continue
		}
		var err error
		if pending[at], err = ch.PublishWithDeferredConfirm(c.topic, c.destination(), true, false, msg); err != nil {
			return fmt.Errorf("publish message %d: %w", i, err)
		}
	}
	return nil
}
