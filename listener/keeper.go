package listener

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
)

const (
	// memoryPause is the least time between two writes of the slot memory, and
	// so how far the position told can lag behind what is confirmed.
	memoryPause = 250 * time.Millisecond
	// A position behind which there is no change of ours is worth a write once it
	// is idleStep bytes further on, or after idlePause. Our own writes make the
	// log grow too: an idle database is to be almost idle, and yet to be told its
	// end.
	idleStep  = 32 << 10
	idlePause = 30 * time.Second
	// memoryIdle is how long the connection for SQL is kept without use. One
	// that stayed would keep a server from a smart shutdown.
	memoryIdle = 10 * time.Second
)

// keeper writes the slot memory: it alone decides when, and which position.
// Without a memory every confirmed position may be told at once.
type keeper struct {
	// memory is nil while none is kept.
	memory *memory
	// walsender is the process of the server that reads the slot for us.
	walsender uint32
	// written is the position in the memory.
	written pgoutput.LSN
	// reached is the position that the slot had when this session began.
	reached pgoutput.LSN
	// eventful is the end of the last confirmed commit that had an event.
	eventful pgoutput.LSN
	// events says that there was one since.
	events bool
	// followed says that the last write had no change of ours behind it.
	followed bool
	// used is when the connection for SQL was used last.
	used time.Time
	// failing says that the last write failed; of the keeper alone.
	failing bool
	// moved says that there is a new eventful commit, urged asks for a write
	// whatever is behind it.
	moved, urged chan struct{}
}

// tellable returns the position that the server may be told as flushed.
func (l *Listener) tellable() pgoutput.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.progress.flush()
	if l.keeper.memory != nil {
		f = min(f, l.keeper.written)
	}
	return f
}

// urge asks the keeper to write whatever is confirmed and not written yet.
func (l *Listener) urge() { signal(l.keeper.urged) }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is there already
	}
}

// keep writes the memory while positions move, until ctx ends.
func (l *Listener) keep(ctx context.Context) {
	tick := time.NewTicker(memoryPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.remember(ctx, false)
		case <-l.keeper.moved:
			if l.sinceWrite() >= memoryPause { // or else the clock will do
				l.remember(ctx, false)
			}
		case <-l.keeper.urged:
			l.remember(ctx, true)
		}
	}
}

func (l *Listener) sinceWrite() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.keeper.used)
}

// due returns the memory, the walsender, and the position that is to be written;
// or nil.
func (l *Listener) due(urgent bool) (*memory, uint32, pgoutput.LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, lsn, idle := &l.keeper, l.progress.flush(), time.Since(l.keeper.used)
	eventful := k.eventful > k.written
	switch {
	case k.memory == nil || lsn <= k.written:
	case eventful, urgent, !k.followed, lsn-k.written >= idleStep, idle >= idlePause:
		k.used, k.followed = time.Now(), !eventful
		return k.memory, k.walsender, lsn
	}
	return nil, 0, 0
}

// slotReached returns the position that the slot had when the session began.
func (l *Listener) slotReached() pgoutput.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keeper.reached
}

// remember writes the memory if that is due, and lets the server be told.
func (l *Listener) remember(ctx context.Context, urgent bool) {
	m, walsender, lsn := l.due(urgent)
	if m == nil {
		l.sql.closeIdle(memoryIdle)
		return
	}
	err := m.write(ctx, lsn, walsender)
	if sqlState(err) == "42P01" || sqlState(err) == codeNoSchema { // somebody dropped it
		err = m.open(ctx, l.id, lsn, l.slotReached())
	}
	l.mu.Lock()
	if err == nil {
		l.keeper.written = lsn
	}
	s := l.stream
	l.mu.Unlock()
	if err != nil {
		l.forgetful(ctx, s, lsn, err)
		return
	}
	if l.keeper.failing {
		l.keeper.failing = false
		l.health.Ready()
		l.log.Info("slot memory is written again", "lsn", lsn.String())
	}
	if s != nil {
		s.wake()
	}
}

// errShutdown ends a session whose server waits, to shut down, for a position
// that can no longer be written.
var errShutdown = errors.New("server is shutting down")

// forgetful handles a memory that could not be written.
func (l *Listener) forgetful(ctx context.Context, s *stream, lsn pgoutput.LSN, err error) {
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, errSlotLost) && s == nil:
		// There is no connection now; the next one writes.
	case errors.Is(err, errSlotLost):
		s.fail(err)
	case sqlState(err) == codeCannotConnectNow && s != nil:
		s.fail(errShutdown)
	case !l.keeper.failing:
		l.keeper.failing = true
		l.met.Problem(metrics.ProblemAck)
		l.health.Blocked("slot memory cannot be written: "+err.Error(), lsn.String())
		l.log.Warn("slot memory cannot be written, the position is held until it can", "lsn", lsn.String(), "error", err)
	}
}

// codeCannotConnectNow is the server's code while it starts or shuts down.
const codeCannotConnectNow = "57P03"

// openMemory begins to keep the memory of a slot that is ours now. Where that is
// not allowed walherald goes on without, and says so once.
func (l *Listener) openMemory(ctx context.Context, walsender uint32) error {
	if !l.cfg.SlotMemory {
		return nil
	}
	m, confirmed := &memory{l.sql, l.cfg.Schema, l.cfg.SlotName}, l.flush()
	err := m.open(ctx, l.id, confirmed, l.reached)
	switch {
	case err == nil:
	case memoryRefused(err) && l.recalled:
		// To go on without would leave one behind that the slot gets ahead of.
		return fatalf("slot memory %s is there and cannot be written: %w; let a superuser run: ALTER SEQUENCE %[1]s OWNER TO %[3]s; "+
			"or drop the sequence and set listener.slotMemory to false", m.name(), err, quoteIdent(l.db.User))
	case memoryRefused(err):
		if !l.warned {
			l.warned = true
			l.log.Warn("slot memory cannot be kept, so the loss of the slot could not be told from a first start", "remedy", l.memoryRemedy(err), "error", err)
		}
		return nil
	default:
		return fmt.Errorf("open slot memory %s: %w", m.name(), err)
	}
	l.recalled = true
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keeper.memory, l.keeper.walsender, l.keeper.used = m, walsender, time.Now()
	l.keeper.written, l.keeper.reached = confirmed, l.reached
	return nil
}

// memoryRemedy says how the memory could be kept.
func (l *Listener) memoryRemedy(err error) string {
	if sqlState(err) == codeReadOnly {
		return "nothing on a standby; set listener.slotMemory to false to hear no more of it"
	}
	return "let the owner of the database run: CREATE SCHEMA " + quoteIdent(l.cfg.Schema) + " AUTHORIZATION " + quoteIdent(l.db.User) +
		"; or set listener.slotMemory to false"
}
