package nats

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

var streamOptions = StreamOptions{Memory: true, MaxAge: time.Hour, DuplicateWindow: time.Minute}

func TestMissingStreamIsMadeAsConfigured(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	log, err := loggedDelivery(t, Config{URLs: []string{url}, Stream: streamOptions})
	if err != nil {
		t.Fatal(err)
	}
	cfg := streamConfig(t, url)
	if cfg.Storage != jetstream.MemoryStorage || cfg.MaxAge != time.Hour || cfg.Duplicates != time.Minute || cfg.Replicas != 1 {
		t.Errorf("stream is made as %+v", cfg)
	}
	if strings.Contains(log, "WARN") {
		t.Errorf("logged is %s", log)
	}
}

func TestStreamOfReplicasIsMadeInACluster(t *testing.T) {
	urls := natsserver.StartCluster(t, 3, natsserver.Options{}).URLs()
	failed := 0
	p, _ := open(t, ModeFast, urls, func(p *Publisher) { p.cfg.Stream.Replicas = 3 })
	publishertest.Deliver(t, publishertest.Retrying(p, &failed), changes(0, 100))
	expectExactly(t, stored(t, urls[0]), 100)
	if !p.session.stream.replicated {
		t.Error("the stream has no replicas")
	}
}

func TestMoreReplicasThanServersEndTheRetries(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	_, err := loggedDelivery(t, Config{URLs: []string{url}, Stream: StreamOptions{Replicas: 3}})
	publishertest.ExpectPermanent(t, err, "stream cdc", "publisher.nats.replicas")
}

func TestDifferencesOfAnExistingStreamAreLoggedOnceAndLeftAlone(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	makeStream(t, url, streamFor(ModeFast))
	before := streamConfig(t, url)
	proxy, proxied := through(t, url)
	var log bytes.Buffer
	cfg := Config{URLs: []string{proxied}, Topic: "cdc", Stream: streamOptions}
	cfg.Stream.Replicas = 3
	p := New(cfg, Hooks{}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	failed := 0
	for n := range 3 { // in a session each
		publishertest.Deliver(t, publishertest.Retrying(p, &failed), changes(n, 1))
		proxy.Cut()
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "is not as"); n != 1 {
		t.Errorf("%d warnings, want 1: %s", n, &log)
	}
	for _, difference := range []string{
		"replicas is 1, not 3", "storage is File, not Memory", "maxAge is 0s, not 1h0m0s", "duplicateWindow is 2m0s, not 1m0s",
	} {
		if !strings.Contains(log.String(), difference) {
			t.Errorf("the warning does not say %q: %s", difference, &log)
		}
	}
	after := streamConfig(t, url)
	if after.Storage != before.Storage || after.MaxAge != before.MaxAge || after.Duplicates != before.Duplicates {
		t.Errorf("stream is now %+v", after)
	}
}

func TestExistingStreamThatFitsIsNotWarnedOf(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	cfg := streamFor(ModeFast)
	cfg.Replicas, cfg.MaxAge = 1, time.Hour
	makeStream(t, url, cfg)
	for _, same := range []StreamOptions{{}, {Replicas: 1, MaxAge: time.Hour, DuplicateWindow: 2 * time.Minute}} {
		if log, err := loggedDelivery(t, Config{URLs: []string{url}, Stream: same}); err != nil || strings.Contains(log, "WARN") {
			t.Errorf("%+v: %v, logged is %s", same, err, log)
		}
	}
}

func TestStreamThatConfirmsNothingEndsTheRetries(t *testing.T) {
	for name, change := range map[string]func(*jetstream.StreamConfig){
		"acknowledge": func(c *jetstream.StreamConfig) { c.NoAck = true },
		"sealed":      func(c *jetstream.StreamConfig) { c.Sealed = true },
	} {
		url := natsserver.InProcess(t).ClientURL()
		cfg := streamFor(ModeMsgID)
		makeStream(t, url, cfg)
		change(&cfg)
		makeStream(t, url, cfg)
		_, err := loggedDelivery(t, Config{URLs: []string{url}})
		publishertest.ExpectPermanent(t, err, "stream cdc", name)
	}
}

func TestCheckTellsOfAMissingStreamThatWillNotBeMade(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	for _, policy := range []string{MissingWait, MissingStop} {
		found := checkConfig(t, Config{URLs: []string{url}, Topic: "cdc", MissingTopic: policy})
		publishertest.ExpectFinding(t, found, config.FindingError, "publisher.missingTopic", "stream cdc does not exist", "nats stream add cdc", "create")
	}
}

func TestPlainJSONTravelsWithItsIDAlone(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	for i, content := range []publisher.Content{{}, {Type: "application/json"}} {
		p, _ := open(t, ModeFast, []string{url}, func(p *Publisher) { p.beside = newBeside(content) })
		publishertest.Deliver(t, p, changes(10*i, 10))
	}
	for n, m := range storedMessages(t, url) {
		h := m.Headers()
		delete(h, "Nats-Expected-Last-Sequence") // on the first of a session
		if len(h) != 1 || h.Get(HeaderID) == "" {
			t.Errorf("message %d has the headers %v", n, h)
		}
	}
}

// binary is a Content with all that can stand beside a body.
var binary = publisher.Content{
	Type: "application/json", Encoding: "gzip",
	CloudEvents: &publisher.CloudEvents{Source: "/walherald/größe 1", TypePrefix: "walherald."},
}

func TestAttributesWithCharactersOutsideOfHeadersArePercentEncoded(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	p, _ := open(t, ModeFast, []string{url}, func(p *Publisher) { p.beside = newBeside(binary) })
	batch := changes(0, 2)
	batch[0].Key = []byte("a\r\nEvil: \"100%\" ü\x00~")
	batch[1].Key = nil
	publishertest.Deliver(t, p, batch)
	got := storedMessages(t, url)
	for name, want := range map[string]string{
		"ce-partitionkey": "a%0D%0AEvil:%20%22100%25%22%20%C3%BC%00~", "ce-source": "/walherald/gr%C3%B6%C3%9Fe%201",
		"ce-type": "walherald.insert", "ce-datacontenttype": "application/json", "Content-Encoding": "gzip", "Evil": "",
	} {
		if have := got[0].Headers().Get(name); have != want {
			t.Errorf("%s is %q, want %q", name, have, want)
		}
	}
	if _, has := got[1].Headers()["ce-partitionkey"]; has {
		t.Error("a message without a key has that of the message before it")
	}
}

// The headers beside a body count against the server's limit as the body does.
func TestLargestMessageWithAttributesIsTaken(t *testing.T) {
	withOversize(t, func(t *testing.T, mode, url string, batch []publisher.Message) {
		p, _ := open(t, mode, []string{url}, func(p *Publisher) { p.beside = newBeside(binary) })
		publishertest.Deliver(t, p, batch[:1])
		room := p.session.limit - p.session.headerSize(&batch[5])
		batch[5].Body = batch[5].Body[:room]
		publishertest.Deliver(t, p, batch)
		expectExactly(t, stored(t, url), 10)
		large := changes(10, 1)
		large[0].Body = bytes.Repeat([]byte("x"), room+1)
		large[0].Key = batch[5].Key
		publishertest.ExpectPermanent(t, p.Deliver(t.Context(), large), "public.t", "8192 bytes")
	})
}

func TestHeadersBesideABodyAreCountedAsTheyAreWritten(t *testing.T) {
	b := newBeside(binary)
	m := &changes(0, 1)[0]
	h := map[string][]string{}
	b.fill(h, m)
	size := 0
	for name, values := range h {
		size += len(name) + len(values[0]) + len(": \r\n")
	}
	if got := b.size(m); got != size {
		t.Errorf("%d bytes are counted, want %d", got, size)
	}
	if len(h) != 10 {
		t.Errorf("headers are %v", h)
	}
}
