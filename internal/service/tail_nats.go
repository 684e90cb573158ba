package service

import (
	"context"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/nats"
)

// tailNATS reads the stream; what begins with prefix is of this output. A server
// inside walherald is reached where it listens.
func tailNATS(ctx context.Context, cfg config.Output, prefix string, o TailOptions, emit func(publisher.Received) error) error {
	nc, err := natsConfig(cfg)
	if err != nil {
		return err
	}
	if cfg.Embedded != nil {
		nc.URLs, nc.Options = []string{"nats://" + cfg.Embedded.Listen}, nil
	}
	return nats.Tail(ctx, nc, o.From, func(r publisher.Received) error {
		if !strings.HasPrefix(r.Topic, prefix) {
			return nil
		}
		return emit(r)
	})
}
