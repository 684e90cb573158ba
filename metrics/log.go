package metrics

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Positions are places in the log, in bytes; 0 until known.
type Positions struct {
	// Server is the end of the server's log, as last told.
	Server uint64
	// Received is the end of the last commit that was read.
	Received uint64
	// Confirmed is the lowest position that all outputs have confirmed.
	Confirmed uint64
	// Flushed is what the server was told: it may forget the log up to there.
	Flushed uint64
}

// Lag is the log between what the server was told and its end; 0 before both are
// known. A server that restarted can be behind what it was told.
func (p Positions) Lag() uint64 {
	if p.Flushed == 0 || p.Server < p.Flushed {
		return 0
	}
	return p.Server - p.Flushed
}

// logGauges show where walherald stands in the log.
type logGauges struct {
	server, received, confirmed, flushed position
	lagBytes, lagSeconds                 prometheus.Gauge
	sourceReady, standby                 prometheus.Gauge
	unread                               *unread
}

// position is a place in the log and the gauge that shows it. The gauge, a float,
// would not do alone: it is exact up to 2^53 only.
type position struct {
	at    *atomic.Uint64
	gauge prometheus.Gauge
}

func (p position) set(lsn uint64) {
	p.at.Store(lsn)
	p.gauge.Set(float64(lsn))
}

func newLogGauges(f factory) logGauges {
	at := func(name, help string) position { return position{new(atomic.Uint64), f.gauge(name, help)} }
	return logGauges{
		server:      at("server_lsn_bytes", "End of the server's log as last told, as a position in bytes."),
		received:    at("received_lsn_bytes", "End of the last commit read from the log, as a position in bytes."),
		confirmed:   at("confirmed_lsn_bytes", "Lowest position that all outputs have confirmed, in bytes."),
		flushed:     at("flushed_lsn_bytes", "Position that the server was told: it may forget its log up to there, in bytes."),
		lagBytes:    f.gauge("lag_bytes", "Log between the position that the server was told and its end."),
		lagSeconds:  f.gauge("lag_seconds", "Age of the oldest commit that an output has not confirmed, or for how long the log could not be read; 0 if all have confirmed everything."),
		unread:      new(unread),
		sourceReady: f.gauge("source_ready", "1 while the log is being read."),
		standby:     f.gauge("standby", "1 while another process reads the slot and this one waits to take its place."),
	}
}

// Received says that the log has been read up to lsn, the end of a commit.
func (m *Metrics) Received(lsn uint64) {
	if m != nil {
		m.log.received.set(lsn)
	}
}

// Confirmed says that all outputs have confirmed everything up to lsn.
func (m *Metrics) Confirmed(lsn uint64) {
	if m != nil {
		m.log.confirmed.set(lsn)
	}
}

// Flushed says that the server was told it may forget its log up to lsn.
func (m *Metrics) Flushed(lsn uint64) {
	if m != nil {
		m.log.flushed.set(lsn)
	}
}

// Server says where the server's log ends by its own account.
func (m *Metrics) Server(lsn uint64) {
	if m != nil {
		m.log.server.set(lsn)
	}
}

// Positions returns what was said last.
func (m *Metrics) Positions() Positions {
	if m == nil {
		return Positions{}
	}
	g := &m.log
	return Positions{g.server.at.Load(), g.received.at.Load(), g.confirmed.at.Load(), g.flushed.at.Load()}
}

// Slot is what the server says of the replication slot.
type Slot struct {
	// Known is false before the server was asked for the first time.
	Known bool
	// Status is wal_status of pg_replication_slots: reserved, extended, unreserved or
	// lost.
	Status string
	// Retained is the log that the server keeps because of the slot, in bytes, NaN if
	// the slot has lost it.
	Retained float64
	// Safe is how much more it would keep (safe_wal_size), NaN without a bound.
	Safe float64
	// At is when it said so.
	At time.Time
}

// slotStatuses are the values of wal_status (PostgreSQL manual, "pg_replication_slots").
var slotStatuses = [...]string{"reserved", "extended", "unreserved", "lost"}

// slotGauges show the slot. What is not known has no series.
type slotGauges struct {
	retained, safe, status *prometheus.GaugeVec
	last                   *atomic.Pointer[Slot]
}

func newSlotGauges(f factory) slotGauges {
	return slotGauges{
		retained: f.gauges("slot_retained_bytes", "Log that the server keeps because of the slot."),
		safe:     f.gauges("slot_safe_bytes", "Log that can still be written before the slot is in danger (max_slot_wal_keep_size); absent without a bound."),
		status:   f.gauges("slot_status", "wal_status of the slot; 1 for the one it has.", "status"),
		last:     new(atomic.Pointer[Slot]),
	}
}

// Slot shows what the server says of the slot.
func (m *Metrics) Slot(s Slot) {
	if m == nil {
		return
	}
	s.Known = true
	m.slot.last.Store(&s)
	setKnown(m.slot.retained, s.Retained)
	setKnown(m.slot.safe, s.Safe)
	for _, status := range slotStatuses {
		value := 0.0
		if status == s.Status {
			value = 1
		}
		m.slot.status.WithLabelValues(status).Set(value)
	}
}

// setKnown sets a gauge without labels, or removes it where the value is not known.
func setKnown(g *prometheus.GaugeVec, value float64) {
	if math.IsNaN(value) {
		g.DeleteLabelValues()
		return
	}
	g.WithLabelValues().Set(value)
}

// LastSlot returns what [Metrics.Slot] was told last.
func (m *Metrics) LastSlot() Slot {
	if m == nil || m.slot.last.Load() == nil {
		return Slot{}
	}
	return *m.slot.last.Load()
}
