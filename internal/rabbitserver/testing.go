package rabbitserver

import (
	"context"
	"testing"
)

// ForTest starts a node that belongs to one test and ends with it. If the test
// fails, the end of the node's log is shown.
func ForTest(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := Start(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of node %s ends:\n%s", s.name, s.LogTail())
		}
		if err := s.Close(); err != nil {
			t.Errorf("close node %s: %v", s.name, err)
		}
	})
	return s
}
