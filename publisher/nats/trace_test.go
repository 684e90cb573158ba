package nats

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/tracereceiver"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestConsumersGetTheSpanOfTheBatch(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		r := tracereceiver.New(t)
		tr, err := metrics.NewTracer(t.Context(), metrics.TracerOptions{Endpoint: r.URL(), Ratio: 1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		url := natsserver.InProcess(t).ClientURL()
		makeStream(t, url, streamFor(mode))
		p, _ := open(t, mode, []string{url})
		d := publisher.Trace(p, tr, "shop", "nats")
		const size = 700
		publishertest.Deliver(t, d, changes(0, size))
		publishertest.Deliver(t, d, changes(size, size))
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		if err := tr.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		spans := r.Spans(t)
		if len(spans) != 2 {
			t.Fatalf("%d spans have come, want 2", len(spans))
		}
		for i, m := range storedMessages(t, url) {
			if got, want := m.Headers().Get(publisher.HeaderTraceParent), spans[i/size].TraceParent(); got != want {
				t.Fatalf("message %d has the traceparent %q, want %q", i, got, want)
			}
		}
		expectExactly(t, stored(t, url), 2*size)
	})
}

func TestTraceCostsNoMessage(t *testing.T) {
	withOversize(t, func(t *testing.T, mode, url string, batch []publisher.Message) {
		p, _ := open(t, mode, []string{url})
		publishertest.Deliver(t, p, batch[:1])
		batch[5].Body = bytes.Repeat([]byte("x"), p.session.limit-p.session.headerSize(&batch[5]))
		ctx := publisher.WithTraceParent(t.Context(), "00-"+strings.Repeat("a", 32)+"-"+strings.Repeat("b", 16)+"-01")
		if err := p.Deliver(ctx, batch); err != nil {
			t.Fatal(err)
		}
		for i, m := range storedMessages(t, url) {
			traced := m.Headers().Get(publisher.HeaderTraceParent) != ""
			if want := i != 0 && i != 5; traced != want { // the first came before
				t.Errorf("message %d is traced: %v, want %v", i, traced, want)
			}
		}
	})
}
