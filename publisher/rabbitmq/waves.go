package rabbitmq

import (
	"hash/maphash"
	"slices"

	"github.com/walherald/walherald/publisher"
)

// state is what is known of one message of a batch.
type state uint8

const (
	waiting state = iota // has to be published, perhaps again
	flying               // published, and the broker has not answered
	settled              // stored, or left out on purpose
)

// waves says in which order the messages of one batch may leave. Those of
// different keys, and those without a key, leave freely; of two messages with
// the same key and topic the second leaves only once the first is settled.
// So whatever the broker refuses or loses, nothing of that key has overtaken it.
//
// It is pure: no clock, no I/O. It keeps nothing of the batch but its ids, and
// so outlives the call that brought the batch: delivered again, the batch goes
// on where it was.
type waves struct {
	ids    []publisher.ID
	writer string

	states []state
	// next is the following message of the same key, or 0: no message follows
	// with the number 0.
	next []int32
	// held says that an earlier message of the same key is not settled.
	held []bool
	// fresh is the first message that next was not asked for; freed are those
	// before it that stopped being held since.
	fresh int
	freed []int32
	// bound is the first message that was refused: what is behind it stays.
	bound int
	left  int // messages that are not settled
}

var keySeed = maphash.MakeSeed()

// newWaves begins with the messages of a batch, which is not empty. Keys are
// told apart by a hash of 64 bits: two that collide are only slower.
func newWaves(batch []publisher.Message) *waves {
	n := len(batch)
	w := &waves{
		ids: make([]publisher.ID, n), writer: batch[0].Writer, states: make([]state, n),
		next: make([]int32, n), held: make([]bool, n), bound: n, left: n,
	}
	last := make(map[uint64]int32, n)
	for i := range batch {
		m := &batch[i]
		w.ids[i] = m.ID
		if len(m.Key) == 0 {
			continue
		}
		key := maphash.String(keySeed, m.Topic) + 31*maphash.Bytes(keySeed, m.Key)
		if before, ok := last[key]; ok {
			w.next[before], w.held[i] = int32(i), true
		}
		last[key] = int32(i)
	}
	return w
}

// of reports whether w was made for this batch.
func (w *waves) of(batch []publisher.Message) bool {
	return w != nil && len(batch) == len(w.ids) && batch[0].Writer == w.writer &&
		slices.EqualFunc(batch, w.ids, func(m publisher.Message, id publisher.ID) bool { return m.ID == id })
}

// take returns a message that may leave now, which then counts as flying; ok is
// false if there is none until one is settled. Those that were held come first,
// because others may be held by them in turn.
func (w *waves) take() (i int, ok bool) {
	for at := 0; at < len(w.freed); at++ {
		if i = int(w.freed[at]); i >= w.bound {
			continue
		}
		w.freed = slices.Delete(w.freed, at, at+1)
		if w.leaves(i) {
			return i, true
		}
		at--
	}
	for w.fresh < w.bound {
		i = w.fresh
		w.fresh++
		if w.leaves(i) {
			return i, true
		}
	}
	return 0, false
}

func (w *waves) leaves(i int) bool {
	if w.states[i] != waiting || w.held[i] {
		return false
	}
	w.states[i] = flying
	return true
}

// settle says that flying message i is stored or left out for good.
func (w *waves) settle(i int) {
	w.states[i] = settled
	w.left--
	next := w.next[i]
	if next == 0 {
		return
	}
	w.held[next] = false
	if int(next) < w.fresh {
		w.freed = append(w.freed, next)
	}
}

// lose says that flying message i has to be published again.
func (w *waves) lose(i int) {
	w.states[i] = waiting
	w.fresh = min(w.fresh, i)
}

// refuse is lose for a message that the broker refuses now: what is behind it in
// the batch stays until resume, what is before it may still leave.
func (w *waves) refuse(i int) {
	w.lose(i)
	w.bound = min(w.bound, i)
}

// resume forgets what was refused.
func (w *waves) resume() { w.bound = len(w.states) }

// loseAll is lose for all flying messages.
func (w *waves) loseAll() {
	for i, s := range w.states {
		if s == flying {
			w.lose(i)
		}
	}
}
