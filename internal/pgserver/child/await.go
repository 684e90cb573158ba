package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Bounded gives ctx the timeout if it has no deadline.
func Bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// AwaitReady calls probe until it succeeds. If the process ends first the error
// wraps [ErrEnded], if ctx does, ctx.Err() and what probe said last.
func (p *Process) AwaitReady(ctx context.Context, probe func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%w: %v", ErrEnded, p.State())
		case <-ctx.Done():
			return fmt.Errorf("%w; last connection attempt: %w", ctx.Err(), err)
		}
	}
}

// Tail returns the last 6 kB of a log, without what is before the given offset,
// or why there are none.
func Tail(path string, since int64) string {
	log, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	start := max(since, int64(len(log)-logTail), 0)
	return string(log[min(start, int64(len(log))):])
}

// PortTaken reports whether a start failed because somebody has the server's
// port, by the end of the log in err. Go, C and Java write it in different cases.
func PortTaken(err error) bool {
	return errors.Is(err, ErrEnded) && strings.Contains(strings.ToLower(err.Error()), "address already in use")
}
