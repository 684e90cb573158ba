package tracereceiver

import (
	"bytes"
	"net/http"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSpansAreThoseThatWereSent(t *testing.T) {
	r := New(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, name := range []string{"first", "second"} {
		span := &trace.Span{
			Name: name, TraceId: bytes.Repeat([]byte{0xab}, 16), SpanId: bytes.Repeat([]byte{1}, 8),
			Attributes: []*common.KeyValue{{Key: "n", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: 7}}}},
		}
		body, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{
			{ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{span}}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Post(r.URL()+path, "application/x-protobuf", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	got := r.AwaitSpans(t, 2)
	if len(got) != 2 || got[0].Name != "first" || got[1].Name != "second" {
		t.Fatalf("spans are %v", got)
	}
	if n := Attributes(got[0].Attributes)["n"]; n != int64(7) {
		t.Errorf("the attribute is %v", n)
	}
	if p := got[0].TraceParent(); p != "00-abababababababababababababababab-0101010101010101-01" {
		t.Errorf("traceparent is %s", p)
	}
}
