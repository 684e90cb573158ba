package service

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pubsubserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/pubsub"
)

func TestPubSubIsConfiguredByItsSection(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	t.Setenv(pubsub.EmulatorVariable, f.Addr())
	cfg := config.Output{Section: "publisher", Publisher: config.Publisher{
		Type: config.PublisherPubSub, PubSubProjectID: "shop", Topic: "cdc", EnableOrdering: true,
		MissingTopic: config.MissingTopicCreate, Oversize: config.OversizeSkip, PubSub: config.PubSub{MaxBatchMessages: 2, MaxBatchBytes: 5000},
	}}
	skipped := 0
	out, err := newOutput(t.Context(), cfg, publisher.Content{Type: "application/json"}, hooks{
		log: slog.New(slog.DiscardHandler), skipped: func(publisher.Message) { skipped++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	topic := out.topicName("cdc.public_größe")
	batch := []publisher.Message{
		{ID: publisher.ID{1}, Topic: topic, Table: "public.größe", Key: []byte("7"), Body: []byte("one")},
		{ID: publisher.ID{2}, Topic: topic, Table: "public.größe", Key: []byte("7"), Body: make([]byte, pubsub.MaxRequestBytes)},
		{ID: publisher.ID{3}, Topic: topic, Table: "public.größe", Key: []byte("7"), Body: []byte("two")},
	}
	if err := out.deliverer.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := out.close(); err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, m := range f.Messages("projects/shop/topics/" + topic) {
		bodies = append(bodies, string(m.Data))
		if m.OrderingKey != "7" || m.Attributes[pubsub.AttrContentType] != "application/json" {
			t.Errorf("stored is %+v", m)
		}
	}
	if !slices.Equal(bodies, []string{"one", "two"}) || skipped != 1 {
		t.Errorf("stored are %q, skipped %d", bodies, skipped)
	}

	found := checkPubSub(t.Context(), cfg, []string{"cdc.*"})
	if !slices.ContainsFunc(found, func(f config.Finding) bool { return strings.Contains(f.What, "1 topics match cdc.*") }) {
		t.Errorf("check finds %+v", found)
	}
}
