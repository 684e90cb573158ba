package service

import (
	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/kafka"
)

func newKafka(cfg config.Output, content publisher.Content, h hooks) (*output, error) {
	kc, err := kafkaConfig(cfg, content)
	if err != nil {
		return nil, err
	}
	p := kafka.New(kc, kafka.Hooks{Mode: h.mode, Held: h.held, Skipped: h.skipped}, h.log)
	return &output{deliverer: p, topicName: kafka.Topic}, nil
}

func kafkaConfig(cfg config.Output, content publisher.Content) (kafka.Config, error) {
	tc, err := tlsConfig(cfg)
	return kafka.Config{
		Addresses:         cfg.Address,
		TLS:               tc,
		SASL:              cfg.Kafka.SASL,
		User:              cfg.User,
		Password:          cfg.Password,
		Compression:       cfg.Kafka.Compression,
		Content:           content,
		MissingTopic:      cfg.TopicPolicy(),
		Partitions:        cfg.Kafka.Partitions,
		ReplicationFactor: cfg.Kafka.ReplicationFactor,
		SkipOversize:      cfg.Oversize == config.OversizeSkip,
	}, err
}
