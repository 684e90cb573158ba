package publishertest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/walherald/walherald/publisher"
)

// traceStandsBeside delivers with each Content one batch that is traced, one that
// is not, and one of another trace.
func traceStandsBeside(t *testing.T, h Harness) {
	const size = 10
	want := make(map[int]string) // by the number of the change
	n := 0
	for _, name := range []string{"Plain", "Binary"} {
		d := Closed(t, h.NewContent(t, contents[name]))
		for _, trace := range []string{"a", "", "b"} {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			parent := ""
			if trace != "" {
				parent = fmt.Sprintf("00-%s-%016d-01", strings.Repeat(trace, 32), n+1)
				ctx = publisher.WithTraceParent(ctx, parent)
			}
			if err := d.Deliver(ctx, h.messages(n, size)); err != nil {
				t.Fatal(err)
			}
			cancel()
			for range size {
				want[n] = parent
				n++
			}
		}
	}
	stored := h.Read(t)
	if len(stored) != n {
		t.Fatalf("%d messages are stored, want %d", len(stored), n)
	}
	for _, s := range stored {
		if i := number(t, s); s.Attributes[publisher.HeaderTraceParent] != want[i] {
			t.Errorf("message %d has the attributes %v, want traceparent %q", i, s.Attributes, want[i])
		}
	}
}
