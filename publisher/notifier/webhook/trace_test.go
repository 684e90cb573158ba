package webhook

import (
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

func TestRequestIsPartOfTheTraceOfItsBatch(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	r := receiver.New(t, receiver.Options{})
	n := destination(r.URL())
	n.Headers["Traceparent"] = config.Secret("of the configuration")
	s := open(t, n, plain)
	if err := s.Send(publisher.WithTraceParent(t.Context(), parent), []notifier.Delivery{delivery(t, 1)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), []notifier.Delivery{delivery(t, 2)}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{parent, "of the configuration"} {
		if got := r.Requests()[i].Header.Values(publisher.HeaderTraceParent); len(got) != 1 || got[0] != want {
			t.Errorf("request %d has the traceparent %q, want %q", i+1, got, want)
		}
	}
}
