package service

import (
	"fmt"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher/kafka"
	"github.com/walherald/walherald/publisher/nats"
	"github.com/walherald/walherald/publisher/pubsub"
)

// parkingTopic returns the publisher that keeps what is parked, as it is opened once
// more for that, and the topic's whole name as the broker has it.
func parkingTopic(cfg *config.Config) (out config.Output, topic string, err error) {
	p := cfg.Notifier.Parking
	if out, err = outputNamed(cfg, p.Publisher); err != nil {
		return out, "", fmt.Errorf("notifier.parking.publisher: %w", err)
	}
	if topic = out.TopicPrefix + p.Topic; out.Topic != "" {
		topic = out.Topic + "." + topic
	}
	out.Oversize = config.OversizeStop // what the broker does not take is held, not skipped
	switch out.Type {
	case config.PublisherFile:
		out.Path += "." + p.Topic // a file has one writer
	case config.PublisherNATS:
		topic = nats.Subject(topic)
		if out.Embedded != nil { // which the output has started
			out.Address, out.Embedded = config.Addresses{"nats://" + out.Embedded.Listen}, nil
		}
	case config.PublisherKafka:
		topic = kafka.Topic(topic)
	case config.PublisherPubSub:
		topic = pubsub.TopicID(topic)
	}
	return out, topic, nil
}
