package service

import (
	"context"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/kafka"
)

func tailKafka(ctx context.Context, out config.Output, prefix string, o TailOptions, emit func(publisher.Received) error) error {
	kc, err := kafkaConfig(out, publisher.Content{})
	if err != nil {
		return err
	}
	return kafka.Tail(ctx, kc, kafka.Topic(prefix), o.From, emit)
}
