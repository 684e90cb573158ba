package metrics

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/getsentry/sentry-go"
)

// fakeSentry keeps the events it is given.
type fakeSentry struct {
	mu     sync.Mutex
	events []*sentry.Event
}

func (f *fakeSentry) CaptureEvent(e *sentry.Event, _ *sentry.EventHint, _ sentry.EventModifier) *sentry.EventID {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	return &e.EventID
}

// attributes returns what Sentry would show of the only event's attributes.
func (f *fakeSentry) attributes(t *testing.T) string {
	t.Helper()
	if len(f.events) != 1 {
		t.Fatalf("%d events, want 1", len(f.events))
	}
	text, err := json.Marshal(f.events[0].Contexts[attributesContext])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestForwardedRecordsAreComplete(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return newSentryHandler(slog.NewJSONHandler(&out, nil), new(fakeSentry), nil)
	}, func(t *testing.T) map[string]any {
		return decode(t, out.Bytes())
	})
}

func TestSentRecordsAreComplete(t *testing.T) {
	var fake *fakeSentry
	slogtest.Run(t, func(*testing.T) slog.Handler {
		fake = new(fakeSentry)
		h := newSentryHandler(slog.DiscardHandler, fake, nil)
		h.least = slog.LevelInfo
		return h
	}, func(t *testing.T) map[string]any {
		record := decode(t, []byte(fake.attributes(t)))
		if record == nil {
			record = make(map[string]any)
		}
		event := fake.events[0]
		record[slog.MessageKey], record[slog.LevelKey] = event.Message, event.Level
		if !event.Timestamp.IsZero() {
			record[slog.TimeKey] = event.Timestamp
		}
		return record
	})
}

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var record map[string]any
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return record
}

func TestOnlyErrorsAreSent(t *testing.T) {
	fake := new(fakeSentry)
	log := slog.New(newSentryHandler(slog.DiscardHandler, fake, nil))
	log.Warn("warn")
	log.Error("error")
	log.Log(t.Context(), slog.LevelError+4, "worse")
	if len(fake.events) != 2 || fake.events[0].Message != "error" || fake.events[1].Message != "worse" {
		t.Errorf("%d events are sent: %+v", len(fake.events), fake.events)
	}
}

func TestNextSeesOnlyWhatItAskedFor(t *testing.T) {
	var out bytes.Buffer
	fake := new(fakeSentry)
	silent := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError + 1})
	slog.New(newSentryHandler(silent, fake, nil)).Error("error")
	if len(fake.events) != 1 || out.Len() != 0 {
		t.Errorf("%d events are sent, written: %q", len(fake.events), out.String())
	}
}

// failing is a handler whose output cannot be written.
type failing struct{ slog.Handler }

func (failing) Handle(context.Context, slog.Record) error { return io.ErrClosedPipe }
func (failing) Enabled(context.Context, slog.Level) bool  { return true }

func TestLogThatCannotBeWrittenStillReachesSentry(t *testing.T) {
	fake := new(fakeSentry)
	h := newSentryHandler(failing{slog.DiscardHandler}, fake, nil)
	err := h.Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelError, "error", 0))
	if !errors.Is(err, io.ErrClosedPipe) || len(fake.events) != 1 {
		t.Errorf("Handle = %v with %d events sent", err, len(fake.events))
	}
}

// token shows itself as a placeholder.
type token string

func (token) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }

// broken panics when it is asked for its text, as nil pointers do.
type broken struct{}

func (*broken) Error() string { panic("nil receiver") }

func TestEveryAttributeHasAForm(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{"text", `"text"`},
		{true, `true`},
		{-3, `-3`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{1.5, `1.5`},
		{math.Inf(1), `"+Inf"`},
		{1500 * time.Millisecond, `"1.5s"`},
		{noon, `"2026-03-01T13:00:00+01:00"`},
		{errors.New("connection refused"), `"connection refused"`},
		{token("hunter2"), `"<secret>"`},
		{struct{ Password token }{"hunter2"}, `{"Password":"\u003csecret\u003e"}`},
		{nil, `null`},
		{(*broken)(nil), `"!PANIC in *metrics.broken: nil receiver"`},
		{make(chan int), `"!ERROR: chan int has no JSON form"`},
	} {
		fake := new(fakeSentry)
		slog.New(newSentryHandler(slog.DiscardHandler, fake, nil)).Error("e", slog.Any("v", c.value), slog.Int("n", 1))
		got, want := fake.attributes(t), decode(t, []byte(`{"n":1,"v":`+c.want+`}`))
		if text, err := json.Marshal(want); err != nil || string(text) != string(mustCompact(t, got)) {
			t.Errorf("%T is sent as %s, want %s", c.value, got, text)
		}
	}
}

// mustCompact writes JSON the way Marshal writes a map.
func mustCompact(t *testing.T, text string) []byte {
	t.Helper()
	out, err := json.Marshal(decode(t, []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHandlersMadeFromOneDoNotShareAttributes(t *testing.T) {
	fake := new(fakeSentry)
	base := slog.New(newSentryHandler(slog.DiscardHandler, fake, nil)).With("a", 1).With("b", 2).With("c", 3)
	first, second := base.With("x", 1), base.With("x", 2)
	first.Error("e")
	if got := fake.attributes(t); got != `{"a":1,"b":2,"c":3,"x":1}` {
		t.Errorf("first sends %s", got)
	}
	fake.events = nil
	second.Error("f")
	if got := fake.attributes(t); got != `{"a":1,"b":2,"c":3,"x":2}` {
		t.Errorf("second sends %s", got)
	}
}

// sentryServer is a Sentry that passes on the items of the envelopes it gets.
func sentryServer(t *testing.T) (dsn string, items <-chan map[string]any) {
	t.Helper()
	received := make(chan map[string]any, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/42/envelope/" || !strings.Contains(r.Header.Get("X-Sentry-Auth"), "sentry_key=publickey") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		lines := bufio.NewScanner(r.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var item map[string]any
			if json.Unmarshal(lines.Bytes(), &item) == nil && item["event_id"] != nil && item["level"] != nil {
				received <- item
			}
		}
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "://", "://publickey@", 1) + "/42", received
}

func TestErrorsReachSentryWithTheirAttributes(t *testing.T) {
	dsn, items := sentryServer(t)
	var out bytes.Buffer
	h, flush, err := NewSentryHandler(slog.NewTextHandler(&out, nil), SentryOptions{
		DSN: dsn, Version: "1.2.3", Environment: "staging", Tags: map[string]string{"slot": "orders"},
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h).With("slot", "orders").WithGroup("output")
	log.Info("delivered")
	log.Error("deliver batch", "name", "nats", "err", io.ErrUnexpectedEOF)
	if !flush(patience) {
		t.Fatal("flush did not finish")
	}
	item := <-items
	for key, want := range map[string]string{"message": "deliver batch", "level": "error", "release": "walherald@1.2.3", "environment": "staging", "platform": "go"} {
		if item[key] != want {
			t.Errorf("%s is %v, want %s", key, item[key], want)
		}
	}
	contexts, _ := item["contexts"].(map[string]any)
	got, err := json.Marshal(contexts[attributesContext])
	if want := `{"output":{"err":"unexpected EOF","name":"nats"},"slot":"orders"}`; err != nil || string(got) != want {
		t.Errorf("attributes are %s, want %s", got, want)
	}
	if len(items) != 0 {
		t.Errorf("more than the error was sent: %v", <-items)
	}
	if text := out.String(); !strings.Contains(text, "msg=delivered") || !strings.Contains(text, `output.err="unexpected EOF"`) {
		t.Errorf("next wrote %q", text)
	}
}

func TestConcurrentErrorsAllReachSentry(t *testing.T) {
	dsn, items := sentryServer(t)
	h, flush, err := NewSentryHandler(slog.DiscardHandler, SentryOptions{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h).With("slot", "orders")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				log.With("worker", i).Error(fmt.Sprintf("deliver batch %d of %d", j, i))
			}
		})
	}
	wg.Wait()
	if !flush(patience) {
		t.Fatal("flush did not finish")
	}
	if len(items) != 40 {
		t.Errorf("%d of 40 errors arrived", len(items))
	}
}

func TestSentryThatHangsHoldsNobodyUp(t *testing.T) {
	entered := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		entered <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	var out bytes.Buffer
	dsn := strings.Replace(server.URL, "://", "://publickey@", 1) + "/42"
	h, flush, err := NewSentryHandler(slog.NewTextHandler(&out, nil), SentryOptions{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h)
	log.Error("first")
	<-entered
	log.Error("second") // while the first hangs
	if flush(time.Millisecond) {
		t.Error("flush says that all was sent")
	}
	log.Error("third") // after the end
	if flush(time.Millisecond) {
		t.Error("flush says that all was sent after the end")
	}
	if got := strings.Count(out.String(), "level=ERROR"); got != 3 {
		t.Errorf("%d of 3 records were written", got)
	}
}

func TestEndingATransportEndsItsRequests(t *testing.T) {
	entered := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	client := &http.Client{Transport: &cuttableTransport{ctx: ctx, base: new(http.Transport)}}
	go func() { // the requests themselves have no bound
		<-entered
		cancel()
	}()
	for _, when := range []string{"under way", "after the end"} {
		answer, err := client.Get(server.URL)
		if err == nil {
			_ = answer.Body.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("request %s: %v", when, err)
		}
	}
}

func TestBadDSNIsNotShown(t *testing.T) {
	for _, dsn := range []string{
		"https://hunter2@sentry.example:port/42",
		"hunter2",
		"ftp://hunter2@sentry.example/42",
		"https://hunter2@sentry.example",
		"https://hunter2@/42",
		"https://sentry.example/hunter2",
		"https://hunter2\x7f@sentry.example/42",
	} {
		h, flush, err := NewSentryHandler(slog.DiscardHandler, SentryOptions{DSN: dsn})
		if err == nil || h != nil || flush != nil {
			t.Fatalf("DSN %q is accepted", dsn)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), "hunter2") || strings.Contains(e.Error(), "sentry.example") {
				t.Errorf("error shows the DSN: %v", e)
			}
		}
		if !strings.Contains(err.Error(), "monitoring.sentryDSN") {
			t.Errorf("error does not name its key: %v", err)
		}
	}
}

func TestWithoutDSNNothingIsSent(t *testing.T) {
	dsn, items := sentryServer(t)
	t.Setenv("SENTRY_DSN", dsn) // the configuration alone decides
	next := slog.NewTextHandler(io.Discard, nil)
	h, flush, err := NewSentryHandler(next, SentryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	slog.New(h).Error("error")
	if h != next || !flush(patience) || len(items) != 0 {
		t.Errorf("handler %T, %d events sent", h, len(items))
	}
}
