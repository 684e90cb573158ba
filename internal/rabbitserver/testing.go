package rabbitserver

import (
	"context"
	"testing"

	"github.com/walherald/walherald/internal/pgserver/child"
)

// ForTest starts a node that belongs to one test and ends with it. If the test
// fails, the end of the node's log is shown.
func ForTest(t testing.TB, opts Options) *Server {
	t.Helper()
	return child.ForTest(t, func(ctx context.Context) (*Server, error) { return Start(ctx, opts) })
}
