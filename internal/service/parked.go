package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

// ParkedOptions say how parked deliveries are reached.
type ParkedOptions struct {
	Log *slog.Logger
	// Wait is for how long nothing must have come from a topic until it counts as
	// read to its end; connecting is part of it. A table needs none.
	Wait time.Duration
}

// ListParked returns the parked deliveries that the filter selects, without
// payloads: a table's in the order of their ids, a topic's in its own. It changes
// nothing.
func ListParked(ctx context.Context, cfg *config.Config, f parking.Filter, o ParkedOptions) ([]parking.Entry, error) {
	var all []parking.Entry
	if cfg.Notifier.Parking.Store != config.StoreTopic {
		err := inTable(cfg, func(t *parking.Table) (err error) {
			all, err = t.List(ctx, f)
			return err
		})
		return all, err
	}
	err := eachInTopic(ctx, cfg, f, o, func(p notifier.Parked) {
		all = append(all, entryOf(p))
	})
	return all, err
}

// ListSomeParked returns at most limit of the parked deliveries of a destination, or of
// all if it is empty, and how many there are. An outage can park millions: they must not
// all come into the memory of the service, which is asked for them meanwhile.
func ListSomeParked(ctx context.Context, cfg *config.Config, destination string, limit int, o ParkedOptions) (some []parking.Entry, total int, err error) {
	f := parking.Filter{Destination: destination}
	if cfg.Notifier.Parking.Store != config.StoreTopic {
		err = inTable(cfg, func(t *parking.Table) (err error) {
			f.Limit = limit
			if some, err = t.List(ctx, f); err != nil {
				return err
			}
			total, err = countParked(ctx, t, destination)
			return err
		})
		return some, max(total, len(some)), err
	}
	err = eachInTopic(ctx, cfg, f, o, func(p notifier.Parked) {
		if total++; total <= limit {
			some = append(some, entryOf(p))
		}
	})
	return some, total, err
}

// entryOf is a delivery without its payload.
func entryOf(p notifier.Parked) parking.Entry {
	e := parking.Entry{Parked: p, Size: len(p.Payload)}
	e.Payload = nil
	return e
}

// countParked counts what the table has for a destination, or for all.
func countParked(ctx context.Context, t *parking.Table, destination string) (n int, err error) {
	stock, err := t.Stock(ctx)
	for name, s := range stock {
		if destination == "" || name == destination {
			n += s.Number
		}
	}
	return n, err
}

// GetParked returns an event's parked deliveries that the filter selects, with
// payloads: one event can be parked for several destinations.
func GetParked(ctx context.Context, cfg *config.Config, id publisher.ID, f parking.Filter, o ParkedOptions) ([]notifier.Parked, error) {
	var all []notifier.Parked
	if cfg.Notifier.Parking.Store != config.StoreTopic {
		err := inTable(cfg, func(t *parking.Table) (err error) {
			all, err = t.Get(ctx, id, f)
			return err
		})
		return all, err
	}
	f.IDs = []publisher.ID{id}
	err := eachInTopic(ctx, cfg, f, o, func(p notifier.Parked) { all = append(all, p) })
	return all, err
}

// DropParked gives up the deliveries that the filter selects and returns how many
// there were. A topic keeps what it keeps, which is an error.
func DropParked(ctx context.Context, cfg *config.Config, f parking.Filter) (n int, err error) {
	if p := cfg.Notifier.Parking; p.Store == config.StoreTopic {
		return 0, fmt.Errorf("drop parked deliveries: topic %s of publisher %s keeps them as long as it keeps its messages: "+
			"remove them there, by its retention or by hand", p.Topic, p.Publisher)
	}
	err = inTable(cfg, func(t *parking.Table) (err error) {
		n, err = t.Drop(ctx, f)
		return err
	})
	return n, err
}

// inTable runs do with the table of parked deliveries.
func inTable(cfg *config.Config, do func(t *parking.Table) error) error {
	t, err := openTable(cfg)
	if err != nil {
		return err
	}
	defer t.Close()
	return do(t)
}

// RetryParked makes one attempt at every delivery that the filter selects, due or
// not, within the rates of the destinations. told is told of each: nil means that
// it was delivered, which removes it from a table.
func RetryParked(ctx context.Context, cfg *config.Config, f parking.Filter, o ParkedOptions, told func(p notifier.Parked, err error)) (err error) {
	r := &retrier{cfg: cfg, told: told, targets: make(map[string]target)}
	defer func() { err = errors.Join(err, r.close()) }()
	limits := newLimits()
	for _, n := range cfg.Notifications() {
		sender, err := newSender(cfg, n)
		if err != nil {
			return err
		}
		r.targets[n.Name] = target{sender, limits.of(&n.Destination)}
	}
	return r.retry(ctx, f, o)
}

// target is a destination to which attempts are made by hand.
type target struct {
	notifier.Sender
	limits []*rate.Limiter
}

// retrier makes attempts by hand.
type retrier struct {
	cfg     *config.Config
	targets map[string]target
	told    func(p notifier.Parked, err error)
}

func (r *retrier) close() error {
	var errs []error
	for _, t := range r.targets {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// send makes one attempt.
func (r *retrier) send(ctx context.Context, p notifier.Parked) error {
	t, ok := r.targets[p.Destination]
	if !ok {
		return r.noSuch(p.Destination)
	}
	for _, limit := range t.limits {
		if err := limit.Wait(ctx); err != nil {
			return err
		}
	}
	return t.Send(ctx, []notifier.Delivery{p.Delivery})
}

// noSuch is the error for a destination that rules no longer name.
func (r *retrier) noSuch(destination string) error {
	names := "none"
	if len(r.targets) > 0 {
		names = strings.Join(slices.Sorted(maps.Keys(r.targets)), ", ")
	}
	return fmt.Errorf("no destination is called %q: those that rules send to are %s", destination, names)
}

// retry makes one attempt at every delivery that the filter selects.
func (r *retrier) retry(ctx context.Context, f parking.Filter, o ParkedOptions) error {
	if _, known := r.targets[f.Destination]; f.Destination != "" && !known {
		return r.noSuch(f.Destination)
	}
	if r.cfg.Notifier.Parking.Store != config.StoreTopic {
		return inTable(r.cfg, func(t *parking.Table) error { return r.retryTable(ctx, t, f) })
	}
	var all []notifier.Parked
	if err := eachInTopic(ctx, r.cfg, f, o, func(p notifier.Parked) { all = append(all, p) }); err != nil {
		return err
	}
	for _, p := range all {
		err := r.send(ctx, p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.told(p, err)
	}
	return nil
}

// retryTable leaves alone what is parked for a destination that is no longer there:
// nothing is learnt of it.
func (r *retrier) retryTable(ctx context.Context, t *parking.Table, f parking.Filter) error {
	stock, err := t.Stock(ctx)
	if err != nil {
		return err
	}
	one := f
	for _, one.Destination = range slices.Sorted(maps.Keys(stock)) {
		_, known := r.targets[one.Destination]
		switch {
		case f.Destination != "" && f.Destination != one.Destination:
			continue
		case !known:
			err = r.tellGone(ctx, t, one)
		default:
			_, err = t.Retry(ctx, one, func(ctx context.Context, p notifier.Parked) error {
				err := r.send(ctx, p)
				if ctx.Err() == nil || err == nil {
					r.told(p, err)
				}
				return err
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tellGone tells of what cannot be tried.
func (r *retrier) tellGone(ctx context.Context, t *parking.Table, f parking.Filter) error {
	gone, err := t.List(ctx, f)
	for _, e := range gone {
		r.told(e.Parked, r.noSuch(e.Destination))
	}
	return err
}

// eachInTopic hands over every delivery of the topic that the filter selects, each
// once, in the topic's order.
func eachInTopic(ctx context.Context, cfg *config.Config, f parking.Filter, o ParkedOptions, take func(notifier.Parked)) error {
	type key struct {
		destination string
		id          publisher.ID
	}
	seen := make(map[key]bool)
	now := time.Now()
	full := errors.New("limit reached")
	err := readTopic(ctx, cfg, o, func(p notifier.Parked) error {
		k := key{p.Destination, p.ID}
		if seen[k] || !f.Selects(&p, now) {
			return nil
		}
		seen[k] = true
		take(p)
		if f.Limit > 0 && len(seen) == f.Limit {
			return full
		}
		return nil
	})
	if errors.Is(err, full) {
		return nil
	}
	return err
}

// readTopic hands over every record of the topic, from the oldest on, until nothing
// more comes.
func readTopic(ctx context.Context, cfg *config.Config, o ParkedOptions, take func(notifier.Parked) error) error {
	out, topic, err := parkingTopic(cfg)
	if err != nil {
		return err
	}
	idle, stop := context.WithCancel(ctx)
	defer stop()
	timer := time.AfterFunc(o.Wait, stop)
	defer timer.Stop()
	err = tailTopics(idle, out, topic, []string{topic}, TailOptions{From: publisher.StartOldest, Log: o.Log}, func(r publisher.Received) error {
		timer.Reset(o.Wait)
		body, err := format.Decompress(r.Encoding, r.Body)
		if err != nil {
			return fmt.Errorf("read parked delivery from %s: %w", r.Topic, err)
		}
		p, err := parking.ParseRecord(body)
		if err != nil {
			return nil // a topic that is shared holds other messages, too
		}
		return take(p)
	})
	if err == nil {
		err = ctx.Err()
	}
	return err
}
