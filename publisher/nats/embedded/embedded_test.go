package embedded

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg config.Embedded) (*Server, error) {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.StoreDir == "" {
		cfg.StoreDir = t.TempDir()
	}
	return Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
}

// stream returns stream s of the server, made if it is missing.
func stream(t *testing.T, url string, opts ...nats.Option) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "s", Subjects: []string{"s.>"}})
	if err != nil {
		t.Fatal(err)
	}
	return js, st
}

func TestStreamsSurviveARestartOnTheSameStore(t *testing.T) {
	for name, sync := range map[string]time.Duration{"sync at once": 0, "sync now and then": time.Minute} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Embedded{StoreDir: t.TempDir(), SyncInterval: sync}
			s, err := start(t, cfg)
			if err != nil {
				t.Fatal(err)
			}
			js, _ := stream(t, s.URL(), s.Option())
			for range 10 {
				if _, err := js.Publish(t.Context(), "s.a", []byte("x")); err != nil {
					t.Error(err)
				}
			}
			s.Stop()
			if s, err = start(t, cfg); err != nil {
				t.Fatal(err)
			}
			defer s.Stop()
			if _, st := stream(t, s.URL()); st.CachedInfo().State.Msgs != 10 { // over the network this time
				t.Errorf("stream holds %d messages, want 10", st.CachedInfo().State.Msgs)
			}
		})
	}
}

func TestStopFreesThePort(t *testing.T) {
	s, err := start(t, config.Embedded{})
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.URL(), "nats://")
	s.Stop()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

func TestTakenPortIsAnErrorThatNamesIt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s, err := start(t, config.Embedded{Listen: l.Addr().String()})
	if err == nil {
		s.Stop()
		t.Fatal("it has started")
	}
	if !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the error says %q", err)
	}
}

// A file stands where the folder would be, which stops root, too.
func TestStoreThatCannotBeWrittenIsAnErrorThatNamesIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, store := range []string{file, filepath.Join(file, "below")} {
		s, err := start(t, config.Embedded{StoreDir: store})
		if err == nil {
			s.Stop()
			t.Fatal("it has started")
		}
		if !strings.Contains(err.Error(), store) {
			t.Errorf("the error says %q", err)
		}
	}
}

func TestListenThatIsNoAddressIsAnError(t *testing.T) {
	for _, listen := range []string{"127.0.0.1", "127.0.0.1:x", "4222"} {
		if s, err := start(t, config.Embedded{Listen: listen}); err == nil {
			s.Stop()
			t.Errorf("it listens on %s", listen)
		} else if !strings.Contains(err.Error(), "publisher.embedded.listen") {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestCancelledStartLeavesNothingRunning(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := Start(ctx, config.Embedded{Listen: "127.0.0.1:0", StoreDir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err == nil {
		s.Stop()
		t.Error("it has started")
	}
}
