package service

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/rabbitserver"
	"github.com/walherald/walherald/publisher"
)

func TestRabbitMQIsConfiguredByItsSection(t *testing.T) {
	const limit = 1000
	srv := rabbitserver.ForTest(t, rabbitserver.Options{MaxMessageSize: limit})
	cfg := config.Output{Section: "publisher", Publisher: config.Publisher{
		Type: config.PublisherRabbitMQ, Address: config.Addresses{"amqp://nobody:nothing@" + srv.Addr()}, User: "guest", Password: "guest",
		Topic: "cdc", ExchangeKind: "fanout", Oversize: config.OversizeSkip,
	}}
	skipped := 0
	out, err := newOutput(t.Context(), cfg, publisher.Content{Type: "application/json", Encoding: "gzip"}, hooks{
		log: slog.New(slog.DiscardHandler), skipped: func(publisher.Message) { skipped++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := out.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := out.deliverer.Deliver(t.Context(), nil); err != nil { // makes the exchange
		t.Fatal(err)
	}

	enough := errors.New("all have come")
	var bodies []string
	read := make(chan error, 1)
	go func() {
		read <- tailRabbitMQ(t.Context(), cfg, []string{"cdc.*"}, TailOptions{From: publisher.StartNow}, func(r publisher.Received) error {
			if bodies = append(bodies, string(r.Body)); r.Topic != "cdc.t" || r.Encoding != "gzip" {
				t.Errorf("received is %+v", r)
			}
			if len(bodies) == 2 {
				return enough
			}
			return nil
		})
	}()
	batch := []publisher.Message{
		{ID: publisher.ID{1}, Topic: "cdc.t", Table: "public.t", Key: []byte("7"), Body: []byte("one")},
		{ID: publisher.ID{2}, Topic: "cdc.t", Table: "public.t", Key: []byte("7"), Body: make([]byte, limit+1)},
		{ID: publisher.ID{3}, Topic: "cdc.t", Table: "public.t", Key: []byte("7"), Body: []byte("two")},
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// Until the queue of the tail is bound nothing takes them.
	if err := publisher.Retry(out.deliverer, 0, publisher.RetryHooks{}).Deliver(ctx, batch); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, enough) || !slices.Equal(bodies, []string{"one", "two"}) || skipped != 1 {
		t.Errorf("read are %q, skipped %d: %v", bodies, skipped, err)
	}

	found := checkRabbitMQ(t.Context(), cfg, []string{"cdc.*"})
	if !slices.ContainsFunc(found, func(f config.Finding) bool { return strings.Contains(f.What, "of the kind fanout") }) {
		t.Errorf("check finds %+v", found)
	}
	cfg.Password = "wrong"
	if found := checkRabbitMQ(t.Context(), cfg, nil); len(found) != 1 || found[0].Severity != config.FindingError {
		t.Errorf("check with a wrong password finds %+v", found)
	}
}
