package service

import (
	"context"

	natsgo "github.com/nats-io/nats.go"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/nats"
	"github.com/walherald/walherald/publisher/nats/embedded"
)

func newNATS(ctx context.Context, cfg config.Output, content publisher.Content, h hooks) (*output, error) {
	out := &output{topicName: nats.Subject}
	nc, err := natsConfig(cfg)
	if err != nil {
		return nil, err
	}
	nc.Content = content
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
	nc := nats.Config{
		URLs: cfg.Address, Topic: cfg.Topic, SkipOversize: cfg.Oversize == config.OversizeSkip,
		MissingTopic: cfg.TopicPolicy(),
		Credentials: nats.Credentials{
			User: cfg.User, Password: cfg.Password, Token: cfg.NATS.Token,
			CredsFile: cfg.NATS.CredsFile, NkeyFile: cfg.NATS.NkeyFile,
		},
		Stream: nats.StreamOptions{
			Memory: cfg.NATS.Storage == config.StorageMemory, MaxAge: cfg.NATS.MaxAge, DuplicateWindow: cfg.NATS.DuplicateWindow,
		},
	}
	if cfg.NATS.Replicas > 1 { // 1 is what nobody asked for: a stream may have more
		nc.Stream.Replicas = cfg.NATS.Replicas
	}
	tc, err := tlsConfig(cfg)
	if tc != nil {
		nc.Options = append(nc.Options, natsgo.Secure(tc))
	}
	return nc, err
}
