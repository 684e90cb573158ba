package metrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/getsentry/sentry-go"
)

func TestEventsAreTaggedWithNamesFromConfigurationAndCatalogue(t *testing.T) {
	fake := new(fakeSentry)
	log := slog.New(newSentryHandler(slog.DiscardHandler, fake, map[string]string{"slot": "wh", "output": "nats"}))
	log.Error("plain")
	log.With("output", "kafka").Error("dropped", "table", "public.items", "column", "secret", "lsn", "0/1")
	log.Error("odd", "output", 7, "table", "")
	log.Error("long", "table", strings.Repeat("ä", 300)+"\nx")
	for i, want := range []map[string]string{
		{"slot": "wh", "output": "nats"},
		{"slot": "wh", "output": "kafka", "table": "public.items"},
		{"slot": "wh", "output": "nats"},
		{"slot": "wh", "output": "nats", "table": strings.Repeat("ä", maxTag)},
	} {
		if got := fake.events[i].Tags; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: tags are %v, want %v", fake.events[i].Message, got, want)
		}
	}
}

func TestTagsAreOneLineOfBoundedLength(t *testing.T) {
	for text, want := range map[string]string{
		"orders": "orders", "a\nb\r\n c": "a b c", "": "", " \n": "",
		strings.Repeat("x", 500): strings.Repeat("x", maxTag),
	} {
		if got := tagValue(text); got != want || utf8.RuneCountInString(got) > maxTag {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestWhatComesAgainAndAgainIsSentOnceAMinuteAndCounted(t *testing.T) {
	fake := new(fakeSentry)
	h := newSentryHandler(slog.DiscardHandler, fake, nil)
	clock := noon
	h.throttle.now = func() time.Time { return clock }
	log := slog.New(h)
	for range 50 {
		log.Error("cannot deliver", "output", "a")
		log.Error("cannot deliver", "output", "b")
		log.Error("cannot read", "output", "a")
	}
	if len(fake.events) != 3 {
		t.Fatalf("%d events are sent, want one of each of 3", len(fake.events))
	}
	clock = clock.Add(quiet - time.Nanosecond)
	log.Error("cannot deliver", "output", "a")
	if len(fake.events) != 3 {
		t.Error("it is sent again before a minute is over")
	}
	clock = clock.Add(time.Nanosecond)
	log.Error("cannot deliver", "output", "a")
	log.Error("cannot deliver", "output", "a")
	if len(fake.events) != 4 {
		t.Fatalf("%d events are sent after a minute, want 4", len(fake.events))
	}
	if held := fake.events[3].Contexts[attributesContext]["not_sent"]; held != 50 {
		t.Errorf("the event says that %v were not sent, want 50", held)
	}
	if held, there := fake.events[0].Contexts[attributesContext]["not_sent"]; there {
		t.Errorf("the first event says that %v were not sent", held)
	}
}

func TestErrorsThatAllDifferDoNotFlood(t *testing.T) {
	clock := noon
	th := newThrottle()
	th.now = func() time.Time { return clock }
	sent := 0
	for i := range 10 * maxQuiet {
		if _, ok := th.pass(fmt.Sprint(i)); ok {
			sent++
		}
	}
	if sent != maxQuiet+1 || len(th.seen) > maxQuiet+1 {
		t.Errorf("%d are sent and %d remembered, want %d", sent, len(th.seen), maxQuiet+1)
	}
	clock = clock.Add(quiet)
	if _, ok := th.pass("new"); !ok {
		t.Error("after a minute nothing is sent")
	}
	if len(th.seen) != 1 {
		t.Errorf("%d are remembered after a minute", len(th.seen))
	}
}

func TestPanicTextsOfOthersStayHere(t *testing.T) {
	var list []int
	for name, test := range map[string]struct {
		panics func()
		want   string
	}{
		"runtime": {func() { _ = list[7:][len(list)] }, "runtime error: slice bounds out of range [7:0]"},
		"text":    {func() { panic("row 4711 of hunter2") }, "of type string; its text is on stderr"},
		"error":   {func() { panic(errors.New("hunter2")) }, "of type *errors.errorString; its text is on stderr"},
	} {
		t.Run(name, func(t *testing.T) {
			event := eventOf(test.panics)
			exception := event.Exception[0]
			if exception.Value != test.want || event.Level != sentry.LevelFatal || *exception.Mechanism.Handled {
				t.Errorf("sent: %+v, level %s, want %q", exception, event.Level, test.want)
			}
			if text, err := json.Marshal(event); err != nil || strings.Contains(string(text), "hunter2") {
				t.Errorf("the event is %s, %v", text, err)
			}
		})
	}
}

// eventOf returns the event of a panic.
func eventOf(f func()) (event *sentry.Event) {
	defer func() { event = newPanicEvent(recover(), nil) }()
	f()
	return nil
}

// panicsOf is set in the process that TestPanicReachesSentryBeforeTheEnd starts.
const panicsOf = "WALHERALD_TEST_PANIC_DSN"

func TestPanicReachesSentryBeforeTheEnd(t *testing.T) {
	if dsn := os.Getenv(panicsOf); dsn != "" {
		panicInGoroutine(t, dsn)
	}
	dsn, items := sentryServer(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), panicsOf+"="+dsn)
	printed, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 2 {
		t.Fatalf("ended with %v, want exit code 2: %s", err, printed)
	}
	for _, want := range []string{"panic: assignment to entry in nil map", "metrics.panicDeepDown("} {
		if !strings.Contains(string(printed), want) {
			t.Errorf("stderr lacks %q:\n%s", want, printed)
		}
	}
	if len(items) != 1 {
		t.Fatalf("%d events arrived, want 1", len(items))
	}
	item := <-items
	text, err := json.Marshal(item["exception"])
	for _, want := range []string{`"assignment to entry in nil map"`, `"function":"panicDeepDown"`, `"handled":false`} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("the event lacks %s: %s", want, text)
		}
	}
	host, _ := os.Hostname()
	if tags, _ := json.Marshal(item["tags"]); item["level"] != "fatal" || item["server_name"] != host || string(tags) != `{"slot":"wh"}` {
		t.Errorf("level %v, server %v, tags %s", item["level"], item["server_name"], tags)
	}
}

// panicInGoroutine ends the process.
func panicInGoroutine(t *testing.T, dsn string) {
	_, _, err := NewSentryHandler(slog.DiscardHandler, SentryOptions{DSN: dsn, Tags: map[string]string{"slot": "wh"}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer ReportPanic()
		panicDeepDown(nil)
	}()
	<-done
	select {} // the goroutine ends the process
}

//go:noinline
func panicDeepDown(m map[string]int) { m["x"] = 1 }

func TestWithoutSentryAPanicGoesItsWay(t *testing.T) {
	defer func() {
		if p := recover(); p != "as it was" {
			t.Errorf("recovered %v", p)
		}
	}()
	defer ReportPanic()
	panic("as it was")
}

func TestNothingOfTheEnvironmentIsSent(t *testing.T) {
	for name, value := range map[string]string{
		"SENTRY_RELEASE": "hunter2", "SENTRY_ENVIRONMENT": "hunter2", "SENTRY_TAGS_X": "hunter2", "SENTRY_DSN": "https://hunter2@h/1",
	} {
		t.Setenv(name, value)
	}
	dsn, items := sentryServer(t)
	h, flush, err := NewSentryHandler(slog.DiscardHandler, SentryOptions{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	slog.New(h).Error("error")
	if !flush(patience) {
		t.Fatal("flush did not finish")
	}
	text, err := json.Marshal(<-items)
	if err != nil || strings.Contains(string(text), "hunter2") || strings.Contains(string(text), `"user"`) {
		t.Errorf("sent: %s, %v", text, err)
	}
	for _, want := range []string{`"environment":"production"`, `"release":"walherald@unknown"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}

// namesKey is an error that says that it names a message's key.
type namesKey struct{ key string }

func (e namesKey) Error() string {
	return fmt.Sprintf("publish UPDATE of t with key %q: too large", e.key)
}
func (e namesKey) MessageKey() []byte { return []byte(e.key) }

func TestKeysOfMessagesAreNotSent(t *testing.T) {
	fake := new(fakeSentry)
	err := namesKey{"carol\n@example.org"}
	slog.New(newSentryHandler(slog.DiscardHandler, fake, nil)).With("key", err.key).
		Error("stops", "key", err.key, "error", errors.Join(fmt.Errorf("deliver: %w", err), errors.New("close")), "table", "t")
	got := fmt.Sprint(fake.events[0].Contexts[attributesContext])
	if strings.Contains(got, "carol") || !strings.Contains(got, "publish UPDATE of t with key …: too large\nclose") {
		t.Errorf("sent is %s", got)
	}
}
