package main

import (
	"context"
	"errors"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher/nats"
)

// The kinds of streams: one that walherald makes, which takes fast ingest, and
// one that is made without it, which is written with message ids.
const (
	fastKind  = "fast"
	msgIDKind = "msgid"
)

// natsBroker is a JetStream server.
type natsBroker struct {
	server *natsserver.Server
	nc     *natsgo.Conn
	js     jetstream.JetStream
}

func openNATS(ctx context.Context, _ *bench) (*broker, error) {
	server, err := natsserver.Start(ctx, natsserver.Options{})
	if err != nil {
		return nil, err
	}
	n := &natsBroker{server: server}
	if n.nc, err = natsgo.Connect(server.URL()); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to NATS: %w", err), n.close())
	}
	if n.js, err = jetstream.New(n.nc); err != nil {
		return nil, errors.Join(fmt.Errorf("use JetStream: %w", err), n.close())
	}
	return &broker{
		version: "nats-server " + n.nc.ConnectedServerVersion(), address: server.URL(), close: n.close,
		destination: func(kind string) destination { return stream{n, kind == fastKind} },
	}, nil
}

func (n *natsBroker) close() error {
	if n.nc != nil {
		n.nc.Close()
	}
	return n.server.Close()
}

// stream is the stream of a topic.
type stream struct {
	*natsBroker
	fast bool
}

// create makes the stream as walherald would, but for fast ingest, with which
// walherald makes it.
func (s stream) create(ctx context.Context, topic string) error {
	if s.fast {
		return nil
	}
	_, err := s.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: nats.StreamName(topic), Subjects: []string{topic + ".>"},
		Storage: jetstream.FileStorage, AllowDirect: true,
	})
	if err != nil {
		return fmt.Errorf("create stream of topic %s: %w", topic, err)
	}
	return nil
}

func (s stream) section(topic string) []string {
	return []string{"type: " + config.PublisherNATS, "address: " + s.server.URL(), "topic: " + topic}
}

func (s stream) finish(ctx context.Context, topic string, messages int) error {
	name := nats.StreamName(topic)
	found, err := s.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("find stream %s: %w", name, err)
	}
	info, err := found.Info(ctx)
	if err != nil {
		return fmt.Errorf("read state of stream %s: %w", name, err)
	}
	if info.Config.AllowBatchPublish != s.fast {
		return fmt.Errorf("stream %s: fast ingest is %t, should be %t", name, info.Config.AllowBatchPublish, s.fast)
	}
	if info.Config.Storage != jetstream.FileStorage {
		return fmt.Errorf("stream %s: storage is %v, should be a file", name, info.Config.Storage)
	}
	if err := stored("stream", name, int(info.State.Msgs), messages); err != nil {
		return err
	}
	if err := s.js.DeleteStream(ctx, name); err != nil {
		return fmt.Errorf("delete stream %s: %w", name, err)
	}
	return nil
}
