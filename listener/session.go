package listener

import (
	"context"
	"fmt"
	"time"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
)

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
	defer l.wake() // for what came in the same piece as the end
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
	l.reached = start.reached
	if !l.streamed {
		l.begins(start.at)
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
		defer metrics.ReportPanic()
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
	l.progress = newProgress(len(l.outputs), start)
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
	l.live.Store(s)
	l.progress.abandon()
}
