package nats

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestConformance(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		publishertest.Run(t, func(t *testing.T) publishertest.Harness {
			srv := natsserver.ForTest(t, natsserver.Options{})
			makeStream(t, srv.URL(), streamFor(mode))
			proxy, proxied := through(t, srv.URL())
			return publishertest.Harness{
				Topic: "cdc.t",
				New: func(t *testing.T) publisher.Deliverer {
					return New(Config{URLs: []string{proxied}, Topic: "cdc"}, Hooks{}, slog.New(slog.DiscardHandler))
				},
				Read: func(t *testing.T) []publishertest.Stored { return conformanceRead(t, srv.URL()) },
				Cut:  proxy.Cut,
				Kill: func(t *testing.T) {
					if err := srv.Kill(); err != nil {
						t.Error(err)
					}
				},
				Restart: func(t *testing.T) {
					if err := srv.Restart(t.Context()); err != nil {
						t.Error(err)
					}
				},
			}
		})
	})
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
		all = append(all, publishertest.Stored{ID: id, Body: m.Data()})
	}
	return all
}
