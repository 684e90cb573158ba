package kafkaserver

import (
	"context"
	"testing"
)

// ForTest starts a server that belongs to one test and ends with it. If the test
// fails, the end of the server's log is shown.
func ForTest(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := Start(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Kafka's log ends:\n%s", s.LogTail())
		}
		if err := s.Close(); err != nil {
			t.Errorf("close Kafka: %v", err)
		}
	})
	return s
}
