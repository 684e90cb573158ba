package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"

	natsgo "github.com/nats-io/nats.go"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/nats"
	"github.com/walherald/walherald/publisher/nats/embedded"
)

// hooks are what outputs call to tell of themselves.
type hooks struct {
	log     *slog.Logger
	mode    func(output, mode string)
	held    func(output string, n int)
	skipped func(m publisher.Message)
}

// output is a destination and what belongs to it.
type output struct {
	name      string
	deliverer publisher.Deliverer
	topicName func(string) string
	stop      func() // what was started for it; or nil
}

func (o *output) close() error {
	err := o.deliverer.Close()
	if o.stop != nil {
		o.stop()
	}
	return err
}

// newOutput makes the output a configuration names.
func newOutput(ctx context.Context, cfg config.Publisher, h hooks) (*output, error) {
	switch cfg.Type {
	case config.PublisherNATS:
		return newNATS(ctx, cfg, h)
	case config.PublisherStdout:
		return &output{name: cfg.Type, deliverer: publisher.NewWriter(os.Stdout)}, nil
	case config.PublisherDiscard:
		return &output{name: cfg.Type, deliverer: publisher.Discard{}}, nil
	}
	return nil, unavailable(cfg.Type)
}

func newNATS(ctx context.Context, cfg config.Publisher, h hooks) (*output, error) {
	const name = config.PublisherNATS
	out := &output{name: name, topicName: nats.Subject}
	nc := nats.Config{URLs: cfg.Address, Topic: cfg.Topic, SkipOversize: cfg.Oversize == config.OversizeSkip}
	if cfg.Embedded != nil {
		srv, err := embedded.Start(ctx, *cfg.Embedded, h.log)
		if err != nil {
			return nil, err
		}
		out.stop = srv.Stop
		nc.URLs, nc.Options = []string{srv.URL()}, []natsgo.Option{srv.Option()}
	} else if cfg.EnableTLS {
		var err error
		if nc.Options, err = natsTLS(cfg); err != nil {
			return nil, err
		}
	}
	out.deliverer = nats.New(nc, nats.Hooks{
		Mode:    func(mode string) { h.mode(name, mode) },
		Held:    func(n int) { h.held(name, n) },
		Skipped: h.skipped,
	}, h.log)
	return out, nil
}

// natsTLS makes the connection options of publisher.enableTLS. Files that
// cannot be used are an error now, not at the first connection.
func natsTLS(cfg config.Publisher) ([]natsgo.Option, error) {
	opts := []natsgo.Option{natsgo.Secure(&tls.Config{MinVersion: tls.VersionTLS12})}
	if cfg.CACert != "" {
		if _, err := os.Stat(cfg.CACert); err != nil {
			return nil, fmt.Errorf("publisher.caCert: %w", err)
		}
		opts = append(opts, natsgo.RootCAs(cfg.CACert))
	}
	if cfg.ClientCert != "" {
		if _, err := tls.LoadX509KeyPair(cfg.ClientCert, cfg.ClientKey); err != nil {
			return nil, errors.Join(errors.New("publisher.clientCert and publisher.clientKey do not make a pair"), err)
		}
		opts = append(opts, natsgo.ClientCert(cfg.ClientCert, cfg.ClientKey))
	}
	return opts, nil
}
