package metrics

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/internal/tracereceiver"
)

// tracer makes one that traces everything; it is to be shut down.
func tracer(t *testing.T, endpoint string, log *slog.Logger) *Tracer {
	t.Helper()
	tr, err := NewTracer(t.Context(), TracerOptions{
		Endpoint: endpoint, Ratio: 1, Version: "1.2.3", Environment: "staging", Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// shutdown sends what is left and returns all spans.
func shutdown(t *testing.T, tr *Tracer, r *tracereceiver.Receiver) []tracereceiver.Span {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := tr.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	return r.Spans(t)
}

var silent = slog.New(slog.DiscardHandler)

func TestSpanSaysWhatWasDeliveredAndByWhom(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20geheim")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=walherald-0")
	r := tracereceiver.New(t)
	tr := tracer(t, r.URL()+"/", silent)
	span := tr.Start("orders", "kafka")
	span.Describe(Batch{
		Topic: "cdc.public_orders", Messages: 3, Bytes: 1234, FirstLSN: "0/16B3748", LastLSN: "0/16B3800",
		FirstCommit: time.UnixMicro(1_700_000_000_123_456),
	})
	span.End(nil, "")

	all := shutdown(t, tr, r)
	if len(all) != 1 {
		t.Fatalf("%d spans have come, want 1", len(all))
	}
	got := all[0]
	if got.Name != "deliver orders" || got.Kind != trace.Span_SPAN_KIND_PRODUCER || len(got.ParentSpanId) > 0 ||
		got.Status.GetCode() != trace.Status_STATUS_CODE_UNSET || got.StartTimeUnixNano > got.EndTimeUnixNano {
		t.Errorf("the span is %v", got.Span)
	}
	if span.TraceParent() != got.TraceParent() {
		t.Errorf("traceparent is %s, and the span %s", span.TraceParent(), got.TraceParent())
	}
	if h := got.Header.Get("Authorization"); h != "Basic geheim" {
		t.Errorf("the header of the environment is %q", h)
	}
	wantAll(t, tracereceiver.Attributes(got.Attributes), map[string]any{
		"messaging.system": "kafka", "messaging.operation.type": "send", "messaging.operation.name": "deliver",
		"messaging.batch.message_count": int64(3), "messaging.destination.name": "cdc.public_orders",
		"walherald.output": "orders", "walherald.lsn.first": "0/16B3748", "walherald.lsn.last": "0/16B3800",
		"walherald.bytes": int64(1234), "walherald.commit_time": "2023-11-14T22:13:20.123456Z", "walherald.attempts": int64(1),
	})
	about := tracereceiver.Attributes(got.Resource.Attributes)
	wantAll(t, about, map[string]any{
		"service.name": "walherald", "service.version": "1.2.3", "k8s.pod.name": "walherald-0",
		"deployment.environment": "staging", "deployment.environment.name": "staging",
	})
	if about["host.name"] == nil || about["service.instance.id"] == nil {
		t.Errorf("the process is described by %v", about)
	}
}

func wantAll(t *testing.T, got, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
}

func TestFailedAttemptsAreEventsAndAFailedBatchIsAnError(t *testing.T) {
	r := tracereceiver.New(t)
	tr := tracer(t, r.URL(), silent)
	span := tr.Start("orders", "nats")
	span.AttemptFailed(errors.New("connection lost"))
	span.AttemptFailed(errors.New("no leader"))
	span.End(errors.New("no right to write \xff"+strings.Repeat("x", 2*maxText)), "permanent")

	got := shutdown(t, tr, r)[0]
	if got.Status.Code != trace.Status_STATUS_CODE_ERROR || !strings.HasPrefix(got.Status.Message, "no right to write x") ||
		len(got.Status.Message) > maxText {
		t.Errorf("the status is %v", got.Status)
	}
	wantAll(t, tracereceiver.Attributes(got.Attributes), map[string]any{"error.type": "permanent", "walherald.attempts": int64(3)})
	if len(got.Events) != 2 {
		t.Fatalf("the events are %v, want 2", got.Events)
	}
	for i, why := range []string{"connection lost", "no leader"} {
		if got.Events[i].Name != eventFailed {
			t.Errorf("event %d is %q", i, got.Events[i].Name)
		}
		wantAll(t, tracereceiver.Attributes(got.Events[i].Attributes), map[string]any{"error.message": why, "walherald.attempts": int64(i + 1)})
	}
}

func TestNothingIsTracedWithoutACollectorOrAShare(t *testing.T) {
	for _, o := range []TracerOptions{{Ratio: 1}, {Endpoint: "http://127.0.0.1:4318"}} {
		tr, err := NewTracer(t.Context(), o)
		if err != nil || tr != nil {
			t.Errorf("%+v makes %v, %v", o, tr, err)
		}
	}
	var off *Tracer
	if off.Start("orders", "nats") != nil || off.Shutdown(t.Context()) != nil {
		t.Error("a tracer that is off does something")
	}
}

func TestRatioIsTheShareOfBatchesThatAreTraced(t *testing.T) {
	r := tracereceiver.New(t)
	tr, err := NewTracer(t.Context(), TracerOptions{Endpoint: r.URL(), Ratio: .25, Log: silent})
	if err != nil {
		t.Fatal(err)
	}
	traced := 0
	for range 4000 {
		if span := tr.Start("orders", "nats"); span != nil {
			traced++
			span.End(nil, "")
		}
	}
	if traced < 750 || traced > 1250 {
		t.Errorf("%d of 4000 are traced, want about 1000", traced)
	}
	if sent := len(shutdown(t, tr, r)); sent != traced {
		t.Errorf("%d spans have come, want %d", sent, traced)
	}
}

func TestCollectorThatHangsHoldsNothingUpAndIsGivenUpAtTheEnd(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	never := make(chan struct{})
	defer close(never)
	r := receiver.New(t, receiver.Options{Answer: func(*receiver.Request) receiver.Reply { return receiver.Hang(never) }})
	tr := tracer(t, r.URL(), silent)
	end := func() { tr.Start("orders", "nats").End(nil, "") }
	end()
	r.Await(t, 1)
	for range 5000 { // more than the queue holds
		end()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shut down: %v", err)
	}
	end() // which nobody takes
}

func TestTroubleWithTheCollectorIsLogged(t *testing.T) {
	var text bytes.Buffer
	r := receiver.New(t, receiver.Options{Answer: func(*receiver.Request) receiver.Reply { return receiver.Status(400) }})
	tr := tracer(t, r.URL(), slog.New(slog.NewTextHandler(&text, nil)))
	for range 5 * 512 { // several requests
		tr.Start("orders", "nats").End(nil, "")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := tr.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(text.String(), "\n"); lines != 1 || !strings.Contains(text.String(), "400 Bad Request") {
		t.Errorf("the log is:\n%s", &text)
	}
}

func TestEnvironmentThatCannotBeReadStopsNothingAndIsNotShown(t *testing.T) {
	const secret = "geheim"
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", secret+",authorization="+secret+"%zz,x-tenant=shop")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", secret)
	var text bytes.Buffer
	r := tracereceiver.New(t)
	tr := tracer(t, r.URL(), slog.New(slog.NewTextHandler(&text, nil)))
	tr.Start("orders", "nats").End(nil, "")
	if got := shutdown(t, tr, r); len(got) != 1 || got[0].Header.Get("X-Tenant") != "shop" {
		t.Errorf("spans are %v", got)
	}
	if strings.Contains(text.String(), secret) || strings.Count(text.String(), "OTEL_") != 3 {
		t.Errorf("the log is:\n%s", &text)
	}
}

func TestTroubleIsToldOnceAMinuteWithTheNumberOfOthers(t *testing.T) {
	var text bytes.Buffer
	c := newComplaints(slog.New(slog.NewTextHandler(&text, nil)))
	now := time.UnixMicro(0)
	c.now = func() time.Time { return now }
	for _, after := range []time.Duration{0, time.Second, 58 * time.Second, time.Second, time.Second} {
		now = now.Add(after)
		c.Handle(errors.New("no collector"))
	}
	told := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(told) != 2 || !strings.Contains(told[0], "others_since_last_told=0") || !strings.Contains(told[1], "others_since_last_told=2") {
		t.Errorf("the log is:\n%s", &text)
	}
}

func TestEndpointIsTheBaseOrTheWholeURL(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://collector:4318":              "http://collector:4318/v1/traces",
		"http://collector:4318/":             "http://collector:4318/v1/traces",
		"https://example.org/otlp":           "https://example.org/otlp/v1/traces",
		"https://example.org/otlp/v1/traces": "https://example.org/otlp/v1/traces",
	} {
		if got, err := tracesURL(endpoint); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", endpoint, got, err, want)
		}
	}
	if _, err := NewTracer(t.Context(), TracerOptions{Endpoint: "collector:4318", Ratio: 1, Log: silent}); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}
