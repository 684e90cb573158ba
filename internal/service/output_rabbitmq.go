package service

import (
	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/rabbitmq"
)

func newRabbitMQ(cfg config.Output, content publisher.Content, h hooks) (*output, error) {
	rc, err := rabbitmqConfig(cfg)
	if err != nil {
		return nil, err
	}
	rc.Content = content
	return &output{deliverer: rabbitmq.New(rc, rabbitmq.Hooks{Skipped: h.skipped}, h.log)}, nil
}

func rabbitmqConfig(cfg config.Output) (rabbitmq.Config, error) {
	tc, err := tlsConfig(cfg)
	return rabbitmq.Config{
		URLs: cfg.Address, User: cfg.User, Password: cfg.Password, TLS: tc,
		Exchange: cfg.Topic, Kind: cfg.ExchangeKind, Missing: cfg.TopicPolicy(),
		SkipOversize: cfg.Oversize == config.OversizeSkip,
	}, err
}
