package notifier

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

// park makes tasks durable.
func (d *Destination) park(ctx context.Context, tasks []*task) error {
	now := time.Now()
	ps := make([]Parked, len(tasks))
	for i, t := range tasks {
		ps[i] = Parked{Delivery: t.Delivery, Destination: d.name, Reason: t.reason, ParkedAt: now, Manual: t.unjudged}
	}
	return d.o.Store.Park(ctx, ps)
}

const (
	// parkedPause is how often the parking is looked at.
	parkedPause = 5 * time.Second
	// parkedLimit is how many parked deliveries are tried at one look.
	parkedLimit = 64
	// parkedShares is into how many shares at most they are divided where there are
	// more.
	parkedShares = 8
)

// Run tries parked deliveries again when they are due, until ctx ends. It returns at
// once if nothing is parked.
func (d *Destination) Run(ctx context.Context) {
	if d.o.Store == nil {
		return
	}
	failing := false
	for {
		var err error
		if d.o.Active == nil || d.o.Active() {
			err = d.tryDue(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			d.o.Log.Warn("parked notifications cannot be looked at, trying again", "destination", d.name, "error", err)
		}
		failing = err != nil
		if publisher.Sleep(ctx, parkedPause) != nil {
			return
		}
	}
}

// tryDue tries all that is due: one after the other, and where there is more of it
// side by side, but for those of one key.
func (d *Destination) tryDue(ctx context.Context) error {
	n, err := d.look(ctx, Share{})
	if err != nil || n < parkedLimit {
		return err
	}
	shares := min(d.o.Config.Concurrency, parkedShares)
	errs := make([]error, shares)
	var looking sync.WaitGroup
	for part := range shares {
		looking.Go(func() {
			defer metrics.ReportPanic()
			for n := parkedLimit; n == parkedLimit && errs[part] == nil; {
				n, errs[part] = d.look(ctx, Share{part, shares})
			}
		})
	}
	looking.Wait()
	return errors.Join(errs...)
}

// look tries what is due of a share, unless nothing can be tried.
func (d *Destination) look(ctx context.Context, s Share) (int, error) {
	if d.down() || d.pauseLeft() > d.o.Config.TimeBudget {
		return 0, nil
	}
	return d.o.Store.Due(ctx, d.name, s, parkedLimit, d.Retry)
}

// Retry makes one attempt at a parked delivery.
func (d *Destination) Retry(ctx context.Context, p Parked) error {
	if err := d.await(ctx, time.Time{}); err != nil {
		return NotTried(err)
	}
	done, err := d.allow()
	if err != nil {
		return NotTried(err)
	}
	err = d.attempt(ctx, []Delivery{p.Delivery}, new(time.Time))
	d.judge(done, err)
	if err == nil {
		d.o.Metrics.Ended(p.Rule, metrics.OutcomeRedelivered, 1)
	}
	return err
}
