package publisher

import (
	"context"
	"time"

	"github.com/walherald/walherald/metrics"
)

// HeaderTraceParent is the name under which a destination keeps [TraceParent]
// beside a body (https://www.w3.org/TR/trace-context/#traceparent-header).
const HeaderTraceParent = "traceparent"

// tracing is what the context of a traced batch carries.
type tracing struct {
	parent string
	span   *metrics.Span // or nil
}

type tracingKey struct{}

func tracingOf(ctx context.Context) tracing {
	t, _ := ctx.Value(tracingKey{}).(*tracing)
	if t == nil {
		return tracing{}
	}
	return *t
}

// TraceParent returns what a Deliverer writes beside the body of each message of
// the batch it is given with ctx, where its destination has a place for that: the
// value of the header traceparent, 55 characters. Empty means that the batch is
// not traced and that nothing is written.
func TraceParent(ctx context.Context) string { return tracingOf(ctx).parent }

// WithTraceParent returns a context for which TraceParent is parent.
func WithTraceParent(ctx context.Context, parent string) context.Context {
	return context.WithValue(ctx, tracingKey{}, &tracing{parent: parent})
}

// Trace wraps what delivers to an output, [Retry] included, so that t gets one
// span for each batch, with an event for each attempt that failed. system is the
// kind of the output, see [metrics.Tracer.Start]. With a nil t it is d itself.
func Trace(d Deliverer, t *metrics.Tracer, output, system string) Deliverer {
	if t == nil {
		return d
	}
	return &traced{Deliverer: d, tracer: t, output: output, system: system}
}

type traced struct {
	Deliverer
	tracer         *metrics.Tracer
	output, system string
}

// Deliver implements Deliverer.
func (t *traced) Deliver(ctx context.Context, batch []Message) error {
	if len(batch) == 0 {
		return t.Deliverer.Deliver(ctx, batch)
	}
	span := t.tracer.Start(t.output, t.system)
	if span == nil {
		return t.Deliverer.Deliver(ctx, batch)
	}
	span.Describe(describe(batch))
	err := t.Deliverer.Deliver(context.WithValue(ctx, tracingKey{}, &tracing{span.TraceParent(), span}), batch)
	span.End(err, errorKind(err))
	return err
}

// describe is what a span says of a batch, which is not empty.
func describe(batch []Message) metrics.Batch {
	first, last := &batch[0], &batch[len(batch)-1]
	b := metrics.Batch{
		Topic: first.Topic, Messages: len(batch), FirstCommit: time.UnixMicro(first.CommitTime),
		FirstLSN: string(AppendLSN(nil, first.ID.LSN())), LastLSN: string(AppendLSN(nil, last.ID.LSN())),
	}
	for i := range batch {
		b.Bytes += len(batch[i].Body)
		if batch[i].Topic != first.Topic {
			b.Topic = ""
		}
	}
	return b
}

// errorKind is the attribute error.type of a span.
func errorKind(err error) string {
	if IsPermanent(err) {
		return "permanent"
	}
	return "stopped" // everything else is tried again
}

// traceFailed notes a failed attempt in the batch's span, if it has one.
func traceFailed(ctx context.Context, err error) {
	if t := tracingOf(ctx); t.span != nil {
		t.span.AttemptFailed(err)
	}
}
