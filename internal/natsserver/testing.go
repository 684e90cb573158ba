package natsserver

import (
	"context"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/walherald/walherald/internal/pgserver/child"
)

// InProcess runs a JetStream server inside the test binary, which ends with the
// test. Its ClientURL method says where it listens. Each change may alter the
// options it starts with.
func InProcess(t testing.TB, changes ...func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{
		ServerName: "in-process", Host: host, Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}
	for _, change := range changes {
		change(opts)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatalf("start NATS server: %v", err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(startTimeout) {
		t.Fatal("start NATS server: it does not take connections")
	}
	return s
}

// ForTest starts a server in a process of its own that belongs to one test and
// ends with it. If the test fails, the end of the server's log is shown.
func ForTest(t testing.TB, opts Options) *Server {
	t.Helper()
	return child.ForTest(t, func(ctx context.Context) (*Server, error) { return Start(ctx, opts) })
}
