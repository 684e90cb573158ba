package notifier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/walherald/walherald/publisher"
)

// send delivers in line: as many attempts as the configuration allows, within its
// time. begun is since when the notifications wait for their turn.
func (d *Destination) send(ctx context.Context, ds []Delivery, begun time.Time) error {
	done, err := d.allow()
	if err != nil {
		return err
	}
	err = d.attempts(ctx, ds, begun)
	d.judge(done, err)
	return err
}

// judge tells the circuit how a delivery went.
func (d *Destination) judge(done func(error), err error) {
	if err != nil {
		text := reason(err)
		if !publisher.IsPermanent(err) {
			d.failure.Store(&text)
		}
		if d.o.Failed != nil && !IsNotTried(err) {
			d.o.Failed(text)
		}
	}
	done(err)
}

// attempts tries until it succeeds or must be given up.
func (d *Destination) attempts(ctx context.Context, ds []Delivery, begun time.Time) error {
	c := &d.o.Config
	var deadline, turn time.Time // of all attempts, and of the first one's turn
	if wait := c.Wait(); wait > 0 {
		turn = begun.Add(wait)
	}
	var err error // of the last attempt
	for attempt := 1; ; attempt++ {
		switch late := d.await(ctx, turn); {
		case late != nil && (err == nil || ctx.Err() != nil):
			return late
		case late != nil:
			return fmt.Errorf("%d attempts, and no turn for another within timeBudget %v: %w", attempt-1, c.TimeBudget, err)
		}
		err = d.attempt(ctx, ds, &deadline)
		if err == nil || ctx.Err() != nil || publisher.IsPermanent(err) {
			return err
		}
		if attempt >= c.MaxAttempts {
			return fmt.Errorf("%d attempts: %w", attempt, err)
		}
		pause := max(RetryAfter(err), c.Backoff[min(attempt, len(c.Backoff))-1])
		if time.Until(deadline) < pause {
			return fmt.Errorf("%d attempts, and the next one would be later than timeBudget %v allows: %w", attempt, c.TimeBudget, err)
		}
		turn = deadline
		if sleep := publisher.Sleep(ctx, pause); sleep != nil {
			return sleep
		}
		if d.down() {
			return fmt.Errorf("%d attempts, and then the destination was taken for down: %w", attempt, err)
		}
	}
}

// down reports whether the circuit is open.
func (d *Destination) down() bool {
	return d.breaker != nil && d.breaker.State() == gobreaker.StateOpen
}

// attempt makes one request, in a slot. The first one of a delivery sets the deadline
// of all of them: to wait for a slot, which parked ones take too, is not part of it.
func (d *Destination) attempt(ctx context.Context, ds []Delivery, deadline *time.Time) error {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	start := time.Now()
	if deadline.IsZero() {
		*deadline = start.Add(d.o.Config.TimeBudget)
	}
	within, cancel := context.WithDeadline(ctx, *deadline)
	defer cancel()
	err := d.o.Sender.Send(within, ds)
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	d.o.Metrics.Request(time.Since(start), err, publisher.IsPermanent(err))
	if after := RetryAfter(err); after > 0 {
		d.pause(after)
	}
	return err
}

// pause lets nothing be called for a time. Of several answers that ask for one, in
// whatever order they come, the one that asks for the longest counts.
func (d *Destination) pause(after time.Duration) {
	until := time.Now().Add(after) // of the clock that nobody sets
	for {
		last := d.paused.Load()
		if last != nil && !until.After(*last) || d.paused.CompareAndSwap(last, &until) {
			return
		}
	}
}

// pauseLeft returns how long nothing may be called yet.
func (d *Destination) pauseLeft() time.Duration {
	until := d.paused.Load()
	if until == nil {
		return 0
	}
	return max(0, time.Until(*until))
}

// What ends a notification's patience without an attempt.
var (
	errOverdue = errors.New("waited longer than maxWait for its turn: the destination takes fewer in a second than there are")
	errPaused  = errors.New("the destination asked not to be called for longer than timeBudget")
)

// await waits until a request may be made: for the end of a pause the destination
// asked for, and for each limit. If that would be after until, it does not wait;
// zero means for ever. A pause is never longer than the time of a delivery.
func (d *Destination) await(ctx context.Context, until time.Time) error {
	late := func(wait time.Duration) bool { return !until.IsZero() && time.Now().Add(wait).After(until) }
	if pause := d.pauseLeft(); pause > 0 {
		if pause > d.o.Config.TimeBudget {
			return errPaused
		}
		if late(pause) {
			return errOverdue
		}
		if err := publisher.Sleep(ctx, pause); err != nil {
			return err
		}
	}
	for _, limit := range d.o.Limits {
		r := limit.Reserve()
		if wait := r.Delay(); late(wait) {
			r.Cancel()
			return errOverdue
		} else if err := publisher.Sleep(ctx, wait); err != nil {
			r.Cancel()
			return err
		}
	}
	if late(0) {
		return errOverdue
	}
	return ctx.Err()
}

// circuit is when a destination is taken for down: when as many deliveries in a
// row have failed, each after all its attempts, so that a destination that is
// restarted has their time.
func (d *Destination) circuit() gobreaker.Settings {
	c := d.o.Config.Circuit
	return gobreaker.Settings{
		Name: d.name, Timeout: c.OpenFor,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= uint32(c.Failures) },
		// What the destination refuses shows that it is there.
		IsSuccessful: func(err error) bool { return err == nil || publisher.IsPermanent(err) },
		// Neither a stop of ours nor its own wish for fewer requests is a failure, and
		// what it was not asked shows nothing.
		IsExcluded: func(err error) bool {
			return errors.Is(err, context.Canceled) || errors.Is(err, errOverdue) || errors.Is(err, errPaused) || RetryAfter(err) > 0 || IsUnsent(err)
		},
		OnStateChange: func(_ string, from, to gobreaker.State) { d.changed(from, to) },
	}
}

func (d *Destination) changed(from, to gobreaker.State) {
	d.o.Metrics.Open(to != gobreaker.StateClosed)
	switch {
	case to == gobreaker.StateOpen:
		d.o.Health.Note(fmt.Sprintf("taken for down, nothing is tried for %v; the last failure: %s", d.o.Config.Circuit.OpenFor, *d.failure.Load()))
		if from == gobreaker.StateClosed {
			d.o.Log.Warn("destination is taken for down", "destination", d.name, "for", d.o.Config.Circuit.OpenFor.String(), "error", *d.failure.Load())
		}
	case to == gobreaker.StateClosed:
		d.o.Health.Note("")
		d.o.Log.Info("destination answers again", "destination", d.name)
	}
}

// errDown stands for the attempts that are not made while the circuit is open.
var errDown = errors.New("destination is taken for down, so it was not tried; the last failure")

// allow asks the circuit for one delivery; done tells it how that went.
func (d *Destination) allow() (done func(error), err error) {
	if d.breaker == nil {
		return func(error) {}, nil
	}
	done, err = d.breaker.Allow()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", errDown, *d.failure.Load())
	}
	return done, nil
}
