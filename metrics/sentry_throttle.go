package metrics

import (
	"sync"
	"time"
)

const (
	// quiet is how long an error that comes again is kept from Sentry.
	quiet = time.Minute
	// maxQuiet bounds the errors that are told apart; all others count as one.
	maxQuiet = 100
	// otherErrors is the key of those others.
	otherErrors = "\x00"
)

// throttle keeps what happens again and again, as in a loop of attempts, from
// flooding Sentry. It is safe for concurrent use.
type throttle struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[string]*sent
}

// sent is when an error was last sent and how often it came since.
type sent struct {
	at   time.Time
	held int
}

func newThrottle() *throttle { return &throttle{now: time.Now, seen: make(map[string]*sent)} }

// pass reports whether an error is to be sent and how many of its kind were not
// since the last one that was.
func (t *throttle) pass(key string) (held int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	last := t.seen[key]
	if last == nil && len(t.seen) >= maxQuiet {
		t.forget(now)
		if len(t.seen) >= maxQuiet {
			key = otherErrors
			last = t.seen[key]
		}
	}
	if last == nil {
		t.seen[key] = &sent{at: now}
		return 0, true
	}
	if now.Sub(last.at) < quiet {
		last.held++
		return 0, false
	}
	held, last.at, last.held = last.held, now, 0
	return held, true
}

// forget makes room: of what has been quiet long enough nothing is known then.
func (t *throttle) forget(now time.Time) {
	for key, last := range t.seen {
		if now.Sub(last.at) >= quiet {
			delete(t.seen, key)
		}
	}
}
