package publisher

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/walherald/walherald/internal/tracereceiver"
	"github.com/walherald/walherald/metrics"
)

// tracedTo makes a tracer; end sends what is left.
func tracedTo(t *testing.T, endpoint string, ratio float64) (tr *metrics.Tracer, end func()) {
	t.Helper()
	tr, err := metrics.NewTracer(t.Context(), metrics.TracerOptions{Endpoint: endpoint, Ratio: ratio, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return tr, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := tr.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// fallible answers with its errors, one after the other, and keeps what trace each
// call was part of.
type fallible struct {
	errs    []error
	parents []string
}

func (f *fallible) Deliver(ctx context.Context, _ []Message) error {
	f.parents = append(f.parents, TraceParent(ctx))
	if len(f.errs) == 0 {
		return nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return err
}

func (f *fallible) Close() error { return nil }

// rowData is in every place of a message that can hold data of a row.
const rowData = "4242-4242"

func orders(t *testing.T, topics ...string) []Message {
	t.Helper()
	var batch []Message
	for i, topic := range topics {
		id, err := NewID(0x16B3748+uint64(i)<<8, 0, 7)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, Message{
			ID: id, Writer: "w", Topic: topic, Table: "public.orders", Action: Insert, CommitTime: 1_700_000_000_000_000,
			Key: []byte(rowData), Body: []byte(`{"card":"` + rowData + `"}`),
		})
	}
	return batch
}

func TestEachBatchIsOneSpanWithAllItsAttempts(t *testing.T) {
	r := tracereceiver.New(t)
	tr, end := tracedTo(t, r.URL(), 1)
	f := &fallible{errs: []error{nil, errors.New("connection lost"), nil, nil, Permanent(errors.New("no right"))}}
	d := Trace(Retry(f, 0, RetryHooks{}), tr, "shop", "nats")
	for _, batch := range [][]Message{orders(t, "a", "a"), orders(t, "a", "b", "a"), nil, orders(t, "c")} {
		err := d.Deliver(t.Context(), batch)
		if last := len(f.errs) == 0; last != (err != nil) {
			t.Fatalf("%d messages: %v", len(batch), err)
		}
	}
	end()

	spans := r.Spans(t)
	if len(spans) != 3 {
		t.Fatalf("%d spans have come, want one for each batch that is not empty", len(spans))
	}
	want := []string{spans[0].TraceParent(), spans[1].TraceParent(), spans[1].TraceParent(), "", spans[2].TraceParent()}
	for i, parent := range f.parents {
		if parent != want[i] {
			t.Errorf("attempt %d is part of trace %q, want %q", i, parent, want[i])
		}
	}
	topics, counts, events := []any{"a", nil, "c"}, []int64{2, 3, 1}, []int{0, 1, 0}
	for i, s := range spans {
		a := tracereceiver.Attributes(s.Attributes)
		if a["messaging.destination.name"] != topics[i] || a["messaging.batch.message_count"] != counts[i] || len(s.Events) != events[i] {
			t.Errorf("span %d is %v", i, s.Span)
		}
		if bytes := counts[i] * int64(len(orders(t, "a")[0].Body)); a["walherald.bytes"] != bytes || a["walherald.lsn.first"] != "0/16B3748" {
			t.Errorf("span %d has the attributes %v", i, a)
		}
	}
	if last := tracereceiver.Attributes(spans[1].Attributes)["walherald.lsn.last"]; last != "0/16B3948" {
		t.Errorf("the last position is %v", last)
	}
	if s := spans[2].Status; s.GetCode() != trace.Status_STATUS_CODE_ERROR || s.Message != "no right" {
		t.Errorf("a refused batch has the status %v", s)
	}
	for _, req := range r.Requests() {
		if strings.Contains(string(req.Body), rowData) {
			t.Error("data of rows is in a trace")
		}
	}
}

func TestBatchThatIsNotSampledIsPartOfNoTrace(t *testing.T) {
	r := tracereceiver.New(t)
	tr, end := tracedTo(t, r.URL(), 1e-18)
	f := &fallible{}
	if err := Trace(f, tr, "shop", "nats").Deliver(t.Context(), orders(t, "a")); err != nil {
		t.Fatal(err)
	}
	end()
	if f.parents[0] != "" || r.Count() > 0 {
		t.Errorf("it is part of %q, and %d requests have come", f.parents[0], r.Count())
	}
}

func TestWithoutTracesNothingIsWrappedAndNothingAllocated(t *testing.T) {
	d := Discard{}
	if got := Trace(d, nil, "shop", "nats"); got != d {
		t.Errorf("the destination is wrapped in %T", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if n := testing.AllocsPerRun(100, func() {
		if TraceParent(ctx) != "" {
			t.Error("there is a trace")
		}
	}); n > 0 {
		t.Errorf("asking for a trace allocates %v times", n)
	}
	if got := TraceParent(WithTraceParent(ctx, "00-a-b-01")); got != "00-a-b-01" {
		t.Errorf("traceparent is %q", got)
	}
}
