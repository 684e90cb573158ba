package listener

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/walherald/walherald/metrics"
)

// errPromoted ends a reign.
var errPromoted = errors.New("server was promoted")

// Run reads until ctx ends, then delivers what it has read within
// listener.drainTimeout and returns nil; or until an error that nothing but a
// human can mend, which it returns. It connects again for ever after every
// other. Run is called once.
func (l *Listener) Run(ctx context.Context) error {
	defer l.alive.Done()
	defer l.refuseReload()
	for {
		err := l.rule(ctx)
		if !errors.Is(err, errPromoted) {
			return err
		}
		l.log.Warn("server was promoted, going on from where the slot is there", "timeline_before", l.id.timeline, "error", err)
		l.begun()
	}
}

// rule runs for one reign. What it has read when that ends is delivered, or
// read again in the next.
func (l *Listener) rule(ctx context.Context) error {
	readCtx, stopReading := context.WithCancelCause(ctx)
	defer stopReading(nil)
	outCtx, stopOutput := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOutput()

	delivered := make(chan struct{})
	deliverErr := l.deliver(outCtx, stopReading, delivered)
	stopKeeping := l.startKeeping(ctx)

	s, err := l.read(readCtx)
	drained := l.drain(s, delivered, stopOutput, stopKeeping)
	switch {
	case err != nil:
		return err
	case *deliverErr != nil && drained:
		return *deliverErr
	case !drained:
		l.log.Warn("stopped before everything read was delivered; it will be read again at the next start",
			"waited", l.cfg.DrainTimeout.String())
	}
	return nil
}

// deliver runs the outputs and closes delivered once all have ended. The first
// error of one stops the reading and is found in what it returns; the others
// still deliver what has been read.
func (l *Listener) deliver(ctx context.Context, stopReading context.CancelCauseFunc, delivered chan<- struct{}) *error {
	var running sync.WaitGroup
	var once sync.Once
	var first error
	for _, o := range l.outputs {
		running.Go(func() {
			defer metrics.ReportPanic()
			if err := o.run(ctx); err != nil {
				once.Do(func() { first = err })
				stopReading(err)
			}
		})
	}
	go func() {
		running.Wait()
		close(delivered)
	}()
	return &first
}

// startKeeping begins to write the slot memory and to watch the slot. The function it
// returns ends that with a last write and closes the connection for SQL.
func (l *Listener) startKeeping(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	for _, f := range []func(context.Context){l.keep, l.watchSlot} {
		running.Go(func() {
			defer metrics.ReportPanic()
			f(ctx)
		})
	}
	return func() {
		cancel()
		running.Wait()
		last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), farewellTimeout)
		defer cancelLast()
		l.remember(last, true)
		l.sql.close()
	}
}

// drain closes the windows and gives the outputs their time to empty them, while
// the stream, if there still is one, keeps the server informed; then it reports
// the final position. It reports whether the outputs ended by themselves.
func (l *Listener) drain(s *stream, delivered <-chan struct{}, stopOutput, stopKeeping func()) bool {
	for _, o := range l.outputs {
		o.window.close()
	}
	bound := time.AfterFunc(l.cfg.DrainTimeout, stopOutput)
	if s != nil {
		s.idleUntil(delivered)
	}
	<-delivered
	stopKeeping()
	if s != nil {
		s.farewell()
	}
	return bound.Stop()
}

// maxBackoff is the longest pause between two attempts to connect.
const maxBackoff = 15 * time.Second

// read streams, connecting again after each failure, until ctx ends (nil) or
// an error is fatal. The stream that was open when ctx ended is returned.
func (l *Listener) read(ctx context.Context) (*stream, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, maxBackoff
	for {
		s, err := l.session(ctx, pause.Reset)
		if ctx.Err() != nil {
			return s, nil
		}
		if s != nil {
			s.nc.Close()
		}
		if isFatal(err) || errors.Is(err, errPromoted) {
			return nil, err
		}
		l.report(err)
		wait := pause.NextBackOff()
		if slotInUse(err) {
			wait = min(wait, standbyPause)
		}
		if l.pause(ctx, wait) != nil {
			return nil, nil
		}
		l.met.Reconnected()
	}
}

// pause waits before the next attempt to connect, open to a reload.
func (l *Listener) pause(ctx context.Context, d time.Duration) error {
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		l.reloadIdle()
		select {
		case <-end.C:
			return nil
		case <-l.awake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// standbyPause is how soon one that waits for the slot tries again: it is the
// warm standby of the process that holds it.
const standbyPause = time.Second

// report tells why there is no stream.
func (l *Listener) report(err error) {
	l.alive.Beat()
	if slotInUse(err) && l.inUse != "" {
		l.health.Standby(err.Error())
		return // which has been told once
	}
	l.health.Blocked(err.Error(), l.flush().String())
	l.inUse = ""
	l.log.Warn("connection to PostgreSQL lost or not to be had, trying again", "error", err)
}
