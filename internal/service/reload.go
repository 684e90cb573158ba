package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener"
	"github.com/walherald/walherald/metrics"
)

// Reload asks the running service to go on by another configuration: by its filters,
// topics, masks, rules, tags and log level. It does so between two transactions, with
// all of it or with nothing.
type Reload struct {
	Config *config.Config
	// Err is why there is none, which is then counted as refused.
	Err error
	// Done gets the result, nil if the configuration holds now. It must take one.
	Done chan<- error
}

// reloadPatience is how long a reload waits for the end of the open transaction.
const reloadPatience = 30 * time.Second

// reloads answers reloads until ctx ends.
func (s *service) reloads(ctx context.Context, l *listener.Listener) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.opts.Reloads:
			err := r.Err
			if err == nil {
				err = s.reload(ctx, l, r.Config)
			}
			s.met.Reloaded(err == nil)
			r.Done <- err
		}
	}
}

func (s *service) reload(ctx context.Context, l *listener.Listener, next *config.Config) error {
	old := s.current.Load()
	if fixed := config.Fixed(old, next); len(fixed) > 0 {
		return fmt.Errorf("nothing was changed, because these keys cannot be while walherald runs, restart it for them: %s",
			strings.Join(fixed, ", "))
	}
	level, err := metrics.ParseLevel(next.Logger.Level)
	if err != nil {
		return err
	}
	routes, err := s.routes(next)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reloadPatience)
	defer cancel()
	if err := l.Reload(ctx, next.Listener, routes); err != nil {
		return err
	}
	s.current.Store(next)
	s.level.Set(level)
	return nil
}

// routes are the routes of all outputs by another configuration, in the order in which
// the listener has the outputs.
func (s *service) routes(next *config.Config) ([]listener.Route, error) {
	var routes []listener.Route
	for i, out := range next.Outputs() {
		r, err := s.outs[i].route(next, out)
		if err != nil {
			return nil, err
		}
		routes = append(routes, r)
	}
	all := next.Notifications()
	for _, d := range s.destined {
		i := slices.IndexFunc(all, func(n config.Notification) bool { return n.Name == d.name })
		if i < 0 {
			return nil, fmt.Errorf("nothing was changed, because no rule sends to destination %s any more: restart walherald for that", d.name)
		}
		sel, err := s.selection(next, all[i], d.Destination)
		if err != nil {
			return nil, err
		}
		routes = append(routes, notificationRoute(next, all[i], sel))
	}
	return routes, nil
}
