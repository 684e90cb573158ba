package listener

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

const (
	// slotInterval is how often the server is asked what it thinks of the slot.
	slotInterval = 10 * time.Second
	// firstLook is how soon it is asked for the first time.
	firstLook = time.Second
)

// watchSlot shows, until ctx ends, what the server says of the slot: how much log it
// keeps, and whether it still does. That it cannot be asked is no error here: whoever
// looks sees how old the answer is, and what is wrong shows elsewhere.
func (l *Listener) watchSlot(ctx context.Context) {
	for wait := firstLook; publisher.Sleep(ctx, wait) == nil; {
		if l.live.Load() == nil {
			continue // the server, if it is there, may be another one
		}
		wait = min(slotInterval, l.cfg.HeartbeatInterval)
		if err := l.lookAtSlot(ctx); err != nil && ctx.Err() == nil {
			l.log.Debug("state of the slot cannot be read", "error", err)
		}
	}
}

// slotQuery asks for the slot's state. On a standby the log ends where it has been
// replayed to.
const slotQuery = `SELECT wal_status, safe_wal_size, pg_wal_lsn_diff(at, restart_lsn), at
FROM pg_catalog.pg_replication_slots,
	(SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END AS at) AS now
WHERE slot_name = `

func (l *Listener) lookAtSlot(ctx context.Context) error {
	rows, err := l.sql.glance(ctx, slotQuery+quoteLiteral(l.cfg.SlotName))
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return fmt.Errorf("slot %s is gone", l.cfg.SlotName)
	}
	row := rows[0]
	l.met.Slot(metrics.Slot{Status: row[0], Safe: number(row[1]), Retained: number(row[2]), At: time.Now()})
	// Keepalives tell it only when the server has nothing else to send.
	if end, err := pgoutput.ParseLSN(row[3]); err == nil {
		l.met.Server(max(uint64(end), l.met.Positions().Server))
	}
	return nil
}

// number reads a number as the server writes it; NULL is NaN.
func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}
