package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/walherald/walherald/config"
)

// broker is a server that events go to and that runs.
type broker struct {
	version string // which server it is, for the report
	address string // that clients connect to
	// destination returns what is written to, if it is of that kind.
	destination func(kind string) destination
	close       func() error
}

// A destination is where one run's events go. Every run has a topic of its own,
// whose name is that of its slot.
type destination interface {
	// create makes what has to be there before walherald starts.
	create(ctx context.Context, topic string) error
	// section is walherald's configuration of the publisher, key by key.
	section(topic string) []string
	// finish checks that as many messages are stored as there should be, no more
	// and no fewer, and that they were written in the way that was meant to be
	// measured. Then it removes them and all that was made for the topic.
	finish(ctx context.Context, topic string, messages int) error
}

// The brokers, by the names they have in configurations.
var brokers = []struct {
	name, title string
	open        func(ctx context.Context, b *bench) (*broker, error)
}{
	{config.PublisherNATS, "NATS", openNATS},
	{config.PublisherKafka, "Kafka", openKafka},
	{config.PublisherRabbitMQ, "RabbitMQ", openRabbitMQ},
	{config.PublisherPubSub, "Pub/Sub", openPubSub},
}

// place is a kind of destination.
type place struct {
	broker string // its name; empty: it needs none
	kind   string // which one, where a broker has several
}

var (
	toDiscard    = place{}
	toFastStream = place{config.PublisherNATS, fastKind}
	toStream     = place{config.PublisherNATS, msgIDKind}
	toKafka      = place{config.PublisherKafka, ""}
	toQuorum     = place{config.PublisherRabbitMQ, quorumKind}
	toClassic    = place{config.PublisherRabbitMQ, classicKind}
	toOrdered    = place{config.PublisherPubSub, orderedKind}
	toUnordered  = place{config.PublisherPubSub, unorderedKind}
)

// startBrokers starts those that what was asked for needs.
func (b *bench) startBrokers(ctx context.Context) error {
	needed := b.neededBrokers()
	for _, known := range brokers {
		if !slices.Contains(needed, known.name) {
			continue
		}
		b.say("starting %s …", known.title)
		opened, err := known.open(ctx, b)
		if err != nil {
			return fmt.Errorf("start %s: %w", known.title, err)
		}
		b.brokers[known.name] = opened
	}
	return nil
}

// neededBrokers are those of the lines and of the latencies that are measured.
func (b *bench) neededBrokers() []string {
	var names []string
	for _, l := range lines() {
		if b.wanted(l.name) && b.rows(l.phase) > 0 {
			for _, p := range l.to {
				names = append(names, p.broker)
			}
		}
	}
	for _, p := range b.pacedLines() {
		names = append(names, p.to.broker)
	}
	return names
}

// closeBrokers stops all that run.
func (b *bench) closeBrokers() error {
	var errs []error
	for _, running := range b.brokers {
		errs = append(errs, running.close())
	}
	return errors.Join(errs...)
}

// destination returns the place's destination; its broker runs.
func (b *bench) destination(p place) destination {
	if p.broker == "" {
		return discard{}
	}
	return b.brokers[p.broker].destination(p.kind)
}

// destinations are several side by side, as one that has their sections.
type destinations []destination

func (b *bench) destinations(places []place) destinations {
	var all destinations
	for _, p := range places {
		all = append(all, b.destination(p))
	}
	return all
}

func (d destinations) create(ctx context.Context, topic string) error {
	for _, one := range d {
		if err := one.create(ctx, topic); err != nil {
			return err
		}
	}
	return nil
}

func (d destinations) finish(ctx context.Context, topic string, messages int) error {
	for _, one := range d {
		if err := one.finish(ctx, topic, messages); err != nil {
			return err
		}
	}
	return nil
}

// sections is the part of a configuration that says where events go.
func (d destinations) sections(topic string) string {
	if len(d) == 1 {
		return "publisher:\n  " + strings.Join(d[0].section(topic), "\n  ") + "\n"
	}
	text := "publishers:\n"
	for _, one := range d {
		text += "  - " + strings.Join(one.section(topic), "\n    ") + "\n"
	}
	return text
}

// discard keeps nothing.
type discard struct{}

func (discard) create(context.Context, string) error      { return nil }
func (discard) section(string) []string                   { return []string{"type: " + config.PublisherDiscard} }
func (discard) finish(context.Context, string, int) error { return nil }

// stored is the error for a topic that does not hold what it should, or nil.
func stored(what, topic string, have, want int) error {
	if have == want {
		return nil
	}
	return fmt.Errorf("%s %s holds %d messages, should hold %d", what, topic, have, want)
}
