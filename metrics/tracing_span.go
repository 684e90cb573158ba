package metrics

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// The attributes of spans and events that are in no convention's package.
const (
	attrOutput     = attribute.Key("walherald.output")
	attrFirstLSN   = attribute.Key("walherald.lsn.first")
	attrLastLSN    = attribute.Key("walherald.lsn.last")
	attrBytes      = attribute.Key("walherald.bytes")
	attrCommitTime = attribute.Key("walherald.commit_time")
	attrAttempts   = attribute.Key("walherald.attempts")
	attrError      = attribute.Key("error.message")
)

// eventFailed is the event of an attempt that failed and is made again.
const eventFailed = "attempt failed"

// Batch is what a span says of a batch. It holds no data of rows.
type Batch struct {
	// Topic is where its messages go; empty if not all go to one place.
	Topic string
	// Messages is how many they are, Bytes the size of their bodies.
	Messages, Bytes int
	// FirstLSN and LastLSN are the positions of the first and the last commit, as
	// PostgreSQL writes them.
	FirstLSN, LastLSN string
	// FirstCommit is when the first one was made, by the database's clock.
	FirstCommit time.Time
}

// Span is the delivery of one batch to one output, attempts that failed included.
// It belongs to one goroutine at a time.
type Span struct {
	span     trace.Span
	parent   string
	attempts int
}

// Start begins the span "deliver <output>"; system is the kind of the output, in
// the words of OpenTelemetry's messaging.system where it has one. It returns nil
// if this batch is not traced.
func (t *Tracer) Start(output, system string) *Span {
	if t == nil {
		return nil
	}
	// It is nobody's child: what a change is caused by, the log does not say.
	_, span := t.tracer.Start(context.Background(), "deliver "+output, trace.WithSpanKind(trace.SpanKindProducer))
	if !span.IsRecording() {
		return nil
	}
	span.SetAttributes(
		semconv.MessagingSystemKey.String(system), semconv.MessagingOperationTypeSend,
		semconv.MessagingOperationName("deliver"), attrOutput.String(output),
	)
	return &Span{span: span, parent: traceParent(span.SpanContext()), attempts: 1}
}

// traceParent is W3C Trace Context's header of that name, version 00.
func traceParent(c trace.SpanContext) string {
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}

// TraceParent is what makes a consumer's span a child of this one: the value of
// the header traceparent (https://www.w3.org/TR/trace-context/#traceparent-header).
func (s *Span) TraceParent() string { return s.parent }

// Describe says what is delivered.
func (s *Span) Describe(b Batch) {
	attrs := []attribute.KeyValue{
		semconv.MessagingBatchMessageCount(b.Messages), attrBytes.Int(b.Bytes),
		attrFirstLSN.String(b.FirstLSN), attrLastLSN.String(b.LastLSN),
		attrCommitTime.String(b.FirstCommit.UTC().Format(time.RFC3339Nano)),
	}
	if b.Topic != "" {
		attrs = append(attrs, semconv.MessagingDestinationName(plainText(b.Topic)))
	}
	s.span.SetAttributes(attrs...)
}

// AttemptFailed notes an attempt that will be made again. Of more than 128 the
// latest are kept.
func (s *Span) AttemptFailed(err error) {
	s.span.AddEvent(eventFailed, trace.WithAttributes(attrError.String(plainText(err.Error())), attrAttempts.Int(s.attempts)))
	s.attempts++
}

// End ends the span. If the batch was not delivered, err says why and kind, one of
// a few words, of what kind that is.
func (s *Span) End(err error, kind string) {
	s.span.SetAttributes(attrAttempts.Int(s.attempts))
	if err != nil {
		s.span.SetStatus(codes.Error, plainText(err.Error()))
		s.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	}
	s.span.End()
}

// maxText bounds a text in a span, in bytes.
const maxText = 1000

// plainText is text that a collector takes: one string that is not UTF-8 would
// cost all the spans it is sent with.
func plainText(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "")
}
