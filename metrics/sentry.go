package metrics

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/getsentry/sentry-go"
)

// attributesContext is the name under which Sentry shows a record's attributes.
const attributesContext = "attributes"

// NewSentryHandler returns a handler that passes every record on to next and
// sends those of level error and above to Sentry too: the message as the event,
// the attributes as its context. Sending never blocks and never fails the
// caller; if Sentry cannot keep up, events are dropped. With an empty dsn, h is
// next itself.
//
// flush waits for what is still to be sent, for at most the given time, says
// whether all of it went out, and ends the goroutines that sent it. It is for
// the end of the process: later records go to next only.
//
// No error holds any part of the DSN.
func NewSentryHandler(next slog.Handler, dsn, release string) (h slog.Handler, flush func(time.Duration) bool, err error) {
	if dsn == "" { // otherwise the client would look for one in the environment
		return next, func(time.Duration) bool { return true }, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	transport := &cuttableTransport{ctx: ctx, base: &http.Transport{Proxy: http.ProxyFromEnvironment}}
	client, err := sentry.NewClient(sentry.ClientOptions{
		Dsn:           dsn,
		Release:       cmp.Or(release, "unknown"), // empty would have the client run git
		HTTPTransport: transport,
	})
	if err != nil {
		cancel()
		// Not wrapped: the client's error can quote the DSN.
		return nil, nil, errors.New("read monitoring.sentryDSN: it is not of the form https://<key>@<host>/<project>")
	}
	end := sync.OnceFunc(func() {
		cancel() // what hangs would hold Close up for half a minute
		client.Close()
		transport.base.CloseIdleConnections()
	})
	flush = func(limit time.Duration) bool {
		defer end()
		return client.Flush(limit)
	}
	return newSentryHandler(next, client), flush, nil
}

// cuttableTransport is an HTTP transport whose requests, present and future,
// all fail once ctx ends.
type cuttableTransport struct {
	ctx  context.Context
	base *http.Transport
}

func (t *cuttableTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(t.ctx, cancel)
	// The body of the response is read after this returns, so the request's own
	// context says when the two can be parted.
	context.AfterFunc(ctx, func() { stop() })
	return t.base.RoundTrip(r.WithContext(ctx))
}

// capturer is the part of a Sentry client that takes events.
type capturer interface {
	CaptureEvent(*sentry.Event, *sentry.EventHint, sentry.EventModifier) *sentry.EventID
}

// sentryHandler sends records of level least and above to client.
type sentryHandler struct {
	next   slog.Handler
	client capturer
	least  slog.Level
	scopes []scope // what WithGroup and WithAttrs added, in order
}

// scope is one call of WithGroup or, if group is empty, of WithAttrs.
type scope struct {
	group string
	attrs []slog.Attr
}

func newSentryHandler(next slog.Handler, client capturer) *sentryHandler {
	return &sentryHandler{next: next, client: client, least: slog.LevelError}
}

func (h *sentryHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.least || h.next.Enabled(ctx, level)
}

func (h *sentryHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= h.least {
		h.client.CaptureEvent(newEvent(h.scopes, r), nil, nil)
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

func (h *sentryHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(h.next.WithAttrs(attrs), scope{attrs: slices.Clone(attrs)})
}

func (h *sentryHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(h.next.WithGroup(name), scope{group: name})
}

func (h *sentryHandler) with(next slog.Handler, s scope) *sentryHandler {
	return &sentryHandler{
		next: next, client: h.client, least: h.least,
		scopes: append(slices.Clip(h.scopes), s),
	}
}

func newEvent(scopes []scope, r slog.Record) *sentry.Event {
	event := sentry.NewEvent()
	event.Level = sentry.LevelError
	event.Message = r.Message
	event.Timestamp = r.Time
	if fields := collect(scopes, r); len(fields) > 0 {
		event.Contexts[attributesContext] = fields
	}
	return event
}

// collect returns the attributes of scopes and then those of r, each group as a
// map of its own; groups without attributes are left out.
func collect(scopes []scope, r slog.Record) map[string]any {
	fields := make(map[string]any)
	for i, s := range scopes {
		if s.group != "" {
			if inner := collect(scopes[i+1:], r); len(inner) > 0 {
				fields[s.group] = inner
			}
			return fields
		}
		for _, a := range s.attrs {
			addAttr(fields, a)
		}
	}
	r.Attrs(func(a slog.Attr) bool {
		addAttr(fields, a)
		return true
	})
	return fields
}

// addAttr follows the rules of [slog.Handler]: no empty attributes, no empty
// groups, and a group without a name gives its attributes to its parent.
func addAttr(fields map[string]any, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		if a.Key != "" || !value.Equal(slog.Value{}) {
			fields[a.Key] = plain(value)
		}
		return
	}
	into := fields
	if a.Key != "" {
		into = make(map[string]any)
	}
	for _, member := range value.Group() {
		addAttr(into, member)
	}
	if a.Key != "" && len(into) > 0 {
		fields[a.Key] = into
	}
}

// plain returns a resolved value as something that is certain to have a JSON
// form: one attribute without it would cost the event all of them.
func plain(v slog.Value) any {
	switch v.Kind() {
	case slog.KindFloat64:
		if f := v.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
			return v.String()
		}
	case slog.KindDuration:
		return v.String()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		return plainAny(v.Any())
	default: // strings, booleans and integers are plain already
	}
	return v.Any()
}

// plainAny is what slog's JSON handler makes of a value. Methods of the value
// can panic, on a nil pointer above all; a log line must survive that.
func plainAny(x any) (result any) {
	defer func() {
		if p := recover(); p != nil {
			result = fmt.Sprintf("!PANIC in %T: %v", x, p)
		}
	}()
	_, marshals := x.(json.Marshaler)
	if err, ok := x.(error); ok && !marshals {
		return err.Error()
	}
	text, err := json.Marshal(x)
	if err != nil {
		return fmt.Sprintf("!ERROR: %T has no JSON form", x)
	}
	return json.RawMessage(text)
}
