package metrics

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/getsentry/sentry-go"
)

// attributesContext is the name under which Sentry shows a record's attributes.
const attributesContext = "attributes"

// tagged are the attributes that become tags as well, by which Sentry searches:
// names from the configuration and the catalogue.
var tagged = []string{"output", "table"}

// maxTag is how many characters of a tag's value Sentry takes.
const maxTag = 200

// capturer is the part of a Sentry client that takes events.
type capturer interface {
	CaptureEvent(*sentry.Event, *sentry.EventHint, sentry.EventModifier) *sentry.EventID
}

// sentryHandler sends records of level least and above to client.
type sentryHandler struct {
	next     slog.Handler
	client   capturer
	least    slog.Level
	tags     map[string]string // on every event
	throttle *throttle
	scopes   []scope // what WithGroup and WithAttrs added, in order
}

// scope is one call of WithGroup or, if group is empty, of WithAttrs.
type scope struct {
	group string
	attrs []slog.Attr
}

func newSentryHandler(next slog.Handler, client capturer, tags map[string]string) *sentryHandler {
	return &sentryHandler{next: next, client: client, least: slog.LevelError, tags: tags, throttle: newThrottle()}
}

func (h *sentryHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.least || h.next.Enabled(ctx, level)
}

func (h *sentryHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= h.least {
		h.send(r)
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// send sends a record unless the same has just been sent.
func (h *sentryHandler) send(r slog.Record) {
	fields := collect(h.scopes, r)
	tags := withAttributes(h.tags, fields)
	held, ok := h.throttle.pass(r.Message + "\x00" + tags["output"])
	if !ok {
		return
	}
	if held > 0 {
		fields["not_sent"] = held
	}
	h.client.CaptureEvent(newEvent(r, fields, tags), nil, nil)
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
	added := *h
	added.next, added.scopes = next, append(slices.Clip(h.scopes), s)
	return &added
}

func newEvent(r slog.Record, fields map[string]any, tags map[string]string) *sentry.Event {
	event := sentry.NewEvent()
	event.Level = sentry.LevelError
	event.Message = r.Message
	event.Timestamp = r.Time
	event.Tags = tags
	if len(fields) > 0 {
		event.Contexts[attributesContext] = fields
	}
	return event
}

// withAttributes returns tags and those attributes of a record that are tags.
func withAttributes(tags map[string]string, fields map[string]any) map[string]string {
	all := maps.Clone(tags)
	if all == nil {
		all = make(map[string]string)
	}
	for _, name := range tagged {
		if value, ok := fields[name].(string); ok && value != "" {
			all[name] = tagValue(value)
		}
	}
	return all
}

// tagValue makes a text one that Sentry takes as the value of a tag: one line of
// a bounded length.
func tagValue(text string) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	return string(runes[:min(len(runes), maxTag)])
}
