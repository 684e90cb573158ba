package child

import (
	"context"
	"fmt"
	"testing"
)

// TestServer is a server that belongs to one test.
type TestServer interface {
	fmt.Stringer
	LogTail() string
	Close() error
}

// ForTest starts a server that ends with the test. If the test fails, the end of
// the server's log is shown.
func ForTest[S TestServer](t testing.TB, start func(context.Context) (S, error)) S {
	t.Helper()
	s, err := start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	EndWith(t, s)
	return s
}

// EndWith closes a server when the test ends and shows the end of its log if the
// test failed.
func EndWith(t testing.TB, s TestServer) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %v ends:\n%s", s, s.LogTail())
		}
		if err := s.Close(); err != nil {
			t.Errorf("close %v: %v", s, err)
		}
	})
}
