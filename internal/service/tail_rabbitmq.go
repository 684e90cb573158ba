package service

import (
	"context"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/rabbitmq"
)

func tailRabbitMQ(ctx context.Context, out config.Output, topics []string, o TailOptions, emit func(publisher.Received) error) error {
	rc, err := rabbitmqConfig(out)
	if err != nil {
		return err
	}
	return rabbitmq.Tail(ctx, rc, topics, o.From, emit)
}
