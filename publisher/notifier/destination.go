package notifier

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
	"github.com/walherald/walherald/publisher/notifier/rules"
)

// Options say how a Destination delivers.
type Options struct {
	// Config is the destination and its rules. Of its keys only those about order,
	// limits and failure count here; the rest is the Sender's.
	Config config.Notification
	// Sender makes the requests.
	Sender Sender
	// Store keeps what cannot be delivered; nil unless that is to be parked.
	Store Store
	// Limits bound the requests in a second, those of other destinations included
	// that share a limit.
	Limits []*rate.Limiter
	// Active, if set, says whether parked deliveries are tried: a process that stands by
	// leaves them to the one that works, whose limits they count in.
	Active func() bool
	// Failed, if set, is told why a delivery was given up in line; from several
	// goroutines.
	Failed  func(reason string)
	Metrics *metrics.Destination
	Health  *metrics.Component
	Log     *slog.Logger
}

// Destination delivers notifications to one destination. It implements
// [publisher.Deliverer]: Deliver returns nil once each notification of the batch
// is accepted, durably parked, or dropped as configured.
type Destination struct {
	o       Options
	name    string
	rules   ruleNames
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}] // nil if it never opens
	slots   chan struct{}                              // one for each request under way
	// paused is until when the destination asked not to be called, nil if it never did.
	paused  atomic.Pointer[time.Time]
	failure atomic.Pointer[string] // the last one

	// Of the caller of Deliver alone:

	round  *round    // the one that failed last, to be gone on with
	gather time.Time // when the last round that could coalesce began
}

// New makes a Destination.
func New(o Options) *Destination {
	d := &Destination{o: o, name: o.Config.Name, slots: make(chan struct{}, o.Config.Concurrency)}
	d.failure.Store(new(string))
	d.rules.number(ruleNamesOf(o.Config.Rules))
	if o.Config.Circuit.Failures > 0 {
		d.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](d.circuit())
	}
	o.Metrics.Open(false)
	return d
}

// Selector makes a Selector of rules that lead to the destination: set is made of
// those, in their order. Later ones can take the place of earlier ones while the
// destination delivers.
func (d *Destination) Selector(of []config.NamedRule, set *rules.Set, envelope format.Envelope) *Selector {
	s := &Selector{rules: set, envelope: envelope}
	names := ruleNamesOf(of)
	s.numbers = d.rules.number(names)
	for _, name := range names {
		s.matched = append(s.matched, d.o.Metrics.MatchedCounter(name))
	}
	return s
}

func ruleNamesOf(rs []config.NamedRule) []string {
	var names []string
	for _, r := range rs {
		names = append(names, r.Name)
	}
	return names
}

// Deliver implements [publisher.Deliverer].
func (d *Destination) Deliver(ctx context.Context, batch []publisher.Message) error {
	if len(batch) == 0 {
		return ctx.Err()
	}
	r, err := d.begin(batch)
	if err != nil {
		return err
	}
	if err := d.coalesce(ctx, r); err != nil {
		return err
	}
	err = d.run(ctx, r)
	if err := cmp.Or(err, d.settle(ctx, r)); err != nil {
		d.round = r
		return err
	}
	d.round = nil
	return nil
}

// Close implements [publisher.Deliverer].
func (d *Destination) Close() error { return d.o.Sender.Close() }
