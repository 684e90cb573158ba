package pgserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/walherald/walherald/internal/pgserver/child"
)

// ForTest starts a server that belongs to one test and ends with it. A machine
// without PostgreSQL fails the test, with a word on how to install it. If the
// test fails, the end of the server's log is shown.
func ForTest(t testing.TB, opts Options) *Server {
	t.Helper()
	return child.ForTest(t, func(ctx context.Context) (*Server, error) { return Start(ctx, opts) })
}

// StandbyForTest starts a standby that belongs to one test and ends with it; see
// [Server.StartStandby].
func (s *Server) StandbyForTest(t testing.TB, settings map[string]string) *Server {
	t.Helper()
	return child.ForTest(t, func(ctx context.Context) (*Server, error) { return s.StartStandby(ctx, settings) })
}

// shared is the server of the test binary; started by the first who asks.
var shared struct {
	mu      sync.Mutex
	enabled bool
	server  *Server
}

// M is what [testing.M] is for TestMain, and what goleak.VerifyTestMain takes.
type M interface{ Run() int }

type sharing struct{ tests M }

// WithShared returns tests that may call [Shared]. In TestMain:
//
//	goleak.VerifyTestMain(pgserver.WithShared(m))
//	os.Exit(pgserver.WithShared(m).Run())  // or, without goleak
func WithShared(tests M) M { return sharing{tests} }

// Run runs the tests and closes the shared server, if one was started.
func (s sharing) Run() int {
	shared.mu.Lock()
	shared.enabled = true
	shared.mu.Unlock()
	code := s.tests.Run()
	if err := closeShared(); err != nil {
		fmt.Println(err)
		code = max(code, 1)
	}
	return code
}

func closeShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.enabled = false
	if shared.server == nil {
		return nil
	}
	err := shared.server.Close()
	shared.server = nil
	return err
}

// Shared returns the one server, with the usual options, that the tests of this
// binary share. They must leave it running and its settings as they are, and
// keep to databases and slots of their own (see [Server.TestDatabase]). TestMain
// must use [WithShared].
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := startShared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startShared() (*Server, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.enabled {
		return nil, errors.New("pgserver.Shared needs pgserver.WithShared in TestMain")
	}
	if shared.server != nil {
		return shared.server, nil
	}
	s, err := Start(context.Background(), Options{})
	if err != nil {
		return nil, err
	}
	shared.server = s
	return s, nil
}

// databases counts the databases made for tests.
var databases atomic.Uint64

// TestDatabase creates a database for one test and returns its name. It is
// dropped with its replication slots when the test ends; what is still connected
// to it then is disconnected.
func (s *Server) TestDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := s.CreateDatabase(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.DropDatabase(context.Background(), name); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return name
}
