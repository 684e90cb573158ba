package service

import (
	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/pubsub"
)

func newPubSub(cfg config.Output, content publisher.Content, h hooks) (*output, error) {
	p := pubsub.New(pubsubConfig(cfg, content), pubsub.Hooks{Skipped: h.skipped}, h.log)
	return &output{deliverer: p, topicName: pubsub.TopicID}, nil
}

func pubsubConfig(cfg config.Output, content publisher.Content) pubsub.Config {
	return pubsub.Config{
		Project:          cfg.PubSubProjectID,
		Content:          content,
		EnableOrdering:   cfg.EnableOrdering,
		MissingTopic:     pubsub.MissingTopic(cfg.TopicPolicy()),
		SkipOversize:     cfg.Oversize == config.OversizeSkip,
		MaxBatchMessages: cfg.PubSub.MaxBatchMessages,
		MaxBatchBytes:    int(cfg.PubSub.MaxBatchBytes),
		CredentialsFile:  cfg.PubSub.CredentialsFile,
		Endpoint:         cfg.PubSub.Endpoint,
	}
}
