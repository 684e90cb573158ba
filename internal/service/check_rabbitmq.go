package service

import (
	"context"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher/rabbitmq"
)

// The topics that will be published to do not matter here: AMQP tells nothing of
// the queues that are bound for them.
func checkRabbitMQ(ctx context.Context, cfg config.Output, _ []string) []config.Finding {
	rc, err := rabbitmqConfig(cfg)
	if err != nil {
		return []config.Finding{unusable(err)}
	}
	return rabbitmq.Check(ctx, rc)
}
