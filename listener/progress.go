package listener

import (
	"slices"

	"github.com/walherald/walherald/listener/pgoutput"
)

// progress decides which position the server may be told as flushed. It is
// pure: no clock, no lock, no I/O.
//
// The log is a line of commits. Each is queued once, in order, to all outputs,
// and each output confirms prefixes of that line. The flush position is the
// lowest prefix of all outputs, never the highest: a later success says
// nothing of an earlier failure.
//
// Beyond the last commit the log goes on: other databases, vacuum, changes
// that no publication selects. The server tells how far it has looked in its
// keepalives. That position counts once everything queued is confirmed, and
// only if it was told between two transactions, since inside of one it can lie
// past changes that are still to come. Once released it stays so: the next
// commit lies beyond it, and a server that is told less than before may believe
// it.
type progress struct {
	// queued is the end of the last commit handed to the outputs.
	queued pgoutput.LSN
	// confirmed is, for each output, the end of the last commit it confirmed.
	// Invariant: confirmed[i] <= queued.
	confirmed []pgoutput.LSN
	// idle is the highest end of log told between transactions.
	// It is at least queued, or of no use.
	idle pgoutput.LSN
	// released is the idle position of the last time all was confirmed.
	released pgoutput.LSN
	open     bool // between Begin and Commit
}

// newProgress starts at start, up to which everything is confirmed by each of
// the outputs, of which there is at least one.
func newProgress(outputs int, start pgoutput.LSN) *progress {
	p := &progress{queued: start, confirmed: make([]pgoutput.LSN, outputs)}
	for i := range p.confirmed {
		p.confirmed[i] = start
	}
	return p
}

// begin notes that a transaction is open.
func (p *progress) begin() { p.open = true }

// abandon notes that the connection ended: an open transaction comes again.
func (p *progress) abandon() { p.open = false }

// commit notes that the open transaction, which ends at end, is wholly queued.
// A transaction that comes again after a reconnect does not take it back.
func (p *progress) commit(end pgoutput.LSN) {
	p.open = false
	p.queued = max(p.queued, end)
}

// confirm notes that output i has confirmed everything up to end, which must
// have been queued.
func (p *progress) confirm(i int, end pgoutput.LSN) {
	p.confirmed[i] = max(p.confirmed[i], min(end, p.queued))
	p.release()
}

// serverEnd notes a keepalive's end of log.
func (p *progress) serverEnd(end pgoutput.LSN) {
	if !p.open {
		p.idle = max(p.idle, end)
		p.release()
	}
}

// release lets the idle position count if everything queued is confirmed.
func (p *progress) release() {
	if p.settled() {
		p.released = p.idle
	}
}

// flush returns the position up to which the server may forget the log. It
// never goes back.
func (p *progress) flush() pgoutput.LSN {
	return max(slices.Min(p.confirmed), p.released)
}

// settled reports whether every output has confirmed all that was queued.
func (p *progress) settled() bool {
	for _, c := range p.confirmed {
		if c != p.queued {
			return false
		}
	}
	return true
}
