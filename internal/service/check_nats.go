package service

import (
	"context"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher/nats"
)

func checkNATS(ctx context.Context, cfg config.Output, topics []string) []config.Finding {
	if cfg.Embedded != nil {
		return []config.Finding{checkListen("publisher.embedded.listen", cfg.Embedded.Listen), checkStore(cfg.Embedded.StoreDir)}
	}
	nc, err := natsConfig(cfg)
	if err != nil {
		return []config.Finding{unusable(err)}
	}
	return nats.Check(ctx, nc, topics...)
}
