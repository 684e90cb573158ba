package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var errBlocked = errors.New("RabbitMQ takes nothing from those who publish")

// noteBlocked notes what the broker says of the connection
// (https://www.rabbitmq.com/docs/connection-blocked); ok is false if it has said
// its last word, and the end of the confirms will tell why.
func (s *session) noteBlocked(b amqp.Blocking, ok bool) {
	switch {
	case !ok:
		s.blocks, s.blocked = nil, ""
	case b.Active && s.blocked == "":
		s.blocked = cmp.Or(b.Reason, "no reason given")
		s.p.log.Warn("RabbitMQ has blocked the connection", "reason", s.blocked, "unconfirmed", len(s.flights))
	case !b.Active && s.blocked != "":
		s.p.log.Info("RabbitMQ has unblocked the connection", "reason", s.blocked)
		s.blocked, s.heard = "", time.Now()
	}
}

// blockedError is nil unless the connection is blocked.
func (s *session) blockedError() error {
	if s.blocked == "" {
		return nil
	}
	return fmt.Errorf("%w: %s: free memory or disk space on its node, or raise the watermark (rabbitmq-diagnostics alarms)", errBlocked, s.blocked)
}

// awaitUnblocked waits until the broker takes messages, no longer than timer
// and ctx allow.
func (s *session) awaitUnblocked(ctx context.Context, timer *time.Timer) error {
	for {
		select { // what was said since the last Deliver
		case b, ok := <-s.blocks:
			s.noteBlocked(b, ok)
			continue
		default:
		}
		if s.blocked == "" {
			return nil
		}
		select {
		case b, ok := <-s.blocks:
			s.noteBlocked(b, ok)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), s.blockedError())
		case <-timer.C:
			return s.blockedError()
		}
	}
}

// probe asks whether the broker would take messages now.
func (s *session) probe(ctx context.Context) error {
	timer := time.NewTimer(s.p.patience)
	defer timer.Stop()
	if err := s.awaitUnblocked(ctx, timer); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.p.patience)
	defer cancel()
	stop := s.endWith(ctx)
	err := ensureExchange(s.conn, &s.p.cfg)
	if !stop() {
		return fmt.Errorf("ask RabbitMQ for a sign of life: %w", ctx.Err())
	}
	return err
}
