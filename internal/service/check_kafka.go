package service

import (
	"context"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/kafka"
)

// The paths of findings begin with publisher; topics are patterns of the topics
// that will be published to, with * for what is not known.
func checkKafka(ctx context.Context, cfg config.Output, topics []string) []config.Finding {
	kc, err := kafkaConfig(cfg, publisher.Content{})
	if err != nil {
		return []config.Finding{unusable(err)}
	}
	return kafka.Check(ctx, kc, topics...)
}
