package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2"
)

// The settings of the plain client of Pub/Sub, with which it is the fastest: it
// waits for requests to fill, so it needs many messages on their way.
const (
	pubsubPending = 20_000
	pubsubDelay   = 10 * time.Millisecond
)

// publishPubSub sends by Pub/Sub's own publisher, with ordering keys or without,
// until all are confirmed.
func publishPubSub(ordered bool) func(context.Context, *ceiling) error {
	return func(ctx context.Context, c *ceiling) (err error) {
		client, err := pubsub.NewClient(ctx, project)
		if err != nil {
			return fmt.Errorf("connect to Pub/Sub: %w", err)
		}
		defer func() { err = errors.Join(err, client.Close()) }()
		p := client.Publisher(pubsubTopicName(c.topic, c.subject))
		defer p.Stop()
		p.EnableMessageOrdering = ordered
		p.PublishSettings.CountThreshold = pubsub.MaxPublishRequestCount
		p.PublishSettings.DelayThreshold = pubsubDelay
		return c.publishPubSub(ctx, p)
	}
}

// publishPubSub publishes; message number i leaves once i-pubsubPending is
// confirmed.
func (c *ceiling) publishPubSub(ctx context.Context, p *pubsub.Publisher) error {
	attributes := make(map[string]string)
	for _, a := range c.attributes() {
		attributes[a.Name] = a.Value
	}
	body := c.message().Body
	pending := make([]*pubsub.PublishResult, pubsubPending)
	for i := range c.count + pubsubPending {
		at := i % pubsubPending
		if pending[at] != nil {
			if _, err := pending[at].Get(ctx); err != nil {
				return fmt.Errorf("publish message %d: %w", i-pubsubPending, err)
			}
			pending[at] = nil
		}
		if i >= c.count {
			continue
		}
		msg := &pubsub.Message{Data: body, Attributes: attributes}
		if p.EnableMessageOrdering {
			msg.OrderingKey = orderingKey(i)
		}
		pending[at] = p.Publish(ctx, msg)
	}
	return nil
}
