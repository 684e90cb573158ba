package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

const (
	// kafkaBatch is the most messages of a batch for one partition; what a topic
	// takes by default, 1 MB, ends it before.
	kafkaBatch = 8192
	// kafkaChunk is how many messages are handed to the writer at a time.
	kafkaChunk = 2 * kafkaBatch
	// kafkaCallers hand them over side by side, so that one chunk is on its way
	// while the next is made.
	kafkaCallers = 2
)

// publishKafka sends by kafka-go's writer until all replicas have everything.
func publishKafka(ctx context.Context, c *ceiling) (err error) {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	w := &kafka.Writer{
		Addr: kafka.TCP(c.address), Transport: transport, Topic: c.destination(), Balancer: &kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll, BatchSize: kafkaBatch, BatchTimeout: 5 * time.Millisecond,
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	var headers []kafka.Header
	for _, a := range c.attributes() {
		headers = append(headers, kafka.Header{Key: a.Name, Value: []byte(a.Value)})
	}
	body := c.message().Body
	group, ctx := errgroup.WithContext(ctx)
	for caller := range kafkaCallers {
		group.Go(func() error {
			for first := caller * kafkaChunk; first < c.count; first += kafkaCallers * kafkaChunk {
				chunk := make([]kafka.Message, min(kafkaChunk, c.count-first))
				for i := range chunk {
					chunk[i] = kafka.Message{Key: []byte(key(first + i)), Value: body, Headers: headers}
				}
				if err := w.WriteMessages(ctx, chunk...); err != nil {
					return fmt.Errorf("publish messages from %d: %w", first, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}
