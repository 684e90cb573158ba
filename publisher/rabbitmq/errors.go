package rabbitmq

import (
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/publisher"
)

var (
	errLost     = errors.New("connection to RabbitMQ lost")
	errTooLarge = errors.New("RabbitMQ refused a message as too large")
	errNotTaken = errors.New("RabbitMQ did not take a message")
	// errNoURL stands for whatever there is to say of an address that cannot be
	// parsed, because it would be said with the password.
	errNoURL = errors.New("address is no URL: write amqp://user:password@host:5672/vhost, with %, /, ?, # and @ in user, password and vhost escaped")
)

// nackError is for a message that a queue refused.
func nackError(m *publisher.Message, exchange string) error {
	return fmt.Errorf("%w: %s of %s with id %s: a queue bound to exchange %q refused it, as a full one with x-overflow reject-publish does: "+
		"see that its consumers keep up, or raise its limit", errNotTaken, m.Action, m.Table, m.ID, exchange)
}

// returnError is for a message that went to no queue.
func returnError(m *publisher.Message, exchange string, r amqp.Return) error {
	if r.ReplyCode == amqp.NoRoute {
		return fmt.Errorf("%w: %s of %s: no queue is bound to exchange %q for routing key %q: bind one, or leave the table out in listener.filter",
			errNotTaken, m.Action, m.Table, exchange, m.Topic)
	}
	return fmt.Errorf("%w: %s of %s came back from exchange %q, routing key %q: %d %s",
		errNotTaken, m.Action, m.Table, exchange, m.Topic, r.ReplyCode, r.ReplyText)
}

// oversizeError is permanent: the message will never fit.
func oversizeError(m *publisher.Message, limit int) error {
	return publisher.Permanent(publisher.NamingKey(m.Key, fmt.Errorf(
		"publish %s of %s with key %q: message of %d bytes exceeds the broker's limit of %d bytes: "+
			"raise max_message_size in rabbitmq.conf, exclude a column, or set publisher.oversize: skip",
		m.Action, m.Table, m.Key, len(m.Body), limit)))
}

// sizeLimit returns the largest body the broker takes, if that is why it closed
// the channel.
func sizeLimit(e *amqp.Error) (limit int, ok bool) {
	if e == nil || e.Code != amqp.PreconditionFailed {
		return 0, false
	}
	_, text, found := strings.Cut(e.Reason, "message size ")
	if !found {
		return 0, false
	}
	var size int
	for _, form := range []string{"%d is larger than configured max size %d", "%d larger than configured max size %d", "%d is larger than max size %d", "%d larger than max size %d"} {
		if n, _ := fmt.Sscanf(text, form, &size, &limit); n == 2 && limit > 0 && limit < size {
			return limit, true
		}
	}
	return 0, false
}

// lostError says why the connection or the channel ended.
func lostError(reason *amqp.Error, cfg *Config) error {
	if reason == nil {
		return errLost
	}
	if !reason.Server {
		return fmt.Errorf("%w: %s", errLost, reason.Reason)
	}
	err := fmt.Errorf("RabbitMQ ended the session: %w", reason)
	switch reason.Code {
	case amqp.AccessRefused:
		return publisher.Permanent(fmt.Errorf("%w: give the user of publisher.address the right to write to exchange %q", err, cfg.Exchange))
	case amqp.PreconditionFailed:
		if strings.Contains(reason.Reason, "message size") {
			return publisher.Permanent(fmt.Errorf("%w: raise max_message_size in rabbitmq.conf, or exclude a column", err))
		}
	}
	return err
}
