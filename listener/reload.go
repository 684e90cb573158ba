package listener

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

// reload is a change of what is selected, and of how, that waits for its moment. The
// reader applies it between two transactions, so that each is handled by one
// configuration from begin to end.
type reload struct {
	router *router
	max    int
	// applied gets the result. It takes one without a reader.
	applied chan error
}

// Reload replaces, in the running Listener, what is selected, where it goes and what it
// looks like: the keys of cfg below filter, include, exclude, topics, masks, values and
// the bound of transactions, and all of the routes, one for each output in the order of
// Deps.Outputs. It returns once the next transaction is handled by them, or with an
// error, after which nothing has changed. Other keys of cfg have no effect. It may be
// called by one goroutine at a time, while Run runs.
func (l *Listener) Reload(ctx context.Context, cfg config.Listener, routes []Route) error {
	if len(routes) != len(l.deps.Outputs) {
		return fmt.Errorf("reload: %d routes for %d outputs", len(routes), len(l.deps.Outputs))
	}
	r, err := newRouter(cfg, routes, l.met)
	if err != nil {
		return err
	}
	re := &reload{router: r, max: cfg.MaxTransactionSize, applied: make(chan error, 1)}
	l.reloading.Store(re)
	l.wakeReader()
	select {
	case err := <-re.applied:
		return err
	case <-ctx.Done():
		if l.reloading.CompareAndSwap(re, nil) {
			return fmt.Errorf("reload: a transaction is still open, or the slot is being made: %w", ctx.Err())
		}
		return <-re.applied // which has begun
	}
}

// wakeReader makes the reader look for a reload, whether it streams or waits.
func (l *Listener) wakeReader() {
	if s := l.live.Load(); s != nil {
		s.wake()
	}
	signal(l.awake)
}

// midway reports whether the last event that was queued belongs to a transaction whose
// commit was not: its connection was lost, and the rest of it comes with the next one.
func (l *Listener) midway() bool {
	return l.queuedID != (publisher.ID{}) && l.queuedID.LSN() >= uint64(l.queued())
}

// reloadIdle applies a reload while there is no stream: the next one begins with it.
func (l *Listener) reloadIdle() {
	if l.midway() {
		return
	}
	if re := l.reloading.Swap(nil); re != nil {
		l.router, l.cfg.MaxTransactionSize = re.router, re.max
		re.applied <- nil
	}
}

// reload applies a reload that waits, between two transactions.
func (s *stream) reload() {
	l := s.l
	if s.changes.open || l.reloading.Load() == nil || l.midway() {
		return
	}
	re := l.reloading.Swap(nil)
	if re == nil {
		return // given up meanwhile
	}
	err := s.changes.reroute(re.router, uint64(re.max))
	if err == nil {
		l.router, l.cfg.MaxTransactionSize = re.router, re.max
	}
	re.applied <- err
}

// reroute handles what follows by another router. All tables that are known get a new
// plan; if one cannot, nothing changes.
func (c *changes) reroute(r *router, most uint64) error {
	was, plans := c.router, make(map[uint32]*plan, len(c.relations))
	c.router = r
	for _, id := range slices.Sorted(maps.Keys(c.relations)) {
		p, err := c.planFor(c.relations[id])
		if err != nil {
			c.router = was
			return err
		}
		plans[id] = p
	}
	c.plans, c.plan, c.max = plans, nil, most
	c.messages = make(map[string]*plan)
	c.masker = newMasker(r.cfg.MaskKey)
	return nil
}

// planFor makes the plan of a table.
func (c *changes) planFor(m *pgoutput.Relation) (*plan, error) {
	var d details
	if c.describer != nil {
		var err error
		if d, err = c.describer.describe(c.ctx, m); err != nil {
			return nil, &temporaryError{fmt.Errorf("look up table %s.%s: %w", m.Namespace, m.Name, err)}
		}
	}
	return c.router.plan(m, d)
}

// errStopped is the answer to a reload that nobody is there to apply any more.
var errStopped = errors.New("reload: walherald is stopping")

// refuseReload answers a reload that came too late.
func (l *Listener) refuseReload() {
	if re := l.reloading.Swap(nil); re != nil {
		re.applied <- errStopped
	}
}
