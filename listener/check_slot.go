package listener

import (
	"context"
	"strings"
)

func (p *preflight) checkSlot(ctx context.Context) error {
	if p.slot.exists {
		if err := p.link.judgeSlot(p.cfg.SlotName, p.slot, p.publication, p.published); err != nil {
			// The service's own words; what to do follows the semicolon.
			what, remedy, _ := strings.Cut(err.Error(), "; ")
			p.Fail("listener.slotName", remedy, "%s", what)
			return nil
		}
	}
	var known past
	if !p.plain { // an ordinary connection does not say whose memory it is
		var err error
		if known, err = (&memory{p.link, p.cfg.Schema, p.cfg.SlotName}).past(ctx, p.link, p.cfg.SlotMemory); err != nil {
			return err
		}
	}
	if g := known.gap(p.cfg.SlotName, p.slot, p.link.end); g != nil {
		p.Fail("listener.slotName", "to accept that and go on, start walherald with --accept-gap="+g.at.String(), "%s", g.what)
		return nil
	}
	if !p.slot.exists {
		return p.newSlot(ctx)
	}
	if err := p.checkRetained(ctx); err != nil {
		return err
	}
	// The transaction that made or last altered the publication is older than all
	// the slot looks at if the slot came after it; if not, it may still be.
	r, err := p.row(ctx, `SELECT age(p.xmin) <= age(s.catalog_xmin) FROM pg_catalog.pg_replication_slots s, pg_catalog.pg_publication p
		WHERE s.slot_name = `+quoteLiteral(p.cfg.SlotName)+" AND p.pubname = "+quoteLiteral(p.publication))
	if err != nil {
		return err
	}
	if r[0] == "t" {
		p.Warn("listener.slotName", "nothing, if the slot has been read through it before; otherwise, should walherald end with "+
			"\"publication does not exist\", drop the slot and accept that changes since then are lost: walherald slot drop",
			"publication %q may be younger than slot %s, which could not be read then", p.publication, p.cfg.SlotName)
	}
	if p.slot.activePID != "" {
		p.Warn("listener.slotName", "nothing, if that is the walherald you know of; otherwise stop it, or choose another listener.slotName",
			"slot %s is read by process %s of the server: walherald would wait for it to end", p.cfg.SlotName, p.slot.activePID)
	}
	return nil
}

// muchLog is how many bytes of log a slot can keep before that is worth a word.
const muchLog = "1073741824"

// checkRetained tells how much log the slot keeps.
func (p *preflight) checkRetained(ctx context.Context) error {
	// A standby has no position of its own to write at.
	r, err := p.row(ctx, `SELECT pg_catalog.pg_size_pretty(kept), kept > `+muchLog+`, wal_status FROM (SELECT *, pg_catalog.pg_wal_lsn_diff(
		CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn) AS kept
		FROM pg_catalog.pg_replication_slots) s WHERE slot_name = `+quoteLiteral(p.cfg.SlotName))
	if err != nil {
		return err
	}
	kept, much, status := r[0], r[1] == "t", r[2]
	p.OK("listener.slotName", "slot %s exists, is confirmed up to %s and keeps %s of log", p.cfg.SlotName, p.slot.confirmed, kept)
	const catchUp = "let walherald catch up, and look for transactions that stay open in the database; "
	switch {
	case status == "unreserved":
		p.Warn("listener.slotName", catchUp+"raise max_slot_wal_keep_size at once",
			"slot %s keeps %s of log, more than max_slot_wal_keep_size: the next checkpoint can invalidate it", p.cfg.SlotName, kept)
	case status == "extended":
		p.Warn("listener.slotName", catchUp+"watch the server's disk",
			"slot %s keeps %s of log, more than max_wal_size", p.cfg.SlotName, kept)
	case much:
		p.Warn("listener.slotName", catchUp+"watch the server's disk", "slot %s keeps %s of log", p.cfg.SlotName, kept)
	}
	return nil
}

// newSlot judges whether there is room for the slot.
func (p *preflight) newSlot(ctx context.Context) error {
	r, err := p.row(ctx, `SELECT count(*) < current_setting('max_replication_slots')::int, count(*), current_setting('max_replication_slots'),
		string_agg(slot_name, ', ' ORDER BY slot_name) FILTER (WHERE NOT active) FROM pg_catalog.pg_replication_slots`)
	if err != nil {
		return err
	}
	left, used, limit, idle := r[0] == "t", r[1], r[2], r[3]
	if left {
		p.OK("listener.slotName", "slot %s does not exist and would be created; slots in use: %s of %s", p.cfg.SlotName, used, limit)
		return nil
	}
	remedy := "raise max_replication_slots, which takes a restart of the server"
	if idle != "" {
		remedy += ", or drop a slot that nobody will read again; not read now: " + idle
	}
	p.Fail("listener.slotName", remedy, "slot %s does not exist, and all %s slots of the server are taken", p.cfg.SlotName, limit)
	return nil
}
