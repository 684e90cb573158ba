package listener

import (
	"context"
	"fmt"
	"strconv"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
)

// SlotInfo is the state of the configured slot and of its memory. Positions are
// LSNs; sizes are bytes of log.
type SlotInfo struct {
	Name   string
	Exists bool
	// Plugin, Database and WALStatus are as pg_replication_slots has them.
	Plugin, Database, WALStatus string
	// Holder says which process of the server streams from the slot, and since
	// when; empty if none does.
	Holder string
	// Confirmed is how far the slot was read, Restart where the log begins that
	// it keeps, End where the server's log ends.
	Confirmed, Restart, End uint64
	// Behind is the log between Confirmed and End, Retained that between Restart
	// and End.
	Behind, Retained uint64
	// Left is how much more log may come before the server invalidates the slot;
	// negative if it never does.
	Left int64
	// Failover says that standbys keep a copy of the slot (PostgreSQL 17).
	Failover bool
	// Remembered is the position in the slot memory; 0 if there is none.
	Remembered uint64
	// Refusal says why a start would refuse the slot; empty if it would not.
	Refusal string
}

// SlotStatus returns the state of the configured slot. It changes nothing.
func SlotStatus(ctx context.Context, cfg config.Listener, db config.Database) (SlotInfo, error) {
	lk, err := connect(ctx, db, cfg.SlotName)
	if err != nil {
		return SlotInfo{}, err
	}
	defer lk.close()
	return lk.slotInfo(ctx, cfg)
}

func (l *link) slotInfo(ctx context.Context, cfg config.Listener) (SlotInfo, error) {
	s, err := l.readSlot(ctx, cfg.SlotName)
	if err != nil {
		return SlotInfo{}, err
	}
	info := SlotInfo{
		Name: cfg.SlotName, Exists: s.exists, Plugin: s.plugin, Database: s.database, Failover: s.failover,
		Confirmed: uint64(s.confirmed), End: uint64(l.end), Left: -1,
	}
	if s.exists {
		if err := l.slotLog(ctx, &info); err != nil {
			return info, err
		}
	}
	if s.activePID != "" {
		info.Holder = holder(ctx, l, cfg.SlotName)
	}
	m := &memory{l, cfg.Schema, cfg.SlotName}
	known, err := m.past(ctx, l, cfg.SlotMemory)
	if err != nil {
		return info, err
	}
	info.Remembered = uint64(known.lsn)
	if err := l.judgeSlot(cfg.SlotName, s, "", true); err != nil {
		info.Refusal = err.Error()
	} else if g := known.gap(cfg.SlotName, s, l.end); g != nil {
		info.Refusal = g.refuse().Error()
	}
	return info, nil
}

// slotLog reads what log the slot keeps.
func (l *link) slotLog(ctx context.Context, info *SlotInfo) error {
	rows, err := l.query(ctx, `SELECT wal_status, coalesce(restart_lsn, '0/0'), coalesce(safe_wal_size, -1)
		FROM pg_catalog.pg_replication_slots WHERE slot_name = `+quoteLiteral(info.Name))
	if err != nil {
		return fmt.Errorf("read slot %s: %w", info.Name, err)
	}
	if len(rows) == 0 {
		return fmt.Errorf("read slot %s: it was dropped meanwhile", info.Name)
	}
	restart, err := pgoutput.ParseLSN(rows[0][1])
	if err != nil {
		return fmt.Errorf("read slot %s: %w", info.Name, err)
	}
	info.WALStatus, info.Restart = rows[0][0], uint64(restart)
	if info.Left, err = strconv.ParseInt(rows[0][2], 10, 64); err != nil {
		return fmt.Errorf("read slot %s: %w", info.Name, err)
	}
	if info.Confirmed < info.End {
		info.Behind = info.End - info.Confirmed
	}
	if info.Restart != 0 && info.Restart < info.End {
		info.Retained = info.End - info.Restart
	}
	return nil
}

// DropSlot drops the configured slot and what is remembered of it: the next
// start begins with a new slot at the end of the log, and what the old one had
// not given is lost. It refuses while a process streams from the slot. It
// returns the state from before.
func DropSlot(ctx context.Context, cfg config.Listener, db config.Database) (SlotInfo, error) {
	return administer(ctx, cfg, db, func(lk *link, info SlotInfo) error {
		if info.Exists {
			if err := lk.dropSlot(ctx, cfg.SlotName); err != nil {
				return err
			}
		}
		if info.Remembered == 0 {
			return nil
		}
		return (&memory{lk, cfg.Schema, cfg.SlotName}).forget(ctx)
	})
}

// AdvanceSlot moves the configured slot forward to the position, or to the end
// of the log if that is 0: changes before it are never sent. It refuses to move
// it back, and while a process streams from it. It returns the state from before
// and the position reached.
func AdvanceSlot(ctx context.Context, cfg config.Listener, db config.Database, to uint64) (before SlotInfo, reached uint64, err error) {
	before, err = administer(ctx, cfg, db, func(lk *link, info SlotInfo) error {
		if to == 0 {
			to = info.End
		}
		switch {
		case !info.Exists:
			return fmt.Errorf("advance slot %s: it does not exist", cfg.SlotName)
		case to <= max(info.Confirmed, info.Remembered):
			return fmt.Errorf("advance slot %s: it is at %s already and cannot be taken back to %s",
				cfg.SlotName, FormatLSN(max(info.Confirmed, info.Remembered)), FormatLSN(to))
		case to > info.End:
			return fmt.Errorf("advance slot %s: %s is beyond the end of the log at %s", cfg.SlotName, FormatLSN(to), FormatLSN(info.End))
		}
		at, err := lk.value(ctx, "SELECT end_lsn FROM pg_catalog.pg_replication_slot_advance("+
			quoteLiteral(cfg.SlotName)+", "+quoteLiteral(FormatLSN(to))+")")
		if err != nil {
			return fmt.Errorf("advance slot %s: %w", cfg.SlotName, err)
		}
		if reached, err = ParseLSN(at); err != nil {
			return fmt.Errorf("advance slot %s: %w", cfg.SlotName, err)
		}
		if info.Remembered == 0 {
			return nil
		}
		return (&memory{lk, cfg.Schema, cfg.SlotName}).move(ctx, pgoutput.LSN(reached))
	})
	return before, reached, err
}

// administer runs change on a slot that nobody reads.
func administer(ctx context.Context, cfg config.Listener, db config.Database, change func(*link, SlotInfo) error) (SlotInfo, error) {
	lk, err := connect(ctx, db, cfg.SlotName)
	if err != nil {
		return SlotInfo{}, err
	}
	defer lk.close()
	info, err := lk.slotInfo(ctx, cfg)
	if err != nil {
		return info, err
	}
	if info.Holder != "" {
		return info, fmt.Errorf("slot %s is read by %s; stop that first", cfg.SlotName, info.Holder)
	}
	return info, change(lk, info)
}
