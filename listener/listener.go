// Package listener reads committed changes from a PostgreSQL logical
// replication slot, hands them to an output in commit order and lets the
// server forget the log only behind what the output has confirmed.
//
// One goroutine owns the replication connection. It reads, decodes, selects
// and encodes changes into a window that is bounded in bytes, and it alone
// writes to the socket: answers to keepalives, and the position, on a timer
// and whenever there is a new one. A second goroutine takes batches out of the
// window and delivers them. What it confirms becomes the position by the rules
// of type progress. When the window is full the reader waits, and still keeps
// the server informed.
//
// What can be lost or repeated, step by step:
//
//   - A change is in the log, not yet read: the slot holds it.
//   - It is in the window when the process dies: the position has not passed
//     its commit, so the server sends the whole transaction again.
//   - It is delivered, and the process dies before the position was told: it is
//     sent and delivered again, with the same id.
//   - The connection is lost while the process lives: the window goes on to be
//     delivered. Reading goes on at the last commit that is in the window; of a
//     transaction that was cut in the middle, what is in the window already is
//     left out.
//   - A stop is asked for: nothing more is read, what is in the window is
//     delivered within a bound, the position is told once more. A transaction
//     that was cut by the stop has no commit in the window: it comes again.
package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

// Deps is what a Listener works with.
type Deps struct {
	Log     *slog.Logger
	Metrics *metrics.Metrics
	Health  *metrics.Health
	// Name is the output's name in logs, metrics and health.
	Name string
	// Deliverer takes the changes. It is expected to try again by itself until
	// an error is permanent: any error ends the listener.
	Deliverer publisher.Deliverer
	// AcceptGap is the position at which a gap begins that the user accepts: what
	// a slot that was lost, made anew or moved does not give. 0 accepts none.
	AcceptGap uint64
}

// Listener is one slot read into one output.
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
	inUse  string // the error of a slot that is in use, and who uses it
	holder string

	reign
}

// reign is what a Listener knows of the log of one timeline. Positions of one
// say nothing on another, so a promoted server begins a new one.
type reign struct {
	output *output
	sql    *sqlConn

	// Of the reader alone:

	id       identity
	writer   string
	queuedID publisher.ID // the last event put into the window
	streamed bool         // there was a stream already
	recalled bool         // there is a slot memory

	mu       sync.Mutex
	progress *progress
	keeper   keeper
	stream   *stream // the open one, to be woken; or nil
}

// New makes a Listener. It is an error if the routing rules cannot be used.
func New(cfg config.Listener, db config.Database, route Route, deps Deps) (*Listener, error) {
	r, err := newRouter(cfg, route, deps.Metrics)
	if err != nil {
		return nil, err
	}
	l := &Listener{
		cfg: cfg, db: db, deps: deps, router: r, log: deps.Log, met: deps.Metrics,
		health: deps.Health.Component("postgres"), alive: deps.Health.Liveness("listener", livenessLimit(cfg)),
	}
	deps.Metrics.WindowLimit(int64(cfg.Window))
	l.begun()
	return l, nil
}

// begun begins a reign.
func (l *Listener) begun() {
	l.reign = reign{
		sql: &sqlConn{db: l.db}, progress: newProgress(1, 0), keeper: keeper{moved: make(chan struct{}, 1), urged: make(chan struct{}, 1)},
	}
	l.output = &output{
		window: newWindow(int(l.cfg.Window)), deliver: l.deps.Deliverer, met: l.met.Output(l.deps.Name),
		published: countPublished(l.met), confirmed: l.confirmed,
	}
}

// livenessLimit is how long the reader may be silent before the process counts
// as stuck: longer than anything it waits for.
func livenessLimit(cfg config.Listener) time.Duration {
	return 3*cfg.HeartbeatInterval + 2*maxBackoff + 2*connectTimeout + cfg.DrainTimeout
}

// errPromoted ends a reign.
var errPromoted = errors.New("server was promoted")

// Run reads until ctx ends, then delivers what it has read within
// listener.drainTimeout and returns nil; or until an error that nothing but a
// human can mend, which it returns. It connects again for ever after every
// other. Run is called once.
func (l *Listener) Run(ctx context.Context) error {
	defer l.alive.Done()
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
	var deliverErr error
	go func() {
		defer close(delivered)
		if deliverErr = l.output.run(outCtx); deliverErr != nil {
			stopReading(deliverErr)
		}
	}()
	stopKeeping := l.startKeeping(ctx)

	s, err := l.read(readCtx)
	drained := l.drain(s, delivered, stopOutput, stopKeeping)
	switch {
	case err != nil:
		return err
	case deliverErr != nil && drained:
		return deliverErr
	case !drained:
		l.log.Warn("stopped before everything read was delivered; it will be read again at the next start",
			"waited", l.cfg.DrainTimeout.String())
	}
	return nil
}

// startKeeping begins to write the slot memory. The function it returns ends
// that with a last write and closes the connection for SQL.
func (l *Listener) startKeeping(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.keep(ctx)
	}()
	return func() {
		cancel()
		<-done
		last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), farewellTimeout)
		defer cancelLast()
		l.remember(last, true)
		l.sql.close()
	}
}

// drain closes the window and gives the output its time to empty it, while the
// stream, if there still is one, keeps the server informed; then it reports the
// final position. It reports whether the output ended by itself.
func (l *Listener) drain(s *stream, delivered <-chan struct{}, stopOutput, stopKeeping func()) bool {
	l.output.window.close()
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
		if publisher.Sleep(ctx, wait) != nil {
			return nil, nil
		}
		l.met.Reconnected()
	}
}

// standbyPause is how soon one that waits for the slot tries again: it is the
// warm standby of the process that holds it.
const standbyPause = time.Second

// report tells why there is no stream.
func (l *Listener) report(err error) {
	l.alive.Beat()
	l.health.Blocked(err.Error(), l.flush().String())
	if slotInUse(err) && l.inUse != "" {
		return // which has been told once
	}
	l.inUse = ""
	l.log.Warn("connection to PostgreSQL lost or not to be had, trying again", "error", err)
}

// session connects and streams once. It calls established when it streams.
func (l *Listener) session(ctx context.Context, established func()) (*stream, error) {
	lk, err := connect(ctx, l.db, l.cfg.SlotName)
	if err != nil {
		return nil, err
	}
	publication, err := l.prepare(ctx, lk)
	if err != nil {
		lk.close()
		return nil, err
	}
	l.advice.Do(func() { l.advise(ctx, lk) })
	from := l.queued()
	s, err := l.startStream(ctx, lk, publication, from)
	if err != nil {
		err = l.explainHolder(ctx, err)
		lk.close()
		return nil, err
	}
	// From here on the slot is ours, and so is its memory.
	if err := l.openMemory(ctx, s.pid); err != nil {
		return s, err
	}
	l.streamed, l.inUse = true, ""
	established()
	l.health.Ready()
	l.log.Info("streaming", "slot", l.cfg.SlotName, "publication", publication, "from", from, "system", lk.id.system,
		"timeline", lk.id.timeline, "database", lk.id.database, "server_version", lk.version)
	l.attach(s)
	defer l.attach(nil)
	defer l.output.window.wake() // for what came in the same piece as the end
	return s, s.run(ctx)
}

// prepare makes sure that the server is the one to read from and has what that
// takes. It returns the publication's name.
func (l *Listener) prepare(ctx context.Context, lk *link) (publication string, err error) {
	if err := l.adopt(lk.id); err != nil {
		return "", err // before anything is made on a server that nobody meant
	}
	stop := l.beat()
	publication, start, err := lk.prepareSlot(ctx, l.cfg, l.past(lk), func(what, name string) { l.log.Info(what, "name", name) })
	stop()
	if err != nil {
		return "", err
	}
	if !l.streamed {
		l.begins(start)
	}
	return publication, nil
}

// beat shows, until stop is called, that the process waits and is not stuck: a
// slot is only made once the transactions that are open have ended.
func (l *Listener) beat() (stop func()) {
	tick := time.NewTicker(l.cfg.HeartbeatInterval)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-tick.C:
				l.alive.Beat()
			case <-done:
				return
			}
		}
	}()
	return func() {
		tick.Stop()
		close(done)
		<-ended
	}
}

// begins takes the position over that the first stream starts at. The server
// reads again from before it, and says so in keepalives: to tell it that as the
// flushed position would take the slot back.
func (l *Listener) begins(start pgoutput.LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress = newProgress(1, start)
}

// adopt takes over the server's identity. The same slot name on another system
// is another log: nothing we know of positions holds there.
func (l *Listener) adopt(id identity) error {
	switch {
	case l.writer == "":
	case id.same(l.id):
		return nil
	case id.system != l.id.system:
		return fatalf("server at %s:%d is another one than before (system identifier %s, was %s): "+
			"restart walherald if that is meant", l.db.Host, l.db.Port, id.system, l.id.system)
	default:
		return fmt.Errorf("%w: timeline %d, was %d", errPromoted, id.timeline, l.id.timeline)
	}
	l.id, l.writer = id, id.writer()
	l.sql.only(id)
	return nil
}

// attach makes s the stream that is woken when a position is confirmed.
func (l *Listener) attach(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream = s
	l.progress.abandon()
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
	l.output.window.mark(end)
	l.met.Received(uint64(end))
	l.met.Transaction()
}

func (l *Listener) serverEnd(end pgoutput.LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress.serverEnd(end)
	l.met.Server(uint64(end))
	l.met.Window(int64(l.output.window.bytes()))
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

// confirmed takes note of a delivered batch and wakes the stream to report it.
func (l *Listener) confirmed(b *batch) {
	l.mu.Lock()
	k := &l.keeper
	k.events = k.events || len(b.msgs) > 0
	if b.commit == 0 {
		l.mu.Unlock()
		return
	}
	l.progress.confirm(0, b.commit)
	if k.events {
		k.eventful, k.events = b.commit, false
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
