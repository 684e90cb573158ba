package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/walherald/walherald/config"
)

// The names of the lines, for -only and for the ratios.
const (
	recvName         = "pg_recvlogical"
	discardName      = "discard"
	jetStreamName    = "jetstream"
	msgIDName        = "jetstream-msgid"
	ceilingName      = "ceiling"
	ceilingMsgIDName = "ceiling-msgid"
	bigDiscardName   = "big-discard"
	bigJetStreamName = "big-jetstream"
	turnsRecvName    = "turns-pg_recvlogical"
	turnsDiscardName = "turns-discard"
	latencyName      = "latency"
	encodingName     = "encoding"
)

// phase is what the lines read that are run together.
type phase int

const (
	usualPhase phase = iota // the usual transactions
	bigPhase                // the one large transaction
	turnsPhase              // many tables in turn
)

// line is one line of the table.
type line struct {
	name  string
	title string
	phase phase
	run   func(ctx context.Context, b *bench, slot string, l load) (sample, error)
}

// slot returns the name of the line's slot in the given run, from 0.
func (l line) slot(run int) string {
	return fmt.Sprintf("%s_%d", strings.ReplaceAll(l.name, "-", "_"), run+1)
}

// lines returns the lines in the table's order.
func lines() []line {
	return []line{
		{recvName, "pg_recvlogical to /dev/null", usualPhase, runRecvlogical},
		{discardName, "walherald, discard", usualPhase, runDiscard},
		{jetStreamName, "walherald to JetStream, fast ingest", usualPhase, runJetStream(true)},
		{msgIDName, "walherald to JetStream, message ids", usualPhase, runJetStream(false)},
		{ceilingName, "publisher alone, fast ingest", usualPhase, runCeiling(true)},
		{ceilingMsgIDName, "publisher alone, message ids", usualPhase, runCeiling(false)},
		{bigDiscardName, "one large transaction, discard", bigPhase, runDiscard},
		{bigJetStreamName, "one large transaction, JetStream, fast ingest", bigPhase, runJetStream(true)},
		{turnsRecvName, "many tables in turn, pg_recvlogical", turnsPhase, runRecvlogical},
		{turnsDiscardName, "many tables in turn, discard", turnsPhase, runDiscard},
	}
}

// lineNames lists what -only can match.
func lineNames() []string {
	var names []string
	for _, l := range lines() {
		names = append(names, l.name)
	}
	return append(names, latencyName, encodingName)
}

// selected returns the lines that -only asks for.
func (b *bench) selected(p phase) []line {
	var some []line
	for _, l := range lines() {
		if l.phase == p && b.opts.only.MatchString(l.name) {
			some = append(some, l)
		}
	}
	return some
}

// runRecvlogical measures PostgreSQL's own client, which writes what it
// receives to nowhere and ends at the target.
func runRecvlogical(ctx context.Context, b *bench, slot string, l load) (s sample, err error) {
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

// runDiscard measures walherald with an output that keeps nothing.
func runDiscard(ctx context.Context, b *bench, slot string, l load) (sample, error) {
	return b.runWalherald(ctx, slot, "type: "+config.PublisherDiscard, l)
}

// runJetStream measures walherald with a stream that it makes itself, which
// then takes fast ingest, or with one made without it.
func runJetStream(fast bool) func(context.Context, *bench, string, load) (sample, error) {
	return func(ctx context.Context, b *bench, slot string, l load) (sample, error) {
		if !fast {
			if err := b.streams.create(ctx, slot); err != nil {
				return sample{}, err
			}
		}
		s, err := b.runWalherald(ctx, slot, b.natsPublisher(slot), l)
		if err != nil {
			return s, err
		}
		return s, b.streams.finish(ctx, slot, fast, l.rows+1)
	}
}

// natsPublisher is the publisher's configuration for a topic of JetStream.
func (b *bench) natsPublisher(topic string) string {
	return fmt.Sprintf("type: %s\n  address: %s\n  topic: %s", config.PublisherNATS, b.nats.URL(), topic)
}

// configFile writes a configuration in which nothing is tuned and returns its
// path. output is what stands in the section publisher.
func (b *bench) configFile(slot, publication, output string) (string, error) {
	path := b.path(slot + ".yml")
	text := fmt.Sprintf("listener:\n  slotName: %s\n  publication: %s\n"+
		"database:\n  host: %s\n  port: %d\n  name: %s\n  user: %s\npublisher:\n  %s\n",
		slot, publication, b.pg.Host(), b.pg.Port(), database, b.pg.User(), output)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write configuration: %w", err)
	}
	return path, nil
}

// runWalherald measures the program from its start until it has confirmed all
// rows, then stops it once it has confirmed the marker too.
func (b *bench) runWalherald(ctx context.Context, slot, output string, l load) (s sample, err error) {
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
