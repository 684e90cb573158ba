package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/walherald/walherald/publisher"
)

// ceilingRole as the first argument makes this program a publisher that finds
// the ceiling of a broker.
const ceilingRole = "publish-from-memory"

// The publishers.
const (
	ownClient       = "walherald" // walherald's own for JetStream
	natsClient      = "nats"
	kafkaClient     = "kafka"
	rabbitClient    = "rabbitmq"
	orderedClient   = "pubsub"
	unorderedClient = "pubsub-unordered"
)

// clients are the publishers' programs.
var clients = map[string]func(context.Context, *ceiling) error{
	ownClient:       publishOwn,
	natsClient:      publishNATS,
	kafkaClient:     publishKafka,
	rabbitClient:    publishRabbitMQ,
	orderedClient:   publishPubSub(true),
	unorderedClient: publishPubSub(false),
}

// runClient measures a broker without PostgreSQL: a publisher in a process of
// its own, with as many messages of the same size from memory.
func (b *bench) runClient(ctx context.Context, l line, slot string, loaded load) (s sample, err error) {
	to := b.destinations(l.to)
	if err := to.create(ctx, slot); err != nil {
		return s, err
	}
	exe, err := os.Executable()
	if err != nil {
		return s, fmt.Errorf("find own program: %w", err)
	}
	c := ceiling{
		client: l.client, address: b.brokers[l.to[0].broker].address, topic: slot, subject: b.shape.subject,
		writer: b.shape.writer, body: int(b.shape.meanBody + 0.5), count: loaded.rows,
	}
	p, err := startProcess(exec.Command(exe, c.args()...), b.path(slot+".log"))
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if s, err = p.finish(ctx); err != nil {
		return s, err
	}
	s.events = loaded.rows
	return s, to.finish(ctx, slot, loaded.rows)
}

// warmUpRows is the most that is published to each destination of a phase before
// it is measured: servers that compile as they go need some seconds to be as
// fast as they will be.
var warmUpRows = map[phase]int{usualPhase: 200_000, slowPhase: 20_000}

// warmUp publishes to all that a phase's lines will write to.
func (b *bench) warmUp(ctx context.Context, p phase) error {
	used := make(map[place]bool)
	for _, l := range b.selected(p) {
		for _, to := range l.to {
			used[to] = true
		}
	}
	for _, l := range lines() {
		if l.phase != p || l.client == "" || !used[l.to[0]] {
			continue
		}
		used[l.to[0]] = false // one client is enough
		b.say("warming up: %s …", l.title)
		if _, err := b.runClient(ctx, l, "warm_"+l.slot(0), load{rows: min(b.rows(p), warmUpRows[p])}); err != nil {
			return fmt.Errorf("warm up by %s: %w", l.name, err)
		}
	}
	return nil
}

// ceiling is what a publisher is told on its command line.
type ceiling struct {
	client, address, topic, subject, writer string
	body, count                             int
}

func (c *ceiling) args() []string {
	return []string{
		ceilingRole, "-client", c.client, "-address", c.address, "-topic", c.topic, "-subject", c.subject,
		"-writer", c.writer, "-body", strconv.Itoa(c.body), "-count", strconv.Itoa(c.count),
	}
}

func parseCeiling(args []string) (*ceiling, error) {
	var c ceiling
	flags := flag.NewFlagSet(ceilingRole, flag.ContinueOnError)
	flags.StringVar(&c.client, "client", "", "that publishes")
	flags.StringVar(&c.address, "address", "", "of the server")
	flags.StringVar(&c.topic, "topic", "", "of the run")
	flags.StringVar(&c.subject, "subject", "", "behind the topic")
	flags.StringVar(&c.writer, "writer", "", "of the messages")
	flags.IntVar(&c.body, "body", 0, "size in bytes")
	flags.IntVar(&c.count, "count", 0, "of messages")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if clients[c.client] == nil {
		return nil, fmt.Errorf("there is no client %q", c.client)
	}
	return &c, nil
}

// runCeilingRole is the publishers' program.
func runCeilingRole(args []string) error {
	c, err := parseCeiling(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return clients[c.client](ctx, c)
}

// destination is where the messages go: the subject or topic, or the routing key.
func (c *ceiling) destination() string { return c.topic + "." + c.subject }

// message is what all messages are but for their ids and keys.
func (c *ceiling) message() publisher.Message {
	return publisher.Message{
		Writer: c.writer, Topic: c.destination(), Table: "public.events", Action: publisher.Insert,
		Body: bytes.Repeat([]byte("x"), c.body), CommitTime: 1_735_689_600_123_456,
	}
}

// attributes are what stands beside the bodies, as walherald puts it there. The
// plain clients put the same beside all of them, which costs them the least.
func (c *ceiling) attributes() []publisher.Attribute {
	content := publisher.Content{Type: "application/json"}
	m := c.message()
	return append(content.Attributes(nil, &m, ""), publisher.Attribute{Name: "content-type", Value: content.Type})
}

// key is the key of message number i: a primary key, as the rows have it.
func key(i int) string { return strconv.Itoa(firstID + i) }

// orderingKey is the ordering key of message number i: what the rows have in
// the column keyColumn.
func orderingKey(i int) string { return fmt.Sprintf("user %03d", i%orderingKeys) }
