// Package listener reads committed changes from a PostgreSQL logical
// replication slot, hands them to one or more outputs in commit order and lets
// the server forget the log only behind what every output has confirmed.
//
// One goroutine owns the replication connection. It reads, decodes, selects
// and encodes changes, for each output into a window of its own that is bounded
// in bytes, and it alone writes to the socket: answers to keepalives, and the
// position, on a timer and whenever there is a new one. For each output another
// goroutine takes batches out of the window and delivers them. The lowest of what
// they confirm becomes the position by the rules of type progress. One more writes
// the position into the slot memory, before the server is told it (type memory).
// When a window that the next change belongs into is full the reader waits, and
// still keeps the server informed; the other outputs deliver what they have.
//
// What can be lost or repeated, step by step:
//
//   - A change is in the log, not yet read: the slot holds it.
//   - It is in the window when the process dies: the position has not passed
//     its commit, so the server sends the whole transaction again.
//   - It is delivered, and the process dies before the position was remembered:
//     it is sent and delivered again, with the same id. That is a quarter of a
//     second at the most, or until the server is told where there is no memory.
//   - The slot is dropped, made anew, moved or invalidated: what it no longer holds
//     is lost. The next session finds out by the memory and refuses (type gap).
//   - The server is promoted: what is in the window is delivered, then reading goes
//     on where the slot is on the new timeline (type reign).
//   - The connection is lost while the process lives: the window goes on to be
//     delivered. Reading goes on at the last commit that is in the window; of a
//     transaction that was cut in the middle, what is in the window already is
//     left out.
//   - A stop is asked for: nothing more is read, what is in the window is
//     delivered within a bound, the position is told once more. A transaction
//     that was cut by the stop has no commit in the window: it comes again.
package listener

import (
	"cmp"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

// SourceName is what the source is called in health, beside the outputs by theirs.
const SourceName = "postgres"

// Deps is what a Listener works with.
type Deps struct {
	Log     *slog.Logger
	Metrics *metrics.Metrics
	Health  *metrics.Health
	// Recent, if set, is shown a sample of the events.
	Recent *metrics.Recent
	// Outputs are where changes go: at least one.
	Outputs []Output
	// AcceptGap is the position at which a gap begins that the user accepts: what
	// a slot that was lost, made anew or moved does not give. 0 accepts none.
	AcceptGap uint64
}

func (d *Deps) routes() []Route {
	routes := make([]Route, len(d.Outputs))
	for i := range d.Outputs {
		routes[i] = d.Outputs[i].Route
	}
	return routes
}

// Output is one destination and what goes there.
type Output struct {
	// Name is the output's name in logs, metrics and health.
	Name  string
	Route Route
	// Deliverer takes the changes. It is expected to try again by itself until
	// an error is permanent: any error ends the listener.
	Deliverer publisher.Deliverer
	// Window is the output's own window, in bytes, beside listener.window; 0 means
	// an equal share of that.
	Window int
	// MaxBatch bounds the messages of a batch; 0 means what is good for brokers. Where
	// delivering takes long for each message, a smaller one lets the position follow
	// more closely.
	MaxBatch int
}

// shared counts the outputs that share listener.window, at least 1.
func (d *Deps) shared() int {
	n := 0
	for i := range d.Outputs {
		if d.Outputs[i].Window == 0 {
			n++
		}
	}
	return max(n, 1)
}

// windows returns how much all windows may hold.
func (d *Deps) windows(cfg config.Listener) int {
	total := int(cfg.Window)
	for i := range d.Outputs {
		total += d.Outputs[i].Window
	}
	return total
}

// Listener is one slot read into its outputs.
type Listener struct {
	cfg    config.Listener
	db     config.Database
	deps   Deps
	router *router
	log    *slog.Logger
	met    *metrics.Metrics
	health *metrics.Component
	alive  *metrics.Heartbeat

	warned bool // that there is no slot memory
	advice sync.Once
	// shown are the outputs whose windows are shown to whoever looks.
	shown atomic.Pointer[[]*output]
	// live is the open stream, for whoever changes something from outside; or nil.
	live atomic.Pointer[stream]
	// reloading is a change that waits for the reader; awake wakes it where it waits
	// for the server.
	reloading atomic.Pointer[reload]
	awake     chan struct{}

	inUse  string // the error of a slot that is in use, and who uses it
	holder string

	reign
}

// reign is what a Listener knows of the log of one timeline. Positions of one
// say nothing on another, so a promoted server begins a new one.
type reign struct {
	outputs []*output
	sql     *sqlConn

	// Of the reader alone:

	id       identity
	writer   string
	queuedID publisher.ID // the last event put into the window
	streamed bool         // there was a stream already
	recalled bool         // there is a slot memory
	reached  pgoutput.LSN // what the slot had reached when it was read last
	// undescribed is where a change of a table came that was not described.
	undescribed pgoutput.LSN

	mu       sync.Mutex
	progress *progress
	keeper   keeper
	stream   *stream // the open one, to be woken; or nil
}

// New makes a Listener. It is an error if the routing rules cannot be used.
func New(cfg config.Listener, db config.Database, deps Deps) (*Listener, error) {
	r, err := newRouter(cfg, deps.routes(), deps.Metrics)
	if err != nil {
		return nil, err
	}
	l := &Listener{
		cfg: cfg, db: db, deps: deps, router: r, log: deps.Log, met: deps.Metrics,
		health: deps.Health.Component(SourceName), alive: deps.Health.Liveness("listener", livenessLimit(cfg)),
		awake: make(chan struct{}, 1),
	}
	deps.Metrics.WindowLimit(int64(deps.windows(cfg)))
	l.begun()
	deps.Metrics.OnGather(l.show)
	return l, nil
}

// begun begins a reign.
func (l *Listener) begun() {
	l.reign = reign{
		sql: &sqlConn{db: l.db}, progress: newProgress(len(l.deps.Outputs), 0), keeper: keeper{moved: make(chan struct{}, 1), urged: make(chan struct{}, 1)},
	}
	share := int(l.cfg.Window) / l.deps.shared()
	for i, out := range l.deps.Outputs {
		o := &output{
			name: out.Name, window: newWindow(cmp.Or(out.Window, share)), deliver: out.Deliverer, met: l.met.Output(out.Name),
			health: l.deps.Health.Component(out.Name), log: l.log, published: countPublished(l.met), confirmed: func(b *batch) { l.confirmed(i, b) },
		}
		o.recent = l.deps.Recent
		o.window.most = cmp.Or(out.MaxBatch, maxBatch)
		if out.Route.Select != nil {
			o.published = func(string, string, int) {} // what is not sent to a topic counts elsewhere
		}
		l.outputs = append(l.outputs, o)
	}
	outputs := l.outputs
	l.shown.Store(&outputs)
	l.met.Server(0) // another timeline's end is further on or not, that says nothing
}

// show shows what the windows hold.
func (l *Listener) show() {
	total := 0
	for _, o := range *l.shown.Load() {
		w := o.window.waiting()
		o.met.Waiting(w)
		total += w.Bytes
	}
	l.met.Window(int64(total))
}

// wake wakes every output that has something to take.
func (r *reign) wake() {
	for _, o := range r.outputs {
		o.window.wake()
	}
}

// livenessLimit is how long the reader may be silent before the process counts
// as stuck: longer than anything it waits for.
func livenessLimit(cfg config.Listener) time.Duration {
	return 3*cfg.HeartbeatInterval + 2*maxBackoff + 2*connectTimeout + cfg.DrainTimeout
}

// The methods below keep progress behind its lock.

func (l *Listener) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress.begin()
}

func (l *Listener) commit(end pgoutput.LSN) {
	l.mu.Lock()
	l.progress.commit(end)
	l.mu.Unlock()
	for _, o := range l.outputs {
		o.window.mark(end)
	}
	l.met.Received(uint64(end))
}

func (l *Listener) serverEnd(end pgoutput.LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress.serverEnd(end)
	l.met.Server(uint64(end))
	l.met.Confirmed(uint64(l.progress.flush()))
}

func (l *Listener) queued() pgoutput.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.progress.queued
}

func (l *Listener) flush() pgoutput.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.progress.flush()
}

// confirmed takes note of a batch that output i has delivered and wakes the
// stream to report it.
func (l *Listener) confirmed(i int, b *batch) {
	l.mu.Lock()
	k := &l.keeper
	k.events = k.events || len(b.msgs) > 0
	if b.commit == 0 {
		l.mu.Unlock()
		return
	}
	l.progress.confirm(i, b.commit)
	l.outputs[i].met.Confirmed(uint64(b.commit))
	l.met.Confirmed(uint64(l.progress.flush()))
	if k.events {
		k.eventful, k.events = max(k.eventful, b.commit), false
	}
	s, kept := l.stream, k.memory != nil
	l.mu.Unlock()
	switch {
	case kept:
		signal(l.keeper.moved) // which wakes the stream once it is written down
	case s != nil:
		s.wake()
	}
}

func (l *Listener) transactionTooLarge(xid uint32) {
	l.log.Error("transaction is larger than listener.maxTransactionSize, its further changes are dropped",
		"xid", xid, "limit", l.cfg.MaxTransactionSize)
	l.met.Problem(metrics.ProblemTransactionSize)
}

// ParseLSN reads an LSN in the form the server writes it, such as 16/B374D848.
func ParseLSN(text string) (uint64, error) {
	lsn, err := pgoutput.ParseLSN(text)
	return uint64(lsn), err
}

// FormatLSN returns an LSN in the form the server writes it, such as
// 16/B374D848.
func FormatLSN(lsn uint64) string { return pgoutput.LSN(lsn).String() }
