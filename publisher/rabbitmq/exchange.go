package rabbitmq

import (
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/publisher"
)

// ensureExchange makes sure that the exchange is there, as Config.Missing has it.
func ensureExchange(conn *amqp.Connection, cfg *Config) error {
	if n := len(cfg.Exchange); n == 0 || n > maxRoutingKey {
		return publisher.Permanent(fmt.Errorf("name of the exchange has %d bytes and AMQP allows 1 to %d: correct publisher.topic", n, maxRoutingKey))
	}
	if cfg.Missing != "" && cfg.Missing != MissingCreate {
		return findExchange(conn, cfg)
	}
	err := onChannel(conn, func(ch *amqp.Channel) error {
		return ch.ExchangeDeclare(cfg.Exchange, kind(cfg), true, false, false, false, nil)
	})
	switch code(err) {
	case amqp.PreconditionFailed:
		return publisher.Permanent(fmt.Errorf("exchange %q exists and differs from what walherald would make (publisher.exchangeKind: %s, durable): "+
			"correct publisher.exchangeKind, or set publisher.missingTopic: wait to take it as it is: %w", cfg.Exchange, kind(cfg), err))
	case amqp.AccessRefused: // to make exchanges is a right of its own, which nobody needs for those that are there
		if findErr := findExchange(conn, cfg); code(findErr) != amqp.NotFound {
			return findErr
		}
		return publisher.Permanent(fmt.Errorf("exchange %q does not exist and the user may not make it: "+
			"make it, or give the user of publisher.address the right to configure it: %w", cfg.Exchange, err))
	}
	return describeDeclare(err, cfg)
}

// findExchange looks for the exchange and makes nothing.
func findExchange(conn *amqp.Connection, cfg *Config) error {
	err := onChannel(conn, func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(cfg.Exchange, kind(cfg), true, false, false, false, nil)
	})
	if code(err) != amqp.NotFound {
		return describeDeclare(err, cfg)
	}
	err = fmt.Errorf("exchange %q does not exist: make it (rabbitmqadmin declare exchange name=%s type=%s), "+
		"correct publisher.topic, or set publisher.missingTopic: create: %w", cfg.Exchange, cfg.Exchange, kind(cfg), err)
	if cfg.Missing == MissingStop {
		return publisher.Permanent(err)
	}
	return err
}

func describeDeclare(err error, cfg *Config) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("declare exchange %q: %w", cfg.Exchange, err)
	switch code(err) {
	case amqp.AccessRefused, amqp.CommandInvalid: // names and kinds that cannot be
		return publisher.Permanent(err)
	}
	return err
}

// onChannel runs f on a channel of its own: an error ends the channel.
func onChannel(conn *amqp.Connection, f func(*amqp.Channel) error) error {
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	if err := f(ch); err != nil {
		return err
	}
	if err := ch.Close(); err != nil {
		return fmt.Errorf("close channel: %w", err)
	}
	return nil
}

func kind(cfg *Config) string {
	if cfg.Kind == "" {
		return amqp.ExchangeTopic
	}
	return cfg.Kind
}

// code returns the reply code that the broker gave with an error (AMQP 0-9-1,
// section 1.2), or 0.
func code(err error) int {
	var reply *amqp.Error
	if errors.As(err, &reply) && reply.Server {
		return reply.Code
	}
	return 0
}
