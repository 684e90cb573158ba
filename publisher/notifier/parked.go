package notifier

import (
	"context"
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
)

// Run tries parked deliveries again when they are due, until ctx ends. It returns at
// once if nothing is parked.
func (d *Destination) Run(ctx context.Context) {
	if d.o.Store == nil {
		return
	}
	failing := false
	for {
		n, err := d.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			d.o.Log.Warn("parked notifications cannot be looked at, trying again", "destination", d.name, "error", err)
		}
		failing = err != nil
		if n == parkedLimit && !failing {
			continue
		}
		if publisher.Sleep(ctx, parkedPause) != nil {
			return
		}
	}
}

// look tries what is due, unless nothing can be tried.
func (d *Destination) look(ctx context.Context) (int, error) {
	if d.down() {
		return 0, nil
	}
	return d.o.Store.Due(ctx, d.name, parkedLimit, d.Retry)
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
	err = d.attempt(ctx, []Delivery{p.Delivery}, time.Now().Add(d.o.Config.TimeBudget))
	d.judge(done, err)
	if err == nil {
		d.o.Metrics.Ended(p.Rule, metrics.OutcomeRedelivered, 1)
	}
	return err
}
