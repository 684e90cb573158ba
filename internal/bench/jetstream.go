package main

import (
	"context"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/publisher/nats"
)

// streams are the streams of the JetStream server. Every run has its own, made
// for a topic and deleted after it.
type streams struct {
	nc *natsgo.Conn
	js jetstream.JetStream
}

func openStreams(url string) (*streams, error) {
	nc, err := natsgo.Connect(url)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return &streams{nc: nc, js: js}, nil
}

func (s *streams) close() { s.nc.Close() }

// version is the server's.
func (s *streams) version() string { return s.nc.ConnectedServerVersion() }

// create makes the stream of a topic as walherald would, but for fast ingest.
func (s *streams) create(ctx context.Context, topic string) error {
	_, err := s.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: nats.StreamName(topic), Subjects: []string{topic + ".>"},
		Storage: jetstream.FileStorage, AllowDirect: true,
	})
	if err != nil {
		return fmt.Errorf("create stream of topic %s: %w", topic, err)
	}
	return nil
}

// finish checks that the stream of a topic was written in the way that was
// meant to be measured and holds as many messages as it has to, and deletes it.
func (s *streams) finish(ctx context.Context, topic string, fast bool, messages int) error {
	name := nats.StreamName(topic)
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("find stream %s: %w", name, err)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("read state of stream %s: %w", name, err)
	}
	if info.Config.AllowBatchPublish != fast {
		return fmt.Errorf("stream %s: fast ingest is %t, should be %t", name, info.Config.AllowBatchPublish, fast)
	}
	if info.Config.Storage != jetstream.FileStorage {
		return fmt.Errorf("stream %s: storage is %v, should be a file", name, info.Config.Storage)
	}
	if info.State.Msgs != uint64(messages) {
		return fmt.Errorf("stream %s holds %d messages, should hold %d", name, info.State.Msgs, messages)
	}
	if err := s.js.DeleteStream(ctx, name); err != nil {
		return fmt.Errorf("delete stream %s: %w", name, err)
	}
	return nil
}
