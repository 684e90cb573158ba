package service

import (
	"context"

	natsgo "github.com/nats-io/nats.go"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/nats"
	"github.com/walherald/walherald/publisher/nats/embedded"
)

func newNATS(ctx context.Context, cfg config.Output, _ publisher.Content, h hooks) (*output, error) {
	out := &output{topicName: nats.Subject}
	nc, err := natsConfig(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Embedded != nil {
		srv, err := embedded.Start(ctx, *cfg.Embedded, h.log)
		if err != nil {
			return nil, err
		}
		out.stop = srv.Stop
		nc.URLs, nc.Options = []string{srv.URL()}, []natsgo.Option{srv.Option()}
	}
	out.deliverer = nats.New(nc, nats.Hooks{Mode: h.mode, Held: h.held, Skipped: h.skipped}, h.log)
	return out, nil
}

func natsConfig(cfg config.Output) (nats.Config, error) {
	nc := nats.Config{URLs: cfg.Address, Topic: cfg.Topic, SkipOversize: cfg.Oversize == config.OversizeSkip}
	tc, err := tlsConfig(cfg)
	if tc != nil {
		nc.Options = append(nc.Options, natsgo.Secure(tc))
	}
	return nc, err
}
