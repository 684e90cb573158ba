// Package tracereceiver is a collector of OpenTelemetry traces for tests: it takes
// OTLP over HTTP in protobuf, as the specification has it, and keeps the spans.
package tracereceiver

import (
	"fmt"
	"net/http"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/walherald/walherald/internal/receiver"
)

// path is where OTLP over HTTP takes traces.
const path = "/v1/traces"

// Receiver is a running collector.
type Receiver struct{ *receiver.Receiver }

// Span is one span, what sent it and how it got here.
type Span struct {
	*trace.Span
	Resource *resource.Resource
	Header   http.Header
}

// New starts a collector that ends with the test.
func New(t testing.TB) *Receiver {
	t.Helper()
	return &Receiver{receiver.New(t, receiver.Options{})}
}

// Spans returns all spans that have come so far, in their order.
func (r *Receiver) Spans(t testing.TB) []Span {
	t.Helper()
	var all []Span
	for _, req := range r.Requests() {
		if req.Path != path || req.Method != http.MethodPost {
			t.Errorf("%s of %s, want POST of %s", req.Method, req.Path, path)
			continue
		}
		all = append(all, spans(t, &req)...)
	}
	return all
}

// AwaitSpans waits until there are so many spans and returns them. It fails the
// test if none comes for 30 s.
func (r *Receiver) AwaitSpans(t testing.TB, n int) []Span {
	t.Helper()
	for requests := 1; ; requests++ {
		r.Await(t, requests)
		if all := r.Spans(t); len(all) >= n {
			return all
		}
	}
}

// TraceParent returns what stands beside the messages of the span's batch.
func (s *Span) TraceParent() string { return fmt.Sprintf("00-%x-%x-01", s.TraceId, s.SpanId) }

// spans decodes one request.
func spans(t testing.TB, r *receiver.Request) []Span {
	t.Helper()
	var all []Span
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(r.Body, &export); err != nil {
		t.Errorf("a request is no OTLP: %v", err)
		return nil
	}
	for _, of := range export.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				all = append(all, Span{Span: s, Resource: of.Resource, Header: r.Header})
			}
		}
	}
	return all
}

// Attributes returns attributes by their names: strings, integers, booleans.
func Attributes(list []*common.KeyValue) map[string]any {
	all := make(map[string]any, len(list))
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = v.IntValue
		case *common.AnyValue_BoolValue:
			all[a.Key] = v.BoolValue
		default:
			all[a.Key] = a.Value.String()
		}
	}
	return all
}
