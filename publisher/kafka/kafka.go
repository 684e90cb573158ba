// Package kafka delivers messages to Apache Kafka, confirmed and in order.
//
// # How a batch is written
//
// A message with a key goes to the partition that Kafka's own Java client would
// choose for it, one without a key to the partition that its table's name
// chooses, so that the changes of such a table stay in order too. Of each
// partition one batch of records is on its way at a time; partitions go side by
// side, those of one broker in one request. A message counts as delivered when
// all replicas in sync have it (acks=all). Nothing waits for more to come: a
// lone message leaves at once.
//
// Around each body stand headers: the attributes walherald-… of package
// publisher, content-type, content-encoding if the body is compressed, and in
// CloudEvents' binary mode the attributes ce_…; and traceparent where the batch
// is traced ([publisher.TraceParent]).
//
// # What a fault can do
//
// Batches of records carry a producer id, an epoch and a sequence number. When a
// connection is lost, what was on its way may be stored or not. It is sent again
// as it was, with the same number, and the broker stores it once. Where it
// cannot be sent again as it was, or the broker does not know the number, the
// partition's epoch is raised: what still comes of the old one is refused as
// soon as something of the new one is stored. So what a partition holds is
// always a prefix of what was sent to it, and within one run of the process
// nothing is repeated as long as the broker remembers the producer (a day). A
// process that starts again has another producer id: what it is handed again it
// writes again, with the same ids.
//
// Where the brokers give no producer id, what was on its way can be stored
// twice, and late. The first occurrences are still in order.
//
// A partition remembers the last message it has confirmed, so a batch that
// failed in part is not repeated where it succeeded.
//
// The package speaks through kafka-go's protocol layer over connections of its
// own, one to a broker, without goroutines: kafka-go's Transport keeps what it
// knows of leaders for seconds, however stale, and sends one partition a request.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// What can happen where a topic is missing.
const (
	MissingCreate = "create"
	MissingWait   = "wait"
	MissingStop   = "stop"
)

// Config says which brokers to write to and how.
type Config struct {
	// Addresses are host:port of some brokers, which know the others.
	Addresses []string
	// TLS is what connections are secured with; nil is not.
	TLS *tls.Config
	// SASL is none, plain, scram-sha-256 or scram-sha-512; empty is none.
	SASL     string
	User     string
	Password config.Secret
	// Compression of batches of records is none, gzip, snappy, lz4 or zstd; empty
	// is none.
	Compression string
	// Content is what the bodies are.
	Content publisher.Content
	// MissingTopic is one of the Missing constants; empty is MissingWait.
	MissingTopic string
	// Partitions and ReplicationFactor are of topics that are made; 0 is the
	// broker's default.
	Partitions, ReplicationFactor int
	// SkipOversize drops messages that are larger than their topic takes, with a
	// log record each; otherwise they are a permanent error.
	SkipOversize bool
}

// Hooks tell the owner what happens. Each may be nil; they are called from
// Deliver, one at a time.
type Hooks struct {
	// Mode is called with ModeIdempotent or ModePlain when it is found out.
	Mode func(mode string)
	// Held is called with the number of messages left out because their partition
	// holds them already.
	Held func(n int)
	// Skipped is called for a message dropped by Config.SkipOversize.
	Skipped func(m publisher.Message)
}

// The ways to write.
const (
	// ModeIdempotent is with a producer id.
	ModeIdempotent = "idempotent"
	// ModePlain is without, where brokers give none.
	ModePlain = "plain"
)

// Publisher is a publisher.Deliverer for one cluster.
type Publisher struct {
	cfg         Config
	hooks       Hooks
	log         *slog.Logger
	compression compress.Compression
	invalid     error // what is wrong with cfg

	cluster  *cluster
	topics   map[string]*topic
	asked    time.Time // when the leaders were asked for last
	producer producer  // what new partitions begin with
	plain    bool      // there is no producer id to be had
	// unfinished says that a batch has failed, perhaps in part, and nothing was
	// delivered since.
	unfinished bool

	active []*partition    // of the current batch
	lanes  map[int32]*lane // by node id
	mu     sync.Mutex      // guards producer and calls of hooks while lanes run
}

// New returns a Publisher. It connects at the first Deliver.
func New(cfg Config, hooks Hooks, log *slog.Logger) *Publisher {
	p := &Publisher{
		cfg: cfg, hooks: hooks, log: log,
		topics: make(map[string]*topic), lanes: make(map[int32]*lane), producer: nobody,
	}
	p.compression, p.invalid = compressionOf(cfg.Compression)
	sec, err := securityOf(cfg)
	if p.invalid == nil {
		p.invalid = err
	}
	if p.invalid == nil {
		p.invalid = checkAddresses(cfg.Addresses)
	}
	p.cluster = newCluster(cfg.Addresses, sec)
	return p
}

func compressionOf(name string) (compress.Compression, error) {
	var c compress.Compression
	if name == "" {
		return c, nil
	}
	if err := c.UnmarshalText([]byte(name)); err != nil {
		return c, publisher.Permanent(fmt.Errorf("publisher.kafka.compression: %w", err))
	}
	return c, nil
}

func securityOf(cfg Config) (security, error) {
	sec := security{tls: cfg.TLS}
	var err error
	switch cfg.SASL {
	case "", config.SASLNone:
	case config.SASLPlain:
		sec.sasl = plain.Mechanism{Username: cfg.User, Password: string(cfg.Password)}
	case config.SASLScramSHA256:
		sec.sasl, err = scramOf(scram.SHA256, cfg)
	case config.SASLScramSHA512:
		sec.sasl, err = scramOf(scram.SHA512, cfg)
	default:
		err = publisher.Permanent(fmt.Errorf("publisher.kafka.sasl: %q is not none, plain, scram-sha-256 or scram-sha-512", cfg.SASL))
	}
	return sec, err
}

func scramOf(algorithm scram.Algorithm, cfg Config) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(algorithm, cfg.User, string(cfg.Password))
	if err != nil { // it shows the password
		return nil, publisher.Permanent(errors.New("publisher.password: it or publisher.user holds a character that SCRAM does not allow (RFC 4013)"))
	}
	return m, nil
}

// Deliver implements publisher.Deliverer. Not for concurrent use.
func (p *Publisher) Deliver(ctx context.Context, batch []publisher.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.invalid != nil {
		return p.invalid
	}
	if err := p.ensureProducer(ctx); err != nil {
		return err
	}
	if len(batch) == 0 || time.Since(p.asked) > metadataAge {
		if _, err := p.refresh(ctx, nil); err != nil {
			return err
		}
	}
	if len(batch) == 0 {
		return nil
	}
	if err := p.route(ctx, batch); err != nil {
		return err
	}
	p.unfinished = true
	if err := p.send(ctx, batch); err != nil {
		return err
	}
	p.unfinished = false
	return nil
}

// Close ends the connections.
func (p *Publisher) Close() error {
	p.cluster.close()
	return nil
}

// route puts the batch into the queues of its partitions, without what these
// hold already.
func (p *Publisher) route(ctx context.Context, batch []publisher.Message) error {
	for _, part := range p.active {
		part.queue, part.done = part.queue[:0], 0
	}
	p.active = p.active[:0]
	var t *topic
	held, trace := 0, publisher.TraceParent(ctx)
	for i := range batch {
		m := &batch[i]
		if t == nil || t.name != m.Topic {
			if t = p.topics[m.Topic]; t == nil || t.count == 0 {
				if err := p.ensureTopics(ctx, p.unknown(batch[i:])); err != nil {
					return err
				}
				t = p.topics[m.Topic]
			}
		}
		part := t.parts[t.placeOf(m)]
		if part.holds(m) {
			held++
			continue
		}
		if len(part.queue) == 0 {
			p.active, part.trace = append(p.active, part), trace
		}
		part.queue = append(part.queue, int32(i))
	}
	p.tellHeld(held, batch)
	return nil
}

// placeOf chooses the message's partition.
func (t *topic) placeOf(m *publisher.Message) int {
	switch {
	case t.count == 1:
		return 0
	case len(m.Key) == 0:
		return partitionOf(m.Table, t.count)
	}
	return partitionOf(m.Key, t.count)
}

// unknown lists the topics of messages that are not known, each once.
func (p *Publisher) unknown(batch []publisher.Message) []string {
	var names []string
	seen := make(map[string]bool)
	for i := range batch {
		name := batch[i].Topic
		if t := p.topics[name]; !seen[name] && (t == nil || t.count == 0) {
			names = append(names, name)
		}
		seen[name] = true
	}
	return names
}

func (p *Publisher) tellHeld(n int, batch []publisher.Message) {
	if n == 0 {
		return
	}
	p.log.Info("messages that Kafka holds already are left out", "count", n, "of", len(batch))
	if p.hooks.Held != nil {
		p.hooks.Held(n)
	}
}

// skip tells of a message that is dropped because it is too large.
func (p *Publisher) skip(m *publisher.Message, size int, t *topic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.Error("message dropped because it is too large (publisher.oversize: skip)", "table", m.Table,
		"action", m.Action, "key", string(m.Key), "id", m.ID, "bytes", size, "topic", t.name, "limit", t.limit)
	if p.hooks.Skipped != nil {
		p.hooks.Skipped(*m)
	}
}
