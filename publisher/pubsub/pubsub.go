// Package pubsub delivers messages to Google Pub/Sub, confirmed and in the order
// of their keys.
//
// # How a batch is written
//
// A batch is split into queues. With ordering keys each key of a topic is a
// queue, because the service takes messages of one key only in a request
// (PubsubMessage.ordering_key in the reference). Without, the keys of a topic are
// hashed onto a few queues. A queue sends its requests one after the other, each
// once the one before is confirmed, so nothing overtakes within a key; queues run
// side by side. There is no linger: a lone message leaves at once.
//
// # Why not the library's Publisher
//
// The calls are those of the generated client (package apiv1), not of
// pubsub.Publisher above it. That one bundles by ordering key as well, so its
// requests are no larger, but it waits for bundles to fill or a delay to pass,
// retries unseen for a minute, and after a failure refuses everything of the
// key until ResumePublish is called: it has to, as it would go on with the next
// message otherwise. Here a queue never goes on past what failed, so no key can
// be left paused, and no message of it be passed by the next.
//
// # What happens at a fault
//
// The client's own retries are switched off: each failure is an error of Deliver,
// seen by whoever retries. What was confirmed before is remembered, and the next
// attempt repeats the rest alone. Pub/Sub cannot be asked what it holds: a request
// whose answer is lost is sent again, all of it, with equal ids. Within a key
// such a repeat comes before anything newer is sent. A connection that has let
// a request wait or that is lost is closed before the next attempt, so that
// nothing on its way over it can arrive later, as far as that is ours to decide.
//
// What Pub/Sub needs of consumers for the order to reach them is in
// docs/pubsub.md.
package pubsub

import (
	"context"
	"errors"
	"log/slog"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walherald/walherald/publisher"
)

// The limits of a publish request (https://cloud.google.com/pubsub/quotas).
const (
	// MaxRequestMessages is how many messages a request may hold.
	MaxRequestMessages = 1000
	// MaxRequestBytes is how large a request may be, and so a message with its
	// attributes, its key and its topic's name.
	MaxRequestBytes = 10_000_000
)

// MissingTopic says what is done about a topic that does not exist.
type MissingTopic string

// The policies, spelled as publisher.missingTopic is.
const (
	// CreateMissing makes the topic.
	CreateMissing MissingTopic = "create"
	// WaitForMissing fails each attempt until somebody has made it.
	WaitForMissing MissingTopic = "wait"
	// StopAtMissing is a permanent error.
	StopAtMissing MissingTopic = "stop"
)

// Config says which project to write to, and how.
type Config struct {
	// Project is the id of the Google Cloud project that the topics are in.
	Project string
	// Content says what the bodies are.
	Content publisher.Content
	// EnableOrdering gives messages their key as ordering key, and those without
	// a key their table's name.
	EnableOrdering bool
	// MissingTopic is a policy; empty means WaitForMissing.
	MissingTopic MissingTopic
	// SkipOversize drops messages that no request can hold, with a log record
	// each; otherwise they are a permanent error.
	SkipOversize bool
	// MaxBatchMessages and MaxBatchBytes bound a request; 0, and whatever is
	// above, means MaxRequestMessages and MaxRequestBytes. A message that is
	// larger than MaxBatchBytes has a request of its own.
	MaxBatchMessages, MaxBatchBytes int
	// CredentialsFile is a JSON file of Google credentials, as a rule a service
	// account's key; empty means the application default credentials.
	CredentialsFile string
	// Endpoint is a regional endpoint, host:port; empty means the global one.
	Endpoint string
	// Emulator is the address of an emulator, host:port, which is spoken to
	// without TLS and credentials; empty means what the environment variable
	// PUBSUB_EMULATOR_HOST says, if anything. It goes before Endpoint.
	Emulator string
	// Options are appended to those of the connection.
	Options []option.ClientOption
}

// Hooks tell the owner what happens. Each may be nil; they are called from
// Deliver.
type Hooks struct {
	// Skipped is called for a message dropped by Config.SkipOversize.
	Skipped func(m publisher.Message)
}

// Publisher is a publisher.Deliverer for the topics of one project.
type Publisher struct {
	cfg   Config
	hooks Hooks
	log   *slog.Logger

	client *pubsub.TopicAdminClient // nil if there is none
	// confirmed are the messages of a failed batch that need not be sent again.
	confirmed map[identity]struct{}
	// lastTopic is the topic that an empty batch asks for.
	lastTopic string
}

// New returns a Publisher. It connects at the first Deliver.
func New(cfg Config, hooks Hooks, log *slog.Logger) *Publisher {
	if cfg.MissingTopic == "" {
		cfg.MissingTopic = WaitForMissing
	}
	cfg.MaxBatchMessages = bounded(cfg.MaxBatchMessages, MaxRequestMessages)
	cfg.MaxBatchBytes = bounded(cfg.MaxBatchBytes, MaxRequestBytes)
	return &Publisher{cfg: cfg, hooks: hooks, log: log, confirmed: make(map[identity]struct{}), lastTopic: neverMade}
}

// bounded returns n, or highest where n is 0 or above it.
func bounded(n, highest int) int {
	if n <= 0 || n > highest {
		return highest
	}
	return n
}

// Deliver implements publisher.Deliverer. Not for concurrent use.
func (p *Publisher) Deliver(ctx context.Context, batch []publisher.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.open(); err != nil {
		return err
	}
	var err error
	if len(batch) == 0 {
		err = p.probe(ctx)
	} else {
		err = p.publish(ctx, batch)
	}
	if lostConnection(err) {
		// What another attempt could still find open may never answer.
		p.log.Debug("Pub/Sub connection given up", "error", err)
		err = errors.Join(err, p.Close())
	}
	return err
}

// lostConnection reports whether err says nothing for the connection.
func lostConnection(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Close ends the connections.
func (p *Publisher) Close() error {
	if p.client == nil {
		return nil
	}
	c := p.client
	p.client = nil
	return c.Close()
}

// publish sends a batch, as far as it is not confirmed already. A message that
// is too large is the end of the batch: what came before it is sent.
func (p *Publisher) publish(ctx context.Context, batch []publisher.Message) error {
	queues, tooLarge := p.plan(batch, publisher.TraceParent(ctx))
	err := p.send(ctx, queues)
	if err == nil && tooLarge == nil {
		clear(p.confirmed)
		return nil
	}
	for _, q := range queues {
		for _, m := range q.messages[:q.sent] {
			p.confirmed[m.id] = struct{}{}
		}
	}
	if err == nil {
		err = tooLarge
	}
	return err
}
