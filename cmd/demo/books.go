package main

import (
	"errors"
	"fmt"
	"maps"
)

// differences counts the rows whose version differs.
func differences(want, have map[string]int) int {
	n := 0
	for row, version := range want {
		if have[row] != version {
			n++
		}
	}
	for row := range have {
		if _, known := want[row]; !known {
			n++
		}
	}
	return n
}

// summary prints the books of the stream and judges them.
func (l *ledger) summary(h *holdings, want map[string]int) error {
	s := l.shop
	lost := s.committed - len(h.ids)
	differ := differences(want, h.state)
	p50, p99 := l.out.quantiles()
	l.out.say("\n%d transactions with %d changes committed", s.transactions, s.committed)
	l.out.say("%d events confirmed, %d read back from the stream", l.out.confirms, h.messages)
	l.out.say("%d lost, %d repeated, %d out of order", max(lost, 0), h.messages-len(h.ids), h.backward)
	l.out.say("%d rows in the tables, %d differ from what the events say", len(want), differ)
	l.out.say("commit to confirmation: p50 %v, p99 %v", p50, p99)
	switch {
	case s.doubtful > 0:
		return fmt.Errorf("%d changes have an unknown outcome, the books cannot be closed", s.doubtful)
	case lost > 0:
		return fmt.Errorf("%d changes are lost", lost)
	case lost < 0:
		return fmt.Errorf("%d events tell of changes nobody made", -lost)
	case h.messages > len(h.ids):
		return fmt.Errorf("%d events are repeated, although nobody else writes to the stream", h.messages-len(h.ids))
	case differ > 0 || h.backward > 0:
		return errors.New("the events do not tell what happened")
	}
	return nil
}

// sent are the books of the notifications.
type sent struct {
	wanted    map[delivery]bool
	accepted  int // of those
	parked    int // those that are parked and not accepted
	missing   int // neither
	unknown   int // stories whose event is not in the stream
	uninvited int // accepted or parked, but not wanted
	records   records
}

// notified compares the notifications that the shop gave cause for, under the ids
// that their events have in the stream, with what the receiver accepted and what is
// parked.
func (l *ledger) notified(h *holdings, parked map[delivery]bool) *sent {
	b := &sent{records: l.recv.books()}
	b.wanted, b.unknown = l.wanted(h)
	for d := range b.wanted {
		switch {
		case b.records.accepted[d]:
			b.accepted++
		case parked[d]:
			b.parked++
		default:
			b.missing++
		}
	}
	made := maps.Clone(parked) // every notification there is
	for d := range b.records.attempts {
		made[d] = true
	}
	for d := range made {
		if !b.wanted[d] {
			b.uninvited++
		}
	}
	return b
}

// wanted returns the notifications that the shop gave cause for, and how many stories
// the stream does not tell.
func (l *ledger) wanted(h *holdings) (wanted map[delivery]bool, unknown int) {
	wanted = make(map[delivery]bool)
	goTo := l.destinations()
	for _, s := range l.shop.told {
		id, found := h.changes[s.about]
		if !found {
			unknown++
		}
		for _, destination := range goTo[s.rule] {
			if found {
				wanted[delivery{destination, id}] = true
			}
		}
	}
	return wanted, unknown
}

// destinations returns where the notifications of each rule go.
func (l *ledger) destinations() map[string][]string {
	goTo := make(map[string][]string)
	for _, n := range l.cfg.Notifications() {
		for _, r := range n.Rules {
			goTo[r.Name] = append(goTo[r.Name], n.Name)
		}
	}
	return goTo
}

// summary prints the books of the notifications and judges them.
func (b *sent) summary(out *screen) error {
	r := &b.records
	out.say("%d notifications wanted: %d accepted, %d parked, %d missing", len(b.wanted)+b.unknown, b.accepted, b.parked, b.missing+b.unknown)
	out.say("%d webhooks: %d refused for a while, %d repeated, %d late from the parking, %d out of order, %d with a wrong signature",
		r.requests, r.refused, r.repeated, r.late, r.backward, r.signatures)
	switch {
	case b.unknown+b.missing > 0:
		return fmt.Errorf("%d notifications are neither accepted nor parked", b.unknown+b.missing)
	case b.uninvited+r.strange > 0:
		return fmt.Errorf("%d notifications are of events that nobody asked for", b.uninvited+r.strange)
	case r.signatures > 0:
		return fmt.Errorf("%d webhooks have a wrong signature", r.signatures)
	case r.backward > 0:
		return fmt.Errorf("%d notifications came after newer ones of their row, and were never parked", r.backward)
	}
	return nil
}
