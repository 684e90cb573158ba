package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// The names of the lines, for -only and for the ratios.
const (
	recvName             = "pg_recvlogical"
	discardName          = "discard"
	jetStreamName        = "jetstream"
	msgIDName            = "jetstream-msgid"
	ceilingName          = "ceiling"
	ceilingMsgIDName     = "ceiling-msgid"
	ceilingNATSName      = "ceiling-nats"
	kafkaName            = "kafka"
	ceilingKafkaName     = "ceiling-kafka"
	fanoutDiscardName    = "fanout-discard"
	fanoutKafkaName      = "fanout-kafka"
	rabbitName           = "rabbitmq"
	ceilingRabbitName    = "ceiling-rabbitmq"
	classicName          = "rabbitmq-classic"
	ceilingClassicName   = "ceiling-rabbitmq-classic"
	orderedName          = "pubsub"
	ceilingOrderedName   = "ceiling-pubsub"
	unorderedName        = "pubsub-unordered"
	ceilingUnorderedName = "ceiling-pubsub-unordered"
	bigDiscardName       = "big-discard"
	bigJetStreamName     = "big-jetstream"
	turnsRecvName        = "turns-pg_recvlogical"
	turnsDiscardName     = "turns-discard"
	rulesDiscardName     = "rules-discard"
	rulesJetStreamName   = "rules-jetstream"
)

// phase is what the lines read that are run together.
type phase int

const (
	usualPhase phase = iota // the usual transactions
	slowPhase               // fewer of them, for brokers that take their time
	bigPhase                // the one large transaction
	turnsPhase              // many tables in turn
)

// line is one line of the table.
type line struct {
	name  string
	title string
	phase phase
	// to is where events go to; empty for pg_recvlogical.
	to []place
	// client is the publisher that writes there without PostgreSQL and
	// walherald; empty if it is them.
	client string
}

// lines returns the lines in the table's order.
func lines() []line {
	return []line{
		{recvName, "pg_recvlogical to /dev/null", usualPhase, nil, ""},
		{discardName, "walherald, discard", usualPhase, []place{toDiscard}, ""},
		{jetStreamName, "walherald to JetStream, fast ingest", usualPhase, []place{toFastStream}, ""},
		{msgIDName, "walherald to JetStream, message ids", usualPhase, []place{toStream}, ""},
		{rulesDiscardName, "walherald, discard, 100 rules that never match", usualPhase, []place{toDiscard}, ""},
		{rulesJetStreamName, "walherald to JetStream, 100 rules that never match", usualPhase, []place{toFastStream}, ""},
		{kafkaName, "walherald to Kafka", usualPhase, []place{toKafka}, ""},
		{fanoutDiscardName, "walherald to discard and JetStream at once", usualPhase, []place{toDiscard, toFastStream}, ""},
		{fanoutKafkaName, "walherald to JetStream and Kafka at once", usualPhase, []place{toFastStream, toKafka}, ""},
		{ceilingName, "publisher alone, fast ingest", usualPhase, []place{toFastStream}, ownClient},
		{ceilingMsgIDName, "publisher alone, message ids", usualPhase, []place{toStream}, ownClient},
		{ceilingNATSName, "plain client, JetStream, message ids", usualPhase, []place{toStream}, natsClient},
		{ceilingKafkaName, "plain client, Kafka", usualPhase, []place{toKafka}, kafkaClient},
		{rabbitName, "walherald to RabbitMQ, quorum queue", slowPhase, []place{toQuorum}, ""},
		{ceilingRabbitName, "plain client, RabbitMQ, quorum queue", slowPhase, []place{toQuorum}, rabbitClient},
		{classicName, "walherald to RabbitMQ, classic queue", slowPhase, []place{toClassic}, ""},
		{ceilingClassicName, "plain client, RabbitMQ, classic queue", slowPhase, []place{toClassic}, rabbitClient},
		{orderedName, "walherald to Pub/Sub, ordering keys", slowPhase, []place{toOrdered}, ""},
		{ceilingOrderedName, "plain client, Pub/Sub, ordering keys", slowPhase, []place{toOrdered}, orderedClient},
		{unorderedName, "walherald to Pub/Sub, no ordering keys", slowPhase, []place{toUnordered}, ""},
		{ceilingUnorderedName, "plain client, Pub/Sub, no ordering keys", slowPhase, []place{toUnordered}, unorderedClient},
		{bigDiscardName, "one large transaction, discard", bigPhase, []place{toDiscard}, ""},
		{bigJetStreamName, "one large transaction, JetStream, fast ingest", bigPhase, []place{toFastStream}, ""},
		{turnsRecvName, "many tables in turn, pg_recvlogical", turnsPhase, nil, ""},
		{turnsDiscardName, "many tables in turn, discard", turnsPhase, []place{toDiscard}, ""},
	}
}

// slot returns the name of the line's slot in the given run, from 0.
func (l line) slot(run int) string {
	return fmt.Sprintf("%s_%d", strings.ReplaceAll(l.name, "-", "_"), run+1)
}

// ours reports whether it is walherald that the line measures.
func (l line) ours() bool { return len(l.to) > 0 && l.client == "" }

// run runs the line once.
func (l line) run(ctx context.Context, b *bench, slot string, loaded load) (sample, error) {
	switch {
	case len(l.to) == 0:
		return b.runRecvlogical(ctx, slot, loaded)
	case l.client != "":
		return b.runClient(ctx, l, slot, loaded)
	}
	return b.runWalherald(ctx, l, slot, loaded)
}

// lineNames lists what -only can match.
func lineNames() []string {
	var names []string
	for _, l := range lines() {
		names = append(names, l.name)
	}
	for _, p := range pacedLines() {
		names = append(names, p.name)
	}
	for _, n := range notifyingLines() {
		names = append(names, n.name)
	}
	return append(names, encodingName)
}

// wanted reports whether -only asks for a line.
func (b *bench) wanted(name string) bool { return b.opts.only.MatchString(name) }

// selected returns the lines that -only asks for.
func (b *bench) selected(p phase) []line {
	var some []line
	for _, l := range lines() {
		if l.phase == p && b.wanted(l.name) {
			some = append(some, l)
		}
	}
	return some
}

// rows is how many rows the lines of a phase read; 0 leaves them out.
func (b *bench) rows(p phase) int {
	switch p {
	case slowPhase:
		return b.opts.slow
	case bigPhase:
		return b.opts.big
	case turnsPhase:
		return b.opts.tables
	}
	return b.opts.rows
}

// runRecvlogical measures PostgreSQL's own client, which writes what it
// receives to nowhere and ends at the target.
func (b *bench) runRecvlogical(ctx context.Context, slot string, l load) (s sample, err error) {
	p, err := startProcess(exec.Command(b.recv, "--dbname", b.pg.DSN(database), "--slot", slot, "--start", "--no-loop",
		"--endpos", l.target, "--file", os.DevNull, "--option", "proto_version=1", "--option", "publication_names="+l.publication),
		b.path(slot+".log"))
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if s, err = p.finish(ctx); err != nil {
		return s, err
	}
	s.events = l.rows
	if reached, err := b.src.confirmed(ctx, slot, l.last); err != nil || !reached {
		return s, errors.Join(errors.New("pg_recvlogical ended before the last transaction"), err)
	}
	return s, nil
}

// runWalherald measures the program with the line's destinations, which then
// have to hold all rows and the marker.
func (b *bench) runWalherald(ctx context.Context, l line, slot string, loaded load) (sample, error) {
	to := b.destinations(l.to)
	if err := to.create(ctx, slot); err != nil {
		return sample{}, err
	}
	s, err := b.runProgram(ctx, slot, to.sections(slot)+l.extra(), loaded)
	if err != nil {
		return s, err
	}
	return s, to.finish(ctx, slot, loaded.rows+1)
}

// configFile writes a configuration in which nothing is tuned and returns its
// path. output says where events go.
func (b *bench) configFile(slot, publication, output string) (string, error) {
	path := b.path(slot + ".yml")
	text := fmt.Sprintf("listener:\n  slotName: %s\n  publication: %s\n"+
		"database:\n  host: %s\n  port: %d\n  name: %s\n  user: %s\n%s",
		slot, publication, b.pg.Host(), b.pg.Port(), database, b.pg.User(), output)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write configuration: %w", err)
	}
	return path, nil
}

// runProgram measures the program from its start until it has confirmed all
// rows, then stops it once it has confirmed the marker too.
func (b *bench) runProgram(ctx context.Context, slot, output string, l load) (s sample, err error) {
	path, err := b.configFile(slot, l.publication, output)
	if err != nil {
		return s, err
	}
	p, err := startProcess(exec.Command(b.walherald, "-c", path), b.path(slot+".log"))
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := b.src.awaitConfirmed(ctx, slot, l.target, p.Done()); err != nil {
		return s, p.explain(err)
	}
	elapsed := time.Since(p.started)
	if err := b.src.awaitConfirmed(ctx, slot, l.end, p.Done()); err != nil {
		return s, p.explain(err)
	}
	if s, err = p.stop(ctx); err != nil {
		return s, err
	}
	s.elapsed, s.events = elapsed, l.rows
	return s, nil
}
