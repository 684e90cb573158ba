// Package rabbitmq delivers messages to a RabbitMQ exchange, confirmed and in
// order per key.
//
// # When a message counts as delivered
//
// Messages are persistent and published in confirm mode with the flag
// mandatory. One counts as delivered once the broker has confirmed it and has
// not returned it before: a message that no queue takes is returned and then
// confirmed all the same (https://www.rabbitmq.com/docs/confirms). A nack, a
// return and a connection that ends mean the same: not delivered, try again.
//
// # How order is kept
//
// A broker can refuse one message, say because a queue is full, and store the
// next. So of two messages with equal key and topic the second leaves only once
// the first is confirmed; messages of different keys leave together. A key that
// changes all the time therefore costs one round trip for each change. Messages
// without a key leave freely, in commit order; refused ones come late.
//
// # How it goes on after a fault
//
// What was confirmed is remembered for as long as a batch is tried again, and
// is not published twice. After a nack, a return or a cancelled wait the
// session, which is one connection with one channel, goes on; what is still on
// its way is waited for and not repeated. A session whose connection or channel
// ends is over, the next Deliver opens another, and what was unconfirmed then is
// repeated with the same id: at most one message for each key. A new session's
// first message goes alone, and the others follow once it is confirmed. So a
// broker that blocks publishers (memory or disk alarm) never gathers repeats.
//
// Nothing is published while the broker blocks the connection: Deliver returns
// an error that names the broker's reason, and the next waits some seconds for
// the end of it before it does the same.
//
// A broker forgets nobody who is cut off until it notices. A message it had
// received and not yet stored can therefore, in rare cases, be stored behind its
// own repeat and what followed that. Consumers drop repeats by message-id.
package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// Config says which brokers and which exchange to write to.
type Config struct {
	// URLs of the nodes, amqp://user:password@host:port/vhost, of which those
	// parts that are missing mean guest, guest, localhost, 5672 (5671 with TLS)
	// and the vhost /. They are tried in turn. The parameters auth_mechanism
	// (plain, external) and connection_timeout (milliseconds) are heeded.
	URLs []string
	// User and Password replace those in the URLs, unless they are empty.
	User     string
	Password config.Secret
	// TLS is what connections are secured with; nil means that only those of
	// URLs with the scheme amqps are, with the system's authorities.
	TLS *tls.Config
	// Exchange is the exchange messages are published to.
	Exchange string
	// Kind is the kind of exchange that is made: topic, direct or fanout. Empty
	// means topic.
	Kind string
	// Missing says what to do where the exchange does not exist: one of the
	// Missing constants; empty means MissingCreate.
	Missing string
	// SkipOversize drops messages that are larger than the broker takes, with a
	// log record each; otherwise they are a permanent error.
	SkipOversize bool
	// Content says what the bodies are.
	Content publisher.Content
}

// What can happen where the exchange does not exist. With MissingCreate one that
// exists has to be of the kind and durable; otherwise it is taken as it is.
const (
	MissingCreate = "create" // make it
	MissingWait   = "wait"   // an error at every attempt until somebody has made it
	MissingStop   = "stop"   // a permanent error
)

// Hooks tell the owner what happens. Each may be nil; they are called from
// Deliver.
type Hooks struct {
	// Skipped is called for a message dropped by Config.SkipOversize.
	Skipped func(m publisher.Message)
}

// Publisher is a publisher.Deliverer for one exchange.
type Publisher struct {
	cfg   Config
	hooks Hooks
	log   *slog.Logger

	// patience and stall are what the constants say, but for tests.
	patience, stall time.Duration

	session *session
	// host is the URL to begin with.
	host int
	// pending is the batch that was tried last and not delivered; or nil.
	pending *waves
	// limit is the largest body in bytes that the broker said it takes when it
	// ended a session for it; 0 means that it has not. The limit is asked for by
	// trying because it can be raised at any time.
	limit int
}

const (
	// patience is how long Deliver waits for the broker to say anything before
	// it returns an error, so that somebody learns of it.
	patience = 5 * time.Second
	// stallTimeout is how long a session may go on without a confirm. Heartbeats
	// tell of connections that are gone long before; this is for a broker that
	// lost a confirm. What is unconfirmed is then published again.
	stallTimeout = 2 * time.Minute
)

// New returns a Publisher. It connects at the first Deliver.
func New(cfg Config, hooks Hooks, log *slog.Logger) *Publisher {
	return &Publisher{cfg: cfg, hooks: hooks, log: log, patience: patience, stall: stallTimeout}
}

// Deliver implements publisher.Deliverer. Not for concurrent use.
func (p *Publisher) Deliver(ctx context.Context, batch []publisher.Message) error {
	err := p.attempt(ctx, batch)
	if errors.Is(err, errTooLarge) { // and now it is known which messages are
		err = p.attempt(ctx, batch)
	}
	return err
}

func (p *Publisher) attempt(ctx context.Context, batch []publisher.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(batch) > 0 && !p.pending.of(batch) {
		if p.session != nil && len(p.session.flights) > 0 { // another batch was given up
			p.drop(nil)
		}
		p.pending = newWaves(batch)
	}
	s, err := p.open(ctx)
	if err != nil {
		return err
	}
	if len(batch) == 0 {
		err = s.probe(ctx)
	} else {
		err = s.deliver(ctx, batch, p.pending)
	}
	if err == nil && len(batch) > 0 {
		p.pending = nil
	}
	if s.over() {
		p.drop(err)
	}
	return err
}

// Close ends the session.
func (p *Publisher) Close() error {
	p.drop(nil)
	return nil
}

// open returns the living session or makes a new one.
func (p *Publisher) open(ctx context.Context) (*session, error) {
	if p.session != nil && !p.session.over() {
		return p.session, nil
	}
	p.drop(nil)
	s, err := newSession(ctx, p)
	if err != nil {
		return nil, err
	}
	p.session = s
	p.log.Info("RabbitMQ session opened", "server", s.conn.RemoteAddr().String(), "exchange", p.cfg.Exchange)
	return s, nil
}

// drop ends the session; cause is the error that made it useless. What it was
// told before its end still counts, the rest has to be published again.
func (p *Publisher) drop(cause error) {
	if p.session == nil {
		return
	}
	p.session.close(p.pending)
	p.session = nil
	if p.pending != nil {
		p.pending.loseAll()
	}
	if !errors.Is(cause, errTooLarge) {
		p.limit = 0
	}
}
