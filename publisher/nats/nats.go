// Package nats delivers messages to NATS JetStream, confirmed and in order.
//
// # How a batch is written
//
// Where the server and the stream have fast batch ingest (NATS 2.14 and newer,
// stream option allow_batched), a batch of messages is one ingest batch: the
// server acknowledges cumulatively and, at the first message that is missing,
// ends the batch instead of leaving a hole (gap mode "fail"). Everywhere else
// each message is published asynchronously with a Nats-Msg-Id, and each names
// the one it expects to follow (Nats-Expected-Last-Msg-Id): when one is refused
// or lost all behind it are refused too. In a stream with replicas, where the
// server cannot refuse so, each is confirmed before the next leaves, which is
// slow: allow_batched is worth having there. Either way what the stream
// holds after a fault is a prefix of the batch, so the order of a key cannot
// be turned round by delivering the batch again.
//
// # How it goes on after a fault
//
// Every message carries its event id and its writer in a header. Ids of one
// writer are ordered, so the last message of ours in the stream says what is
// held already. A new session reads it, leaves out what it covers, and lets
// the first message after it expect the sequence it has just read: if a
// message of the old session lands in between, the server refuses the new one
// and the session starts over. As long as nobody else writes to the stream a
// change is therefore stored once; with other writers it can be stored again,
// with the same id, after a fault.
//
// # What stands beside a body
//
// Bodies that are plain application/json travel with the header Walherald-Id
// alone. The other attributes of walherald (table, action, position, commit time)
// are in the envelope already, and as headers they would cost more than the rest
// of walherald does. Content-Type, Content-Encoding and the attributes of
// CloudEvents in binary mode are written where a consumer could not read the body
// without them, and traceparent where the batch is traced ([publisher.TraceParent]).
//
// A session never reconnects by itself: one connection means one order. When
// it is lost the session is over and the next Deliver opens another.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/publisher"
)

// HeaderID is the header every message carries: its event id and its writer
// (publisher.Message), with a dot between them. It is one header because each
// costs client and server as much as some columns.
const HeaderID = "Walherald-Id"

// EventID returns the event id and the writer that a message's headers hold;
// both are empty if it is none of walherald's.
func EventID(h nats.Header) (id, writer string) {
	id, writer, _ = strings.Cut(h.Get(HeaderID), ".")
	return id, writer
}

// stallTimeout is how long a session waits for the next acknowledgement before
// it gives the connection up. A leader that is lost takes what was on its way
// with it, and nothing will say so.
const stallTimeout = 5 * time.Second

// Config says which servers and which stream to write to.
type Config struct {
	// URLs of the servers; one is enough to find a cluster's others.
	URLs []string
	// Topic names the stream and is the first token of every subject.
	Topic string
	// Credentials say who connects.
	Credentials Credentials
	// MissingTopic says what happens if there is no stream: MissingCreate or
	// empty, MissingWait, MissingStop.
	MissingTopic string
	// Stream is how a stream is made. One that exists stays as it is.
	Stream StreamOptions
	// Content is what the bodies are. Only of other than plain application/json
	// is anything written beside them, with headers that cost throughput.
	Content publisher.Content
	// SkipOversize drops messages that are larger than the server or the stream
	// takes, with a log record each; otherwise they are a permanent error.
	SkipOversize bool
	// Options are appended to those of the connection: TLS, an in-process server.
	Options []nats.Option
}

// Hooks tell the owner what happens. Each may be nil; they are called from
// Deliver.
type Hooks struct {
	// Mode is called when a session has found out how it writes: ModeFast or
	// ModeMsgID.
	Mode func(mode string)
	// Held is called with the number of messages left out because the stream
	// holds them already.
	Held func(n int)
	// Skipped is called for a message dropped by Config.SkipOversize.
	Skipped func(m publisher.Message)
}

// The ways a session writes.
const (
	// ModeFast is fast batch ingest.
	ModeFast = "fast-ingest"
	// ModeMsgID is asynchronous publishing with Nats-Msg-Id.
	ModeMsgID = "msg-id"
)

// Publisher is a publisher.Deliverer for one JetStream stream.
type Publisher struct {
	cfg   Config
	hooks Hooks
	log   *slog.Logger
	// beside is what is written beside bodies; nil means nothing.
	beside *beside

	// stall is stallTimeout, but for tests.
	stall time.Duration

	session *session
	// told says that the stream's difference from the configuration is logged.
	told bool
	// refusals counts attempts in a row that found JetStream turned off.
	refusals int
	// mismatches counts sessions in a row that ended because another writer
	// stood where we expected our own last message.
	mismatches int
}

// New returns a Publisher. It connects at the first Deliver.
func New(cfg Config, hooks Hooks, log *slog.Logger) *Publisher {
	return &Publisher{cfg: cfg, hooks: hooks, log: log, beside: newBeside(cfg.Content), stall: stallTimeout}
}

// maxMismatches is how many sessions in a row may be lost to other writers
// before the sequence expectation is given up: order is then kept without it,
// but a change can be stored twice after a fault.
const maxMismatches = 3

// Deliver implements publisher.Deliverer. Not for concurrent use.
func (p *Publisher) Deliver(ctx context.Context, batch []publisher.Message) error {
	// Acknowledgements that are there already would be taken before ctx is looked at.
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := p.open(ctx)
	if err != nil {
		return err
	}
	if err := s.deliver(ctx, batch); err != nil {
		err = s.rightsError(err)
		p.drop(err)
		return err
	}
	if len(batch) > 0 {
		p.mismatches = 0
	}
	return nil
}

// Close ends the session.
func (p *Publisher) Close() error {
	p.drop(nil)
	return nil
}

// open returns the living session or makes a new one.
func (p *Publisher) open(ctx context.Context) (*session, error) {
	if p.session != nil && !p.session.lost() {
		return p.session, nil
	}
	p.drop(nil)
	s, err := newSession(ctx, p)
	if err != nil {
		return nil, p.refused(err)
	}
	p.session, p.refusals = s, 0
	if p.hooks.Mode != nil {
		p.hooks.Mode(s.mode)
	}
	p.log.Info("JetStream session opened", "server", s.nc.ConnectedAddr(), "stream", s.stream.name,
		"mode", s.mode)
	return s, nil
}

// refused makes JetStream that is turned off a permanent error when it is found
// so twice in a row: a server that is shutting down says it once, before it
// closes its connections. A cluster can be without a leader for longer.
func (p *Publisher) refused(err error) error {
	if errors.Is(err, errNoLeader) || !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, jetstream.ErrJetStreamNotEnabled) &&
		!errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		p.refusals = 0
		return err
	}
	if p.refusals++; p.refusals == 1 {
		return err
	}
	return publisher.Permanent(fmt.Errorf("%w: JetStream is turned off: start nats-server with -js and enable JetStream for the account", err))
}

// drop ends the session; cause is the error that made it useless.
func (p *Publisher) drop(cause error) {
	if errors.Is(cause, errWrongSequence) {
		p.mismatches++
	}
	if p.session != nil {
		p.session.close()
		p.session = nil
	}
}

// oversizeError is permanent: the message will never fit.
func oversizeError(m *publisher.Message, size, limit int) error {
	return publisher.Permanent(publisher.NamingKey(m.Key, fmt.Errorf(
		"publish %s of %s with key %q: message of %d bytes exceeds the limit of %d bytes of server and stream: "+
			"raise max_payload (and the stream's max_msg_size), exclude a column, or set publisher.oversize: skip",
		m.Action, m.Table, m.Key, size, limit)))
}
