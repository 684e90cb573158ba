package service

import (
	"context"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/pubsub"
)

func tailPubSub(ctx context.Context, out config.Output, prefix string, o TailOptions, emit func(publisher.Received) error) error {
	return pubsub.Tail(ctx, pubsubConfig(out, publisher.Content{}), []string{prefix + "*"}, o.From, emit)
}
