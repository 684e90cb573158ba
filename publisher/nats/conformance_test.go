package nats

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/internal/faultproxy"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestConformance(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		publishertest.Run(t, func(t *testing.T) publishertest.Harness { return newConformance(t, mode).harness() })
	})
}

// conformance is a server and a stream of one guarantee.
type conformance struct {
	server *natsserver.Server
	stream jetstream.StreamConfig
	proxy  *faultproxy.Proxy
	url    string // of the proxy
}

func newConformance(t *testing.T, mode string) *conformance {
	c := &conformance{server: natsserver.ForTest(t, natsserver.Options{}), stream: streamFor(mode)}
	c.stream.MaxMsgSize = 8192
	c.stream.Discard = jetstream.DiscardNew
	makeStream(t, c.server.URL(), c.stream)
	c.proxy, c.url = through(t, c.server.URL())
	return c
}

func (c *conformance) harness() publishertest.Harness {
	return publishertest.Harness{
		Topic: "cdc.t",
		New:   func(*testing.T) publisher.Deliverer { return c.open(Config{}, Hooks{}) },
		NewSkipping: func(_ *testing.T, skipped func(publisher.Message)) publisher.Deliverer {
			return c.open(Config{SkipOversize: true}, Hooks{Skipped: skipped})
		},
		NewContent: func(_ *testing.T, content publisher.Content) publisher.Deliverer {
			return c.open(Config{Content: content}, Hooks{})
		},
		Read:       func(t *testing.T) []publishertest.Stored { return conformanceRead(t, c.server.URL()) },
		Cut:        c.proxy.Cut,
		CutAfter:   c.proxy.CutAfter,
		Kill:       c.kill,
		Restart:    c.restart,
		Refuse:     func(t *testing.T) func() { return c.limit(t, 150) },
		Block:      func(t *testing.T) func() { return c.limit(t, 0) },
		Denied:     denied,
		Missing:    c.missing,
		TooLarge:   9000,
		Attributes: []string{publisher.AttrID},
		Prefix:     "ce-",
		SilentJSON: true,
	}
}

func (c *conformance) kill(t *testing.T) {
	if err := c.server.Kill(); err != nil {
		t.Error(err)
	}
}

func (c *conformance) restart(t *testing.T) {
	if err := c.server.Restart(t.Context()); err != nil {
		t.Error(err)
	}
}

// open makes a Publisher behind the proxy.
func (c *conformance) open(cfg Config, hooks Hooks) publisher.Deliverer {
	cfg.URLs, cfg.Topic = []string{c.url}, "cdc"
	return New(cfg, hooks, slog.New(slog.DiscardHandler))
}

// limit lets the stream take so many messages more until end is called.
func (c *conformance) limit(t *testing.T, more int64) (end func()) {
	full := c.stream
	full.MaxMsgs = int64(len(storedMessages(t, c.server.URL()))) + more
	makeStream(t, c.server.URL(), full)
	return func() { makeStream(t, c.server.URL(), c.stream) }
}

func denied(t *testing.T) publisher.Deliverer {
	srv := natsserver.InProcess(t, func(o *server.Options) { o.Username, o.Password = "u", "richtig" })
	return New(Config{
		URLs: []string{srv.ClientURL()}, Topic: "cdc",
		Credentials: Credentials{User: "u", Password: publishertest.Password},
	}, Hooks{}, slog.New(slog.DiscardHandler))
}

func (c *conformance) missing(t *testing.T, policy string) publishertest.Missing {
	deleteStream(t, c.server.URL())
	return publishertest.Missing{
		Deliverer: c.open(Config{MissingTopic: policy}, Hooks{}),
		Topic:     "cdc.t", Name: "stream cdc",
		Create: func(t *testing.T) { makeStream(t, c.server.URL(), c.stream) },
		Read:   func(t *testing.T) []publishertest.Stored { return conformanceRead(t, c.server.URL()) },
	}
}

func conformanceRead(t *testing.T, url string) []publishertest.Stored {
	t.Helper()
	var all []publishertest.Stored
	for _, m := range storedMessages(t, url) {
		text, _ := EventID(m.Headers())
		id, err := publisher.ParseID(text)
		if err != nil {
			t.Fatal(fmt.Errorf("message %s: %w", m.Data(), err))
		}
		all = append(all, publishertest.Stored{
			ID: id, Body: m.Data(), Attributes: conformanceAttributes(m.Headers(), text),
			Type: m.Headers().Get("Content-Type"), Encoding: m.Headers().Get("Content-Encoding"),
		})
	}
	return all
}

// conformanceAttributes gives the id the name it has elsewhere.
func conformanceAttributes(h natsgo.Header, id string) map[string]string {
	attributes := map[string]string{publisher.AttrID: id}
	for name, values := range h {
		attributes[name] = values[0]
	}
	return attributes
}
