package service

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher"
)

// item is a publisher as an item of a list begins.
func item(kind, name string) config.Publisher {
	p := config.Default().Publisher
	p.Type, p.Name = kind, name
	return p
}

// collect reads n events of an output from the beginning.
func collect(t *testing.T, cfg *config.Config, output string, n int) []publisher.Received {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var got []publisher.Received
	o := TailOptions{Output: output, From: publisher.StartOldest, Log: slog.New(slog.DiscardHandler)}
	err := Tail(ctx, cfg, o, func(r publisher.Received) error {
		r.Body = slices.Clone(r.Body)
		if got = append(got, r); len(got) == n {
			stop()
		}
		return nil
	})
	if err != nil || len(got) != n {
		t.Fatalf("output %s gives %d events of %d: %v", output, len(got), n, err)
	}
	return got
}

func TestPublishersSideBySideEachGetWhatTheySelectInTheirEnvelope(t *testing.T) {
	broker := natsserver.InProcess(t)
	lines := filepath.Join(t.TempDir(), "events.jsonl")
	cfg, dsn := configuration(t, func(c *config.Config) {
		stream, audit, rest := item(config.PublisherNATS, "stream"), item(config.PublisherFile, "audit"), item(config.PublisherDiscard, "")
		stream.Topic, stream.Address = "cdc", config.Addresses{broker.ClientURL()}
		stream.Envelope, stream.BodyCompression = config.EnvelopeDebezium, config.CompressionZstd
		audit.Path, audit.Envelope = lines, config.EnvelopeSetu
		audit.Filter.Tables = map[string][]string{"t": {"update", "delete"}}
		c.Publisher, c.Publishers = config.Default().Publisher, config.Publishers{stream, audit, rest}
	})
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i; UPDATE t SET v = 'y' WHERE id = 7; DELETE FROM t WHERE id = 8")

	all := collect(t, cfg, "stream", 102)
	if last := all[101]; last.Topic != "cdc.public_t" || last.Encoding != "zstd" {
		t.Errorf("the stream's last event is of %s, encoded as %q", last.Topic, last.Encoding)
	}
	some := collect(t, cfg, "audit", 2)
	var events []string
	for _, e := range some {
		var body struct {
			Table, Op string
			New, Old  map[string]*string
		}
		if err := json.Unmarshal(e.Body, &body); err != nil {
			t.Fatalf("%s: %v", e.Body, err)
		}
		events = append(events, fmt.Sprintf("%s %s new %d old %d", body.Op, body.Table, len(body.New), len(body.Old)))
	}
	if want := []string{"Update t new 2 old 0", "Delete t new 0 old 1"}; !slices.Equal(events, want) {
		t.Errorf("the file holds %q, want %q", events, want)
	}
	r.stop()
	if err := r.end(t); err != nil {
		t.Error(err)
	}
}

func TestPublisherThatIsAwayIsNamedWhileTheOthersGoOn(t *testing.T) {
	broker := natsserver.InProcess(t)
	cfg, dsn := configuration(t, func(c *config.Config) {
		stream, away := item(config.PublisherNATS, "stream"), item(config.PublisherNATS, "away")
		stream.Topic, stream.Address = "cdc", config.Addresses{broker.ClientURL()}
		away.Topic, away.Address = "cdc", config.Addresses{"nats://127.0.0.1:1"}
		c.Listener.DrainTimeout = time.Second
		c.Publisher, c.Publishers = config.Default().Publisher, config.Publishers{stream, away}
	})
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t VALUES (1, 'x')")
	collect(t, cfg, "stream", 1)
	r.log.await(t, `msg="output does not take messages, trying again" output=away`)
	r.stop()
	if err := r.end(t); err == nil {
		text, _ := r.log.read()
		if !strings.Contains(text, "stopped before everything read was delivered") {
			t.Errorf("the log does not say that something was left:\n%s", text)
		}
	}
}

func TestTailAsksForANameWhereThereAreSeveral(t *testing.T) {
	cfg, _ := configuration(t, func(c *config.Config) {
		c.Publisher, c.Publishers = config.Default().Publisher, config.Publishers{item("discard", "a"), item("discard", "b")}
	})
	for name, want := range map[string]string{
		"": "choose one with --publisher: a, b", "c": `no output is called "c"`, "b": "publishers[1].type: discard keeps nothing",
	} {
		err := Tail(t.Context(), cfg, TailOptions{Output: name}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
