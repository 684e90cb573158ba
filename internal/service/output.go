package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// hooks are what one output calls to tell of itself.
type hooks struct {
	log *slog.Logger
	// mode tells how it writes, held how many messages the destination had
	// already, skipped which one was dropped.
	mode    func(mode string)
	held    func(n int)
	skipped func(m publisher.Message)
}

// output is a destination and what belongs to it.
type output struct {
	deliverer publisher.Deliverer
	topicName func(string) string // or nil
	stop      func()              // what was started for it; or nil
}

func (o *output) close() error {
	err := o.deliverer.Close()
	if o.stop != nil {
		o.stop()
	}
	return err
}

// newOutput makes the output a section of the configuration describes, for
// bodies of this content.
func newOutput(ctx context.Context, cfg config.Output, content publisher.Content, h hooks) (*output, error) {
	switch cfg.Type {
	case config.PublisherNATS:
		return newNATS(ctx, cfg, content, h)
	case config.PublisherKafka:
		return newKafka(cfg, content, h)
	case config.PublisherRabbitMQ:
		return newRabbitMQ(cfg, content, h)
	case config.PublisherPubSub:
		return newPubSub(cfg, content, h)
	case config.PublisherFile:
		return newFile(cfg, content, h)
	case config.PublisherStdout:
		if cfg.Pretty {
			return &output{deliverer: publisher.NewPrettyWriter(os.Stdout)}, nil
		}
		return &output{deliverer: publisher.NewWriter(os.Stdout)}, nil
	case config.PublisherDiscard:
		return &output{deliverer: publisher.Discard{}}, nil
	}
	return nil, unavailable(cfg)
}

// unavailable is the error for a publisher this version does not have.
func unavailable(cfg config.Output) error {
	return fmt.Errorf("%s.type: %s is not available in this version of walherald: use nats, kafka, rabbitmq, google_pubsub, stdout, file or discard",
		cfg.Section, cfg.Type)
}

// tlsConfig is what enableTLS and the keys beside it ask for, or nil. Files that
// cannot be used are an error now, not at the first connection.
func tlsConfig(cfg config.Output) (*tls.Config, error) {
	if !cfg.EnableTLS {
		return nil, nil
	}
	tc := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CACert != "" {
		pem, err := os.ReadFile(cfg.CACert)
		if err != nil {
			return nil, fmt.Errorf("%s.caCert: %w", cfg.Section, err)
		}
		tc.RootCAs = x509.NewCertPool()
		if !tc.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s.caCert: %s holds no PEM certificate", cfg.Section, cfg.CACert)
		}
	}
	if cfg.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.ClientCert, cfg.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("%s.clientCert and clientKey do not make a pair: %w", cfg.Section, err)
		}
		tc.Certificates = []tls.Certificate{pair}
	}
	return tc, nil
}
