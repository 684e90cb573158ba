package rabbitmq

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/rabbitserver"
)

// shared is one node for all tests, because it takes seconds to start. Tests
// have exchanges and queues of their own in it; those that kill or block it
// leave it as it was.
var shared struct {
	once sync.Once
	node *rabbitserver.Server
	err  error
}

func node(t testing.TB) *rabbitserver.Server {
	t.Helper()
	shared.once.Do(func() {
		shared.node, shared.err = rabbitserver.Start(context.Background(), rabbitserver.Options{MaxMessageSize: testMaxMessage})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of the node ends:\n%s", shared.node.LogTail())
		}
	})
	return shared.node
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.node != nil {
		if err := shared.node.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
