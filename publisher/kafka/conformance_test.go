package kafka

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/walherald/walherald/internal/faultproxy"
	"github.com/walherald/walherald/internal/kafkaserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestConformance(t *testing.T) {
	const user = "herald"
	server, proxy := behindProxy(t, kafkaserver.Options{Users: map[string]string{user: "richtig"}, Partitions: 3})
	n := 0
	publishertest.Run(t, func(t *testing.T) publishertest.Harness {
		n++
		c := &conformance{
			server: server, proxy: proxy, topic: fmt.Sprintf("cdc.t%d", n),
			config: Config{
				Addresses: []string{proxy.Addr()}, SASL: "scram-sha-256", User: user, Password: "richtig",
				Content: publisher.Content{Type: "application/json"},
			},
		}
		c.make(t, c.topic)
		return c.harness()
	})
}

// conformance is a topic of one guarantee.
type conformance struct {
	server *kafkaserver.Server
	proxy  *faultproxy.Proxy
	topic  string
	config Config
}

func (c *conformance) make(t *testing.T, topic string) {
	makeTopic(t, c.server.AdminAddr(), topic, 3, "max.message.bytes", "8192")
}

func (c *conformance) harness() publishertest.Harness {
	return publishertest.Harness{
		Topic: c.topic,
		New:   func(*testing.T) publisher.Deliverer { return c.open(func(*Config) {}, Hooks{}) },
		NewSkipping: func(_ *testing.T, skipped func(publisher.Message)) publisher.Deliverer {
			return c.open(func(cfg *Config) { cfg.SkipOversize = true }, Hooks{Skipped: skipped})
		},
		NewContent: func(_ *testing.T, content publisher.Content) publisher.Deliverer {
			return c.open(func(cfg *Config) { cfg.Content = content }, Hooks{})
		},
		Read:     func(t *testing.T) []publishertest.Stored { return c.read(t, c.topic) },
		Cut:      c.proxy.Cut,
		CutAfter: c.proxy.CutAfter,
		Kill: func(t *testing.T) {
			if err := c.server.Kill(); err != nil {
				t.Error(err)
			}
		},
		Restart: func(t *testing.T) {
			if err := c.server.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		},
		Block: func(*testing.T) func() {
			c.proxy.Blackhole(true)
			return func() { c.proxy.Blackhole(false) }
		},
		Denied: func(*testing.T) publisher.Deliverer {
			return c.open(func(cfg *Config) { cfg.Password = publishertest.Password }, Hooks{})
		},
		Missing:  c.missing,
		TooLarge: 9000,
		Prefix:   "ce_",
		Lacks: map[string]string{
			"RefusedMessagesAreNotPassed": "one broker alone refuses for a while nothing that it takes at other times; TestRefusalsTurnAndRepeatNothing lets brokers refuse",
		},
	}
}

// open makes a Publisher behind the proxy.
func (c *conformance) open(change func(*Config), hooks Hooks) publisher.Deliverer {
	cfg := c.config
	change(&cfg)
	return New(cfg, hooks, slog.New(slog.DiscardHandler))
}

func (c *conformance) missing(_ *testing.T, policy string) publishertest.Missing {
	topic := c.topic + ".missing"
	return publishertest.Missing{
		Deliverer: c.open(func(cfg *Config) { cfg.MissingTopic = policy }, Hooks{}),
		Topic:     topic, Name: "topic " + topic,
		Create: func(t *testing.T) { c.make(t, topic) },
		Read:   func(t *testing.T) []publishertest.Stored { return c.read(t, topic) },
	}
}

func (c *conformance) read(t *testing.T, topic string) []publishertest.Stored {
	t.Helper()
	var all []publishertest.Stored
	for _, r := range stored(t, c.server.AdminAddr(), topic) {
		s := publishertest.Stored{Key: r.Key, Body: r.Value, Attributes: make(map[string]string)}
		for _, h := range r.Headers {
			switch h.Key {
			case "content-type":
				s.Type = string(h.Value)
			case "content-encoding":
				s.Encoding = string(h.Value)
			default:
				s.Attributes[h.Key] = string(h.Value)
			}
		}
		var err error
		if s.ID, err = publisher.ParseID(s.Attributes[publisher.AttrID]); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}
