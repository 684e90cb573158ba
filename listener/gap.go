package listener

import (
	"context"
	"fmt"

	"github.com/walherald/walherald/listener/pgoutput"
)

// history tells what is known of the slot's past.
type history func(context.Context) (past, error)

// past is what is known of a slot: from its memory in the database, or from
// having read it in this process.
type past struct {
	known bool
	// lsn is confirmed by every output, and the server was told nothing beyond it.
	lsn pgoutput.LSN
	// from is a position that the slot had reached for sure; 0 if a crash of the
	// server or a failover since can have taken it back.
	from pgoutput.LSN
	// moved says that the server was promoted since: a copy of the slot can be
	// ahead there of the memory, which came with the log.
	moved bool
	// accepted is the beginning of the gap that the user accepts, or 0.
	accepted pgoutput.LSN
}

// gap is a part of the log that a slot will not give, or will give again.
type gap struct {
	// at names the gap for who accepts it, so that another one is not accepted
	// with it.
	at   pgoutput.LSN
	what string
}

// gap compares a slot with its past. It returns nil if nothing is missing.
func (p past) gap(name string, s slotState, end pgoutput.LSN) *gap {
	switch {
	case s.lost && p.known:
		return &gap{p.lsn, fmt.Sprintf("slot %s was invalidated: the server removed log that it still needed, "+
			"changes between %s and %s are lost to it%s", name, p.lsn, end, size(p.lsn, end))}
	case s.lost:
		return &gap{s.confirmed, fmt.Sprintf("slot %s was invalidated: the server removed log that it still needed, "+
			"changes between %s and %s are lost to it%s", name, s.confirmed, end, size(s.confirmed, end))}
	case !p.known:
		return nil
	case !s.exists:
		return &gap{p.lsn, fmt.Sprintf("slot %s was dropped: changes between %s and %s are lost to it%s",
			name, p.lsn, end, size(p.lsn, end))}
	case s.activePID != "" || p.moved && s.failover:
		return nil // who reads it now has judged it, or the copy of it is ahead of that of its memory
	case s.confirmed > p.lsn:
		return &gap{p.lsn, fmt.Sprintf("slot %s was made anew or advanced by somebody else: changes between %s and %s are lost to it%s",
			name, p.lsn, s.confirmed, size(p.lsn, s.confirmed))}
	case s.confirmed < p.from:
		return &gap{s.confirmed, fmt.Sprintf("slot %s was replaced by one further back: nothing is lost, "+
			"but all changes between %s and %s would be sent again%s", name, s.confirmed, p.lsn, size(s.confirmed, p.lsn))}
	}
	return nil
}

// size says how much log lies between two positions.
func size(from, to pgoutput.LSN) string {
	switch n := to - from; {
	case to <= from:
		return ""
	case n < 10<<10:
		return fmt.Sprintf(" (%d bytes of log)", n)
	case n < 10<<20:
		return fmt.Sprintf(" (%d kB of log)", n>>10)
	default:
		return fmt.Sprintf(" (%d MB of log)", n>>20)
	}
}

func (g *gap) refuse() error {
	return fatalf("%s; to accept that and go on, start walherald with --accept-gap=%s", g.what, g.at)
}

// past returns what is known of the slot before it is read. What this process
// has read itself is known best.
func (l *Listener) past(lk *link) history {
	return func(ctx context.Context) (past, error) {
		p := past{known: true, lsn: l.flush()}
		if !l.streamed {
			var err error
			if p, err = (&memory{lk, l.cfg.Schema, l.cfg.SlotName}).past(ctx, lk, l.cfg.SlotMemory); err != nil {
				return past{}, err
			}
			l.recalled = p.known
		}
		p.accepted = pgoutput.LSN(l.deps.AcceptGap)
		return p, nil
	}
}

// past returns what the memory, if it is kept, says of the slot on the server
// behind lk.
func (m *memory) past(ctx context.Context, lk *link, kept bool) (past, error) {
	if !kept {
		return past{}, nil
	}
	r, err := m.read(ctx)
	switch {
	case memoryRefused(err):
		return past{}, nil
	case err != nil:
		return past{}, err
	case !r.exists, r.note.System != lk.id.system, r.note.Database != lk.id.database:
		// Positions in a copy of another database mean nothing here.
		return past{}, nil
	}
	rows, err := lk.query(ctx, "SELECT pg_catalog.pg_postmaster_start_time(), pg_catalog.pg_is_in_recovery()")
	if err == nil && (len(rows) != 1 || len(rows[0]) != 2) {
		err = errNoAnswer
	}
	if err != nil {
		return past{}, fmt.Errorf("read start time of the server: %w", err)
	}
	started, standby := rows[0][0], rows[0][1] == "t"
	switch {
	case standby:
		return past{}, nil // the memory came from the primary, and is of its slot
	case r.note.Timeline != lk.id.timeline:
		return past{known: true, lsn: r.lsn, moved: true}, nil
	}
	p := past{known: true, lsn: r.lsn}
	if started == r.note.Started { // a server that crashed can have forgotten how far a slot was
		if p.from, err = pgoutput.ParseLSN(r.note.From); err != nil {
			return past{}, fmt.Errorf("read slot memory %s: %w", m.name(), err)
		}
	}
	return p, nil
}

// explainHolder adds to the error of a slot that is in use who uses it. The
// server is asked once for each that does.
func (l *Listener) explainHolder(ctx context.Context, err error) error {
	if !slotInUse(err) {
		return err
	}
	if l.inUse != err.Error() {
		l.inUse, l.holder = err.Error(), holder(ctx, l.sql, l.cfg.SlotName)
		l.log.Warn("another process reads the slot, waiting for it to end", "slot", l.cfg.SlotName, "holder", l.holder, "error", err)
	}
	if l.holder == "" {
		return err // it has just ended, or nobody may know
	}
	return fmt.Errorf("%w (%s)", err, l.holder)
}

// holder says which process of the server streams from the slot, or nothing.
func holder(ctx context.Context, q querier, slot string) string {
	// Without rights on others' sessions all but the process id is NULL.
	rows, err := q.query(ctx, `SELECT s.active_pid, r.application_name, r.client_addr, date_trunc('second', r.backend_start)
		FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_replication r ON r.pid = s.active_pid
		WHERE s.active_pid IS NOT NULL AND s.slot_name = `+quoteLiteral(slot))
	if err != nil || len(rows) == 0 {
		return ""
	}
	pid, name, addr, since := rows[0][0], rows[0][1], rows[0][2], rows[0][3]
	if since == "" {
		return "process " + pid + " of the server"
	}
	if addr == "" {
		addr = "a Unix socket"
	}
	return fmt.Sprintf("process %s of the server: %s from %s, since %s", pid, name, addr, since)
}
