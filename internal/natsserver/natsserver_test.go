package natsserver_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/natsserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns JetStream of the servers with the given URLs.
func connect(t *testing.T, urls ...string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(strings.Join(urls, ","))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// createStream creates stream "kept" with the given number of replicas.
func createStream(t *testing.T, js jetstream.JetStream, replicas int) jetstream.Stream {
	t.Helper()
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "kept", Subjects: []string{"kept.>"}, Storage: jetstream.FileStorage, Replicas: replicas,
	})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func publish(t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	for range n {
		if _, err := js.Publish(t.Context(), "kept.x", []byte("data")); err != nil {
			t.Fatal(err)
		}
	}
}

// messages returns how many messages stream "kept" holds.
func messages(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	stream, err := js.Stream(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

func TestInProcessServerKeepsAStream(t *testing.T) {
	s := natsserver.InProcess(t)
	js := connect(t, s.ClientURL())
	createStream(t, js, 1)
	publish(t, js, 3)
	if got := messages(t, js); got != 3 {
		t.Errorf("stream holds %d messages, want 3", got)
	}
}

func TestInProcessOptionsCanBeChanged(t *testing.T) {
	s := natsserver.InProcess(t, func(o *server.Options) { o.MaxPayload = 4096 })
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if got := nc.MaxPayload(); got != 4096 {
		t.Errorf("the largest message has %d bytes, want 4096", got)
	}
}

func TestKilledServerComesBackWithItsStream(t *testing.T) {
	s := natsserver.ForTest(t, natsserver.Options{})
	js := connect(t, s.URL())
	createStream(t, js, 1)
	publish(t, js, 5)
	url, pid := s.URL(), s.Pid()

	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial of the killed server: %v", err)
	}
	if status := s.State().Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("the server ended with %v, want SIGKILL", status)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.URL() != url || s.Pid() == pid {
		t.Errorf("restarted as pid %d at %s, was pid %d at %s", s.Pid(), s.URL(), pid, url)
	}
	if got := messages(t, connect(t, url)); got != 5 {
		t.Errorf("stream holds %d messages after the kill, want 5", got)
	}
}

func TestStoppedServerLeavesItsCosts(t *testing.T) {
	s := natsserver.ForTest(t, natsserver.Options{})
	if s.State() != nil {
		t.Error("a running server has a final state")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	state := s.State()
	if state == nil || !state.Success() || state.SystemTime()+state.UserTime() <= 0 {
		t.Fatalf("state after Stop: %v", state)
	}
	if usage := state.SysUsage().(*syscall.Rusage); usage.Maxrss <= 0 {
		t.Errorf("resident memory is %d", usage.Maxrss)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

func TestOptionsReachTheProcess(t *testing.T) {
	s := natsserver.ForTest(t, natsserver.Options{MaxPayload: 8192, MaxStore: 1 << 20, SyncAlways: true})
	js := connect(t, s.URL())
	if got := js.Conn().MaxPayload(); got != 8192 {
		t.Errorf("the largest message has %d bytes, want 8192", got)
	}
	createStream(t, js, 1)
	full := false
	for range 1 << 20 / 4096 {
		_, err := js.Publish(t.Context(), "kept.x", make([]byte, 8000))
		var api *jetstream.APIError
		if full = errors.As(err, &api) && api.Code == 503; full {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !full {
		t.Error("a store of 1 MiB took 2 MB")
	}
}

func TestCloseRemovesTheFolder(t *testing.T) {
	s, err := natsserver.Start(t.Context(), natsserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(s.StoreDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("store after Close: %v", err)
	}
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	s := natsserver.ForTest(t, natsserver.Options{})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	// Some attempts are enough: it would try for a minute.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Restart(ctx); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("Restart on a taken port returned %v", err)
	}
}

func TestClusterKeepsAStreamWhileItsLeaderChanges(t *testing.T) {
	c := natsserver.StartCluster(t, 3, natsserver.Options{})
	js := connect(t, c.URLs()...)
	createStream(t, js, 3)
	publish(t, js, 4)

	leader, err := c.StreamLeader(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	second, err := c.StreamLeader(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	if second == leader {
		t.Fatal("a dead node is said to lead")
	}
	if _, err := c.AwaitLeader(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := messages(t, connect(t, second.URL())); got != 4 {
		t.Errorf("stream holds %d messages after its leader was killed, want 4", got)
	}

	if err := leader.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AwaitComplete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.StepDown(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StreamLeader(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
}

func TestClusterQuestionsEndWithTheirContext(t *testing.T) {
	c := natsserver.Cluster{Nodes: []*natsserver.Server{natsserver.ForTest(t, natsserver.Options{})}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ask := range map[string]func() error{
		"AwaitLeader":   func() error { _, err := c.AwaitLeader(ctx); return err },
		"AwaitComplete": func() error { _, err := c.AwaitComplete(ctx); return err },
		"StreamLeader":  func() error { _, err := c.StreamLeader(ctx, "none"); return err },
		"StepDown":      func() error { return c.StepDown(ctx, "none") },
	} {
		if err := ask(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context returned %v", name, err)
		}
	}
}
