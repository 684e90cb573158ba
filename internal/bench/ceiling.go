package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/nats"
)

// ceilingRole as the first argument makes this program the publisher that
// finds JetStream's ceiling.
const ceilingRole = "publish-from-memory"

// ceilingBatch is how many messages the publisher hands over at a time: as many
// as walherald does in a flood.
const ceilingBatch = 8192

// shape is what walherald's messages look like.
type shape struct {
	meanBody float64 // bytes
	writer   string
	subject  string // behind the topic
}

// readShape lets walherald read some rows and looks at what it makes of them.
func (b *bench) readShape(ctx context.Context) error {
	const slot = "shape"
	if err := b.src.createSlot(ctx, slot); err != nil {
		return err
	}
	loaded, err := b.src.load(ctx, rowsPerTransaction, rowsPerTransaction)
	if err != nil {
		return err
	}
	count, size := 0, 0
	h, err := b.startHere(ctx, slot, publication, "type: "+config.PublisherDiscard, func(batch []publisher.Message, _ time.Time) {
		count += len(batch)
		for i := range batch {
			size += len(batch[i].Body)
		}
		b.shape.writer, b.shape.subject = batch[0].Writer, batch[0].Topic
	})
	if err != nil {
		return err
	}
	err = b.src.awaitConfirmed(ctx, slot, loaded.end, h.ended)
	if err = errors.Join(err, h.stop()); err != nil {
		return fmt.Errorf("read a message's shape: %w", err)
	}
	if want := loaded.rows + 1; count != want {
		return fmt.Errorf("read a message's shape: got %d messages, should be %d", count, want)
	}
	b.shape.meanBody = float64(size) / float64(count)
	return b.src.dropSlot(ctx, slot)
}

// runCeiling measures JetStream without PostgreSQL: the publisher alone, in a
// process of its own, with as many messages of the same size from memory.
func runCeiling(fast bool) func(context.Context, *bench, string, load) (sample, error) {
	return func(ctx context.Context, b *bench, slot string, l load) (s sample, err error) {
		if !fast {
			if err := b.streams.create(ctx, slot); err != nil {
				return s, err
			}
		}
		exe, err := os.Executable()
		if err != nil {
			return s, fmt.Errorf("find own program: %w", err)
		}
		p, err := startProcess(exec.Command(exe, ceilingRole, "-url", b.nats.URL(), "-topic", slot, "-subject", b.shape.subject,
			"-writer", b.shape.writer, "-body", strconv.Itoa(int(b.shape.meanBody+0.5)), "-count", strconv.Itoa(l.rows)),
			b.path(slot+".log"))
		if err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, p.close()) }()
		if s, err = p.finish(ctx); err != nil {
			return s, err
		}
		s.events = l.rows
		return s, b.streams.finish(ctx, slot, fast, l.rows)
	}
}

// ceiling is what the publisher is told on its command line.
type ceiling struct {
	url, topic, subject, writer string
	body, count                 int
}

// runCeilingRole is the publisher's program.
func runCeilingRole(args []string) error {
	var c ceiling
	flags := flag.NewFlagSet(ceilingRole, flag.ContinueOnError)
	flags.StringVar(&c.url, "url", "", "of the server")
	flags.StringVar(&c.topic, "topic", "", "the stream's")
	flags.StringVar(&c.subject, "subject", "", "behind the topic")
	flags.StringVar(&c.writer, "writer", "", "of the messages")
	flags.IntVar(&c.body, "body", 0, "size in bytes")
	flags.IntVar(&c.count, "count", 0, "of messages")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return c.publish(ctx)
}

// publish sends the messages, batch by batch, until all are confirmed.
func (c ceiling) publish(ctx context.Context) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	p := nats.New(nats.Config{URLs: []string{c.url}, Topic: c.topic}, nats.Hooks{}, log)
	defer func() { err = errors.Join(err, p.Close()) }()
	batch := c.messages(min(ceilingBatch, c.count))
	for sent, number := 0, uint64(1); sent < c.count; number++ {
		batch = batch[:min(len(batch), c.count-sent)]
		for i := range batch {
			if batch[i].ID, err = publisher.NewID(number, uint64(i), 0); err != nil {
				return err
			}
		}
		if err := p.Deliver(ctx, batch); err != nil {
			return fmt.Errorf("publish batch %d: %w", number, err)
		}
		sent += len(batch)
	}
	return nil
}

// messages makes n messages of one body; only their ids will differ.
func (c ceiling) messages(n int) []publisher.Message {
	body := bytes.Repeat([]byte("x"), c.body)
	all := make([]publisher.Message, n)
	for i := range all {
		all[i] = publisher.Message{
			Writer: c.writer, Topic: c.topic + "." + c.subject, Table: "public.events", Action: publisher.Insert, Body: body,
		}
	}
	return all
}
