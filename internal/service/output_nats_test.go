package service

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher/nats"
)

func TestEveryKeyOfNATSReachesThePublisher(t *testing.T) {
	out := config.Output{Publisher: config.Publisher{
		Type: config.PublisherNATS, Address: []string{"nats://a:4222", "nats://b:4222"}, Topic: "cdc",
		User: "u", Password: "p", Oversize: config.OversizeSkip, MissingTopic: config.MissingTopicStop,
		NATS: config.NATS{
			Token: "t", CredsFile: "c", NkeyFile: "n", Replicas: 3, Storage: config.StorageMemory,
			MaxAge: time.Hour, DuplicateWindow: time.Minute,
		},
	}}
	got, err := natsConfig(out)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got.URLs, " ") != "nats://a:4222 nats://b:4222" || got.Topic != "cdc" || !got.SkipOversize || got.MissingTopic != nats.MissingStop {
		t.Errorf("got %+v", got)
	}
	if want := (nats.Credentials{User: "u", Password: "p", Token: "t", CredsFile: "c", NkeyFile: "n"}); got.Credentials != want {
		t.Errorf("credentials are %+v", got.Credentials)
	}
	if want := (nats.StreamOptions{Replicas: 3, Memory: true, MaxAge: time.Hour, DuplicateWindow: time.Minute}); got.Stream != want {
		t.Errorf("stream is %+v", got.Stream)
	}
}

// One replica is the default: a stream with more is not to be warned of.
func TestDefaultsAskNothingOfAnExistingStream(t *testing.T) {
	got, err := natsConfig(config.Output{Publisher: config.Publisher{
		Type: config.PublisherNATS, NATS: config.NATS{Replicas: 1, Storage: config.StorageFile},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Stream != (nats.StreamOptions{}) || got.MissingTopic != nats.MissingCreate {
		t.Errorf("got %+v", got)
	}
}

func TestFileThatCannotHoldTheBodiesIsAnErrorAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	for key, cfg := range map[string]config.Publisher{
		"bodyCompression": {Path: path, BodyCompression: config.CompressionGzip},
		"cloudEvents":     {Path: path, Envelope: config.EnvelopeCloudEvents, CloudEvents: config.CloudEventsBinary},
	} {
		out := config.Output{Publisher: cfg}
		_, content, err := newEnvelope(&config.Config{}, out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newFile(out, content, hooks{}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
