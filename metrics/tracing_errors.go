package metrics

import (
	"log/slog"
	"sync"
	"time"
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
