package service

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/kafka"
)

func TestKafkaIsConfiguredByItsSection(t *testing.T) {
	brokers, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "herald", "geheim"),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer brokers.Close()
	cfg := config.Output{Section: "publisher", Publisher: config.Publisher{
		Type: config.PublisherKafka, Address: brokers.ListenAddrs(), Topic: "cdc", User: "herald", Password: "geheim",
		MissingTopic: config.MissingTopicCreate,
		Kafka:        config.Kafka{SASL: config.SASLScramSHA512, Compression: config.CompressionLZ4, Partitions: 3, ReplicationFactor: 1},
	}}
	mode := ""
	out, err := newOutput(t.Context(), cfg, publisher.Content{Type: "application/json", Encoding: "gzip"}, hooks{
		log: slog.New(slog.DiscardHandler), mode: func(m string) { mode = m },
	})
	if err != nil {
		t.Fatal(err)
	}
	topic := out.topicName("cdc.public_größe")
	if err := out.deliverer.Deliver(t.Context(), []publisher.Message{
		{ID: publisher.ID{1}, Topic: topic, Table: "public.größe", Action: publisher.Insert, Key: []byte("7"), Body: []byte("one")},
	}); err != nil {
		t.Fatal(err)
	}
	if err := out.close(); err != nil {
		t.Fatal(err)
	}
	info := brokers.TopicInfo(topic)
	if topic != "cdc.public_gr__e" || mode != kafka.ModeIdempotent || info == nil || info.NumReplicas != 1 {
		t.Errorf("topic %s is made as %+v, in mode %q", topic, info, mode)
	}
	if partition := brokers.PartitionInfo(topic, 2); partition == nil || brokers.PartitionInfo(topic, 3) != nil {
		t.Error("the topic has not 3 partitions")
	}

	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var got publisher.Received
	err = tailKafka(ctx, cfg, "cdc.", TailOptions{From: publisher.StartOldest}, func(r publisher.Received) error {
		got = r
		stop()
		return nil
	})
	if err != nil || got.Topic != topic || string(got.Body) != "one" || string(got.Key) != "7" || got.Encoding != "gzip" {
		t.Errorf("tail reads %+v and ends with %v", got, err)
	}

	found := checkKafka(t.Context(), cfg, []string{topic})
	if len(found) == 0 || found[0].Severity != config.FindingOK || !strings.Contains(found[0].What, "connected") {
		t.Errorf("check finds %+v", found)
	}
}

func TestKafkaFilesThatAreMissingAreNamedAtTheStart(t *testing.T) {
	cfg := config.Output{Section: "publishers[1]", Publisher: config.Publisher{
		Type: config.PublisherKafka, Address: config.Addresses{"127.0.0.1:9092"}, EnableTLS: true, CACert: "/nowhere/ca.pem",
	}}
	if _, err := newKafka(cfg, publisher.Content{}, hooks{}); err == nil || !strings.Contains(err.Error(), "publishers[1].caCert") {
		t.Errorf("the error is %v", err)
	}
	if found := checkKafka(t.Context(), cfg, nil); len(found) != 1 || found[0].Severity != config.FindingError {
		t.Errorf("check finds %+v", found)
	}
}
