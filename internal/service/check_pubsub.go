package service

import (
	"context"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/pubsub"
)

func checkPubSub(ctx context.Context, cfg config.Output, topics []string) []config.Finding {
	return pubsub.Check(ctx, pubsubConfig(cfg, publisher.Content{}), topics...)
}
