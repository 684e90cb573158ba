package publisher

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// RetryHooks tell how delivering goes. Each may be nil; they are called from
// Deliver.
type RetryHooks struct {
	// Failed is called after each attempt that failed and will be made again.
	// first is the first message of the batch; nil if the batch is empty.
	Failed func(err error, first *Message, again time.Duration)
	// Succeeded is called after each attempt that did not.
	Succeeded func()
}

// The pauses between attempts.
const (
	retryFirst = 50 * time.Millisecond
	retryMax   = 10 * time.Second
)

// Retry wraps a Deliverer so that Deliver makes as many attempts as it takes,
// with growing pauses, until one succeeds, ctx ends, or an error is permanent.
// Each attempt is given up after timeout; 0 means it is not.
func Retry(d Deliverer, timeout time.Duration, hooks RetryHooks) Deliverer {
	return &retrier{Deliverer: d, timeout: timeout, hooks: hooks}
}

type retrier struct {
	Deliverer
	timeout time.Duration
	hooks   RetryHooks
}

// Deliver implements Deliverer.
func (r *retrier) Deliver(ctx context.Context, batch []Message) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = retryFirst, retryMax
	for {
		err := r.attempt(ctx, batch)
		switch {
		case err == nil:
			if r.hooks.Succeeded != nil {
				r.hooks.Succeeded()
			}
			return nil
		case ctx.Err() != nil, IsPermanent(err):
			return err
		}
		traceFailed(ctx, err)
		again := pause.NextBackOff()
		if r.hooks.Failed != nil {
			var first *Message
			if len(batch) > 0 {
				first = &batch[0]
			}
			r.hooks.Failed(err, first, again)
		}
		if err := Sleep(ctx, again); err != nil {
			return err
		}
	}
}

func (r *retrier) attempt(ctx context.Context, batch []Message) error {
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	return r.Deliverer.Deliver(ctx, batch)
}

// Sleep pauses for d and returns nil, or returns ctx's error as soon as ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
