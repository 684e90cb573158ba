package metrics

import (
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// complaintInterval is how often it is logged at most that traces cannot be sent.
const complaintInterval = time.Minute

// complaints logs errors of the tracing library, of which there can be one for
// every few spans: one a minute, and how many others there were.
type complaints struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	last   time.Time
	silent int
}

func newComplaints(log *slog.Logger) *complaints { return &complaints{log: log, now: time.Now} }

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if !c.last.IsZero() && now.Sub(c.last) < complaintInterval {
		c.silent++
		return
	}
	c.log.Warn("traces could not be sent and are lost; what is delivered is not affected", "error", err, "others_since_last_told", c.silent)
	c.last, c.silent = now, 0
}

// librarySink takes what the tracing library has to say of the environment, which
// it would write to standard error with the values, tokens in headers among them.
type librarySink struct{ log *slog.Logger }

// Init implements logr.LogSink.
func (librarySink) Init(logr.RuntimeInfo) {}

// Enabled implements logr.LogSink: only errors are asked for.
func (librarySink) Enabled(int) bool { return false }

// Info implements logr.LogSink.
func (librarySink) Info(int, string, ...any) {}

// Error implements logr.LogSink. Error and values can quote what is secret.
func (s librarySink) Error(_ error, msg string, _ ...any) {
	s.log.Warn("part of the settings for traces is not heeded: look at the variables OTEL_…", "problem", msg)
}

// WithValues implements logr.LogSink.
func (s librarySink) WithValues(...any) logr.LogSink { return s }

// WithName implements logr.LogSink.
func (s librarySink) WithName(string) logr.LogSink { return s }
