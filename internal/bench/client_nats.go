package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/nats"
)

const (
	// ownBatch is how many messages walherald's own publisher is handed at a
	// time: as many as walherald does in a flood.
	ownBatch = 8192
	// natsPending is how many messages of the plain client wait for their
	// acknowledgements; the server works in batches of hundreds.
	natsPending = 4000
)

// publishOwn sends by walherald's own publisher for JetStream, batch by batch.
func publishOwn(ctx context.Context, c *ceiling) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	p := nats.New(nats.Config{URLs: []string{c.address}, Topic: c.topic}, nats.Hooks{}, log)
	defer func() { err = errors.Join(err, p.Close()) }()
	batch := make([]publisher.Message, min(ownBatch, c.count))
	for i := range batch {
		batch[i] = c.message()
	}
	for sent, number := 0, uint64(1); sent < c.count; number++ {
		batch = batch[:min(len(batch), c.count-sent)]
		for i := range batch {
			if batch[i].ID, err = publisher.NewID(number, uint64(i), 0); err != nil {
				return err
			}
		}
		if err := p.Deliver(ctx, batch); err != nil {
			return fmt.Errorf("publish batch %d: %w", number, err)
		}
		sent += len(batch)
	}
	return nil
}

// publishNATS sends by nats.go's asynchronous publisher, each message with its
// Nats-Msg-Id, until all are acknowledged.
func publishNATS(ctx context.Context, c *ceiling) error {
	nc, err := natsgo.Connect(c.address)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer nc.Close()
	refused := make(chan error, 1)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(natsPending),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *natsgo.Msg, err error) {
			select {
			case refused <- err:
			default: // one is enough
			}
		}))
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	body := c.message().Body
	for i := range c.count {
		id, err := publisher.NewID(uint64(i+1), 0, 0)
		if err != nil {
			return err
		}
		msg := &natsgo.Msg{Subject: c.destination(), Data: body, Header: natsgo.Header{jetstream.MsgIDHeader: {id.String()}}}
		if _, err := js.PublishMsgAsync(msg); err != nil {
			return fmt.Errorf("publish message %d: %w", i, err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-refused:
		return fmt.Errorf("publish: %w", err)
	default:
		return nil
	}
}
