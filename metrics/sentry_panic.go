package metrics

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/getsentry/sentry-go"
)

// panicFlush is how long a process that panics waits for its last report.
const panicFlush = 2 * time.Second

// panics is where the panics of this process go, nil for nowhere. It is no part
// of a handler: a goroutine that panics has no way to be handed one, and what it
// ends is the process.
var panics atomic.Pointer[panicReporter]

// panicReporter sends panics to Sentry.
type panicReporter struct {
	client *sentry.Client
	tags   map[string]string
}

// ReportPanic is for a goroutine to defer, after all else that it defers: what runs
// before it could let the process end. If the goroutine panics, the panic is sent to
// Sentry with its stack, for which the process waits for 2 seconds at most, and goes
// on as before: Go writes it with its stack to stderr and ends the process with exit
// code 2. Without Sentry ([NewSentryHandler]) it does nothing.
//
// What a panic says is sent only where the runtime says it, such as an index out
// of range. The text of any other could hold data and is on stderr alone.
func ReportPanic() {
	to := panics.Load()
	if to == nil {
		return
	}
	if p := recover(); p != nil {
		to.client.CaptureEvent(newPanicEvent(p, to.tags), nil, nil)
		to.client.Flush(panicFlush)
		panic(p)
	}
}

func newPanicEvent(p any, tags map[string]string) *sentry.Event {
	event := sentry.NewEvent()
	event.Level = sentry.LevelFatal
	event.Tags = withAttributes(tags, nil)
	handled := false
	event.Exception = []sentry.Exception{{
		Type:       "panic",
		Value:      panicText(p),
		Stacktrace: sentry.NewStacktrace(),
		Mechanism:  &sentry.Mechanism{Type: "panic", Handled: &handled},
	}}
	return event
}

func panicText(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("of type %T; its text is on stderr", p)
}
