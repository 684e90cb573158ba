package service

import (
	"context"

	"github.com/walherald/walherald/config"
)

// The paths of findings begin with publisher; topics are patterns of the topics
// that will be published to, with * for what is not known.
func checkRabbitMQ(_ context.Context, cfg config.Output, _ []string) []config.Finding {
	return []config.Finding{unusable(unavailable(cfg))}
}
