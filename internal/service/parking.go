package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

// anyParks reports whether a destination parks what it cannot deliver.
func anyParks(all []config.Notification) bool {
	return slices.ContainsFunc(all, func(n config.Notification) bool { return n.OnFailure == config.OnFailurePark })
}

// store opens where deliveries are parked; nil if no destination parks any.
func (s *service) store(ctx context.Context, all []config.Notification) (notifier.Store, error) {
	if !anyParks(all) {
		return nil, nil
	}
	if s.cfg.Notifier.Parking.Store == config.StoreTopic {
		return s.topicStore(ctx)
	}
	table, err := openTable(s.cfg)
	if err != nil {
		return nil, err
	}
	s.open = append(s.open, &output{deliverer: publisher.Discard{}, stop: table.Close})
	s.beside = append(s.beside, func(ctx context.Context) { s.lookAfter(ctx, table, all) })
	return table, nil
}

// openTable opens the table of parked deliveries.
func openTable(cfg *config.Config) (*parking.Table, error) {
	table, err := parking.NewTable(cfg.Database, cfg.Listener.Schema, cfg.Notifier.Parking)
	if err != nil {
		return nil, fmt.Errorf("notifier.parking: %w", err)
	}
	return table, nil
}

// topicStore opens a connection of its own to the publisher that keeps what is
// parked: the other one has its own batches and order.
func (s *service) topicStore(ctx context.Context) (notifier.Store, error) {
	out, topic, err := parkingTopic(s.cfg)
	if err != nil {
		return nil, err
	}
	_, content, err := format.New(format.Options{})
	if err != nil {
		return nil, err
	}
	o, err := newOutput(ctx, out, content, s.outputHooks(parkingName))
	if err != nil {
		return nil, fmt.Errorf("notifier.parking: %w", err)
	}
	s.open = append(s.open, o)
	return parking.NewTopic(o.deliverer, topic), nil
}

// parkingName is what the broker of the parking is called in logs and metrics: no
// output can have a name with a dot.
const parkingName = "notifier.parking"

// stockInterval is how often what is parked is counted, and what is too old given
// up.
const stockInterval = 15 * time.Second

// lookAfter makes the table, so that a right that is missing shows before the first
// failure, shows what is parked and gives up what is too old, until ctx ends.
func (s *service) lookAfter(ctx context.Context, table *parking.Table, all []config.Notification) {
	if err := table.Prepare(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("notifications cannot be parked: one that fails will hold the position until they can", "error", err)
	}
	failing := false
	for {
		err := s.takeStock(ctx, table, all)
		if err != nil && !failing && ctx.Err() == nil {
			s.log.Warn("parked notifications cannot be counted, trying again", "error", err)
		}
		failing = err != nil
		select {
		case <-time.After(stockInterval):
		case <-s.recount:
		case <-ctx.Done():
			return
		}
	}
}

// countAgain has what is parked counted at once: whoever has just retried or dropped
// some looks at what is left.
func (s *service) countAgain() {
	select {
	case s.recount <- struct{}{}:
	default: // it is about to be
	}
}

func (s *service) takeStock(ctx context.Context, table *parking.Table, all []config.Notification) error {
	maxAge := s.cfg.Notifier.Parking.MaxAge
	gone, err := table.Expire(ctx, maxAge)
	if err != nil {
		return err
	}
	for name, n := range gone {
		s.log.Error("parked notifications are given up: they are older than notifier.parking.maxAge",
			"destination", name, "notifications", n, "max_age", maxAge.String())
		s.met.Destination(name).Ended("", metrics.OutcomeExpired, n)
	}
	stock, err := table.Stock(ctx)
	if err != nil {
		return err
	}
	for _, n := range all {
		held := stock[n.Name]
		age := time.Duration(0)
		if held.Number > 0 {
			age = time.Since(held.Oldest)
		}
		s.met.Destination(n.Name).Parked(held.Number, age)
	}
	return nil
}
