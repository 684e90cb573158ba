package main

import (
	"context"
	"encoding/json"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/publisher/nats"
)

// holdings is what the stream holds.
type holdings struct {
	messages int
	ids      map[string]bool
	state    map[string]int    // the version of each row, from the events alone
	changes  map[change]string // the id of each change
	backward int               // events older than one already seen of the same row
}

func newHoldings() *holdings {
	return &holdings{ids: make(map[string]bool), state: make(map[string]int), changes: make(map[change]string)}
}

// readStream reads every message with a consumer of its own.
func (l *ledger) readStream(ctx context.Context) (*holdings, error) {
	nc, err := natsgo.Connect("nats://" + l.cfg.Publisher.Embedded.Listen)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, nats.StreamName(l.cfg.Publisher.Topic))
	if err != nil {
		return nil, err
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	h := newHoldings()
	for total := int(stream.CachedInfo().State.Msgs); h.messages < total; {
		batch, err := consumer.Fetch(min(500, total-h.messages))
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			id, _ := nats.EventID(m.Headers())
			if err := h.add(id, m.Data()); err != nil {
				return nil, err
			}
		}
		if batch.Error() != nil {
			return nil, batch.Error()
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return h, nil
}

// add takes one event into the books. A repeat counts and changes nothing.
func (h *holdings) add(id string, body []byte) error {
	h.messages++
	if h.ids[id] {
		return nil
	}
	h.ids[id] = true
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("read event %s: %w", id, err)
	}
	c := e.change()
	h.changes[c] = id
	if c.version == gone {
		delete(h.state, c.row)
		return nil
	}
	if c.version <= h.state[c.row] {
		h.backward++
	}
	h.state[c.row] = c.version
	return nil
}
