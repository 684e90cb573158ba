package publishertest

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/walherald/walherald/publisher"
)

// Tailing runs tail, in which a destination's Tail is called, until the test
// ends, and returns what it emits. That it ends without an error is wanted.
func Tailing(t testing.TB, tail func(ctx context.Context, emit func(publisher.Received) error) error) <-chan publisher.Received {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got, ended := make(chan publisher.Received), make(chan error, 1)
	go func() {
		ended <- tail(ctx, func(r publisher.Received) error {
			r.Key, r.Body, r.Attributes = bytes.Clone(r.Key), bytes.Clone(r.Body), slices.Clone(r.Attributes)
			select {
			case got <- r:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("tail ends with %v", err)
		}
	})
	return got
}

// Next takes the next message of a tail, for which it waits a minute.
func Next(t testing.TB, got <-chan publisher.Received) publisher.Received {
	t.Helper()
	soon := time.NewTimer(timeout)
	defer soon.Stop()
	select {
	case r := <-got:
		return r
	case <-soon.C:
		t.Fatal("tail gives nothing")
		return publisher.Received{}
	}
}
