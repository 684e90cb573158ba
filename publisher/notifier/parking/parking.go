// Package parking keeps deliveries that were given up in line, so that the
// position can move on without losing one of them.
//
// [Table] keeps them in a table of the source database, in walherald's own schema.
// They are tried again by a schedule ([Table.Due]), and can be listed, tried and
// dropped by hand. [Topic] publishes each of them, once, to a topic of a broker; what
// becomes of them there is left to whoever reads the topic.
//
// # What is guaranteed
//
// Park returns nil only once every delivery is durable: in a table, once the
// server has written the commit to its disk (and to the synchronous standbys that
// synchronous_commit = on waits for); in a topic, once the broker has confirmed it.
// A delivery is identified by its destination and the event's id. In a table it
// is one, however often it is parked; in a topic it can be repeated, with the
// same id.
//
// A table is in the same log as the changes themselves. A standby that is promoted
// has the parked delivery if it has any later position of the slot, and if it has
// not, the slot is behind and the change comes again.
//
// # Claims
//
// Who tries a delivery claims it first, for a while (two minutes), by an ordinary
// short transaction: no transaction is open while a destination is waited for.
// The claim is renewed right before the attempt, which is cut off when the claim
// ends; so two processes never make an attempt of one delivery at the same moment.
// A process that is killed between the attempt and its record leaves a claim that runs
// out, and the delivery is tried again with the same id: at least once.
package parking

import (
	"errors"
	"strings"
	"time"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// Filter selects parked deliveries: those for which all that is set holds. The
// zero Filter selects every one.
type Filter struct {
	// Rule and Destination are names; empty means any.
	Rule, Destination string
	// OlderThan selects what was parked longer ago than that; 0 means any.
	OlderThan time.Duration
	// IDs are ids of events; none means any. One event can be parked for several
	// destinations.
	IDs []publisher.ID
	// Limit is the most deliveries that are selected; 0 means no limit.
	Limit int
}

// Selects reports whether the filter, but for its Limit, selects p at the time
// now.
func (f *Filter) Selects(p *notifier.Parked, now time.Time) bool {
	if f.Rule != "" && f.Rule != p.Rule || f.Destination != "" && f.Destination != p.Destination {
		return false
	}
	if f.OlderThan > 0 && now.Sub(p.ParkedAt) <= f.OlderThan {
		return false
	}
	for _, id := range f.IDs {
		if id == p.ID {
			return true
		}
	}
	return len(f.IDs) == 0
}

// Entry is a parked delivery in a list, which leaves out the payload.
type Entry struct {
	// Parked is the delivery; its Payload is nil.
	notifier.Parked
	// Size is the payload's, in bytes.
	Size int
}

// Stock is what is parked for one destination.
type Stock struct {
	// Number is how many deliveries are parked, Waiting how many of them are not
	// tried any more until somebody asks for it.
	Number, Waiting int
	// Oldest is when the oldest of them was parked.
	Oldest time.Time
}

// errNoDestination refuses what could never be found again.
var errNoDestination = errors.New("park delivery: it has no destination")

func check(ds []notifier.Parked) error {
	for i := range ds {
		if ds[i].Destination == "" {
			return errNoDestination
		}
	}
	return nil
}

// actionOf is the inverse of Action.String; it is 0 for any other text.
func actionOf(text string) publisher.Action {
	for a := publisher.Insert; a <= publisher.LogicalMessage; a++ {
		if a.String() == text {
			return a
		}
	}
	return 0
}

// storable makes text that every database takes: valid UTF-8 without NUL.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
