package main

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/kafkaserver"
)

// kafkaPartitions is how many partitions the topics have.
const kafkaPartitions = 6

// kafkaBroker is an Apache Kafka server.
type kafkaBroker struct {
	server    *kafkaserver.Server
	transport *kafka.Transport
	client    *kafka.Client
	subject   string // what walherald puts behind the topic
}

func openKafka(ctx context.Context, b *bench) (*broker, error) {
	server, err := kafkaserver.Start(ctx, kafkaserver.Options{
		Heap: "1g", Fast: true, // as Kafka's own scripts start it
		// Otherwise a topic that was deleted keeps its place on the disk for a minute.
		Properties: map[string]string{"log.segment.delete.delay.ms": "0"},
	})
	if err != nil {
		return nil, err
	}
	transport := &kafka.Transport{}
	k := &kafkaBroker{
		server: server, transport: transport, subject: b.shape.subject,
		client: &kafka.Client{Addr: kafka.TCP(server.AdminAddr()), Transport: transport, Timeout: settleTimeout},
	}
	return &broker{
		version: "Apache Kafka " + kafkaserver.Version, address: server.Addr(), close: k.close,
		destination: func(string) destination { return k },
	}, nil
}

func (k *kafkaBroker) close() error {
	k.transport.CloseIdleConnections()
	return k.server.Close()
}

// topic is the name of the only topic that the rows of a run go to.
func (k *kafkaBroker) topic(topic string) string { return topic + "." + k.subject }

// create makes the topic and waits until all its partitions can be used, which
// is a moment after the broker names them.
func (k *kafkaBroker) create(ctx context.Context, topic string) error {
	topic = k.topic(topic)
	made, err := k.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: kafkaPartitions, ReplicationFactor: 1,
	}}})
	if err == nil {
		err = made.Errors[topic]
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return poll(ctx, func() error {
		_, err := k.count(ctx, topic)
		return err
	})
}

func (k *kafkaBroker) section(topic string) []string {
	return []string{"type: " + config.PublisherKafka, "address: " + k.server.Addr(), "topic: " + topic}
}

func (k *kafkaBroker) finish(ctx context.Context, topic string, messages int) error {
	topic = k.topic(topic)
	have, err := k.count(ctx, topic)
	if err != nil {
		return err
	}
	if err := stored("topic", topic, have, messages); err != nil {
		return err
	}
	deleted, err := k.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err == nil {
		err = deleted.Errors[topic]
	}
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// count adds up where the partitions end. They begin at 0 and hold nothing but
// records: there are no transactions.
func (k *kafkaBroker) count(ctx context.Context, topic string) (int, error) {
	var asked []kafka.OffsetRequest
	for p := range kafkaPartitions {
		asked = append(asked, kafka.LastOffsetOf(p))
	}
	ends, err := k.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: asked}})
	if err != nil {
		return 0, fmt.Errorf("ask where topic %s ends: %w", topic, err)
	}
	sum, partitions := 0, ends.Topics[topic]
	for _, p := range partitions {
		if p.Error != nil {
			return 0, fmt.Errorf("ask where partition %d of topic %s ends: %w", p.Partition, topic, p.Error)
		}
		sum += int(p.LastOffset)
	}
	if len(partitions) != kafkaPartitions {
		return 0, fmt.Errorf("%d partitions of topic %s answer, should be %d", len(partitions), topic, kafkaPartitions)
	}
	return sum, nil
}
