package nats

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/publisher"
)

// Tail hands every message of the topic's stream to emit, in the stream's order,
// until ctx ends, which is no error, or emit fails. It reads with a consumer of
// its own that leaves nothing behind, through lost connections and leaders.
func Tail(ctx context.Context, cfg Config, from publisher.Start, emit func(publisher.Received) error) error {
	own, err := cfg.options()
	if err != nil {
		return connectError(cfg.URLs, err)
	}
	opts := append([]nats.Option{
		nats.Name("walherald tail"), nats.MaxReconnects(-1), nats.Timeout(stallTimeout),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, own...)
	nc, err := nats.Connect(strings.Join(cfg.URLs, ","), opts...)
	if err != nil {
		return connectError(cfg.URLs, err)
	}
	defer nc.Close()
	consumer, err := cfg.consumer(ctx, nc, from)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("read stream %s: %w", StreamName(cfg.Topic), err)
	}
	return follow(ctx, consumer, emit)
}

// consumer makes the consumer, from a sequence on: one that is made again after a
// fault would else begin at another "now".
func (c *Config) consumer(ctx context.Context, nc *nats.Conn, from publisher.Start) (jetstream.Consumer, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	info, err := findStream(ctx, js, c.Topic)
	if err != nil {
		return nil, err
	}
	st, err := js.Stream(ctx, info.name)
	if err != nil {
		return nil, err
	}
	start := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{c.Topic + ".>"},
		DeliverPolicy:  jetstream.DeliverAllPolicy,
	}
	if from == publisher.StartNow {
		start.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		start.OptStartSeq = st.CachedInfo().State.LastSeq + 1
	}
	return st.OrderedConsumer(ctx, start)
}

func follow(ctx context.Context, consumer jetstream.Consumer, emit func(publisher.Received) error) error {
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read messages: %w", err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read messages: %w", err)
		}
		if err := emit(received(m)); err != nil {
			return err
		}
	}
}

func received(m jetstream.Msg) publisher.Received {
	r := publisher.Received{Topic: m.Subject(), Encoding: m.Headers().Get(headerEncoding), Body: m.Data()}
	for name, values := range m.Headers() {
		for _, v := range values {
			r.Attributes = append(r.Attributes, publisher.Attribute{Name: name, Value: v})
		}
	}
	slices.SortFunc(r.Attributes, func(a, b publisher.Attribute) int { return strings.Compare(a.Name, b.Name) })
	if meta, err := m.Metadata(); err == nil {
		r.Stored = meta.Timestamp
	}
	return r
}
