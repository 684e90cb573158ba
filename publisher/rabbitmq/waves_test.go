package rabbitmq

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// keyed makes messages with these keys; an empty one means none.
func keyed(keys ...string) []publisher.Message {
	batch := make([]publisher.Message, len(keys))
	for i, key := range keys {
		batch[i] = publisher.Message{ID: publishertest.ID(i), Writer: publishertest.Writer, Topic: "t", Key: []byte(key)}
	}
	return batch
}

// takeAll takes until nothing may leave.
func takeAll(w *waves) []int {
	var taken []int
	for {
		i, ok := w.take()
		if !ok {
			return taken
		}
		taken = append(taken, i)
	}
}

func TestMessagesOfDifferentKeysLeaveTogether(t *testing.T) {
	w := newWaves(keyed("a", "b", "", "a", "", "b", "a"))
	for _, step := range []struct {
		settle []int
		want   string
	}{
		{nil, "[0 1 2 4]"},
		{[]int{1}, "[5]"},
		{[]int{0, 2, 4}, "[3]"},
		{[]int{5}, "[]"},
		{[]int{3}, "[6]"},
		{[]int{6}, "[]"},
	} {
		for _, i := range step.settle {
			w.settle(i)
		}
		if got := fmt.Sprint(takeAll(w)); got != step.want {
			t.Errorf("after %v: %s leave, want %s", step.settle, got, step.want)
		}
	}
	if w.left != 0 {
		t.Errorf("%d are left", w.left)
	}
}

func TestNothingBehindARefusedMessageLeaves(t *testing.T) {
	w := newWaves(keyed("a", "b", "a", "b", "c", "a"))
	takeAll(w) // 0, 1 and 4
	w.settle(0)
	w.refuse(4)
	w.settle(1)
	if got := fmt.Sprint(takeAll(w)); got != "[2 3]" {
		t.Errorf("%s leave, want those before the refused one", got)
	}
	w.settle(2)
	w.settle(3)
	if got := takeAll(w); got != nil {
		t.Errorf("%v leave behind the refused one", got)
	}
	w.resume()
	if got := fmt.Sprint(takeAll(w)); got != "[4 5]" {
		t.Errorf("%s leave once it is tried again", got)
	}
}

func TestEqualKeysOfDifferentTopicsLeaveTogether(t *testing.T) {
	batch := keyed("a", "a")
	batch[1].Topic = "u"
	if got := takeAll(newWaves(batch)); len(got) != 2 {
		t.Errorf("%v leave", got)
	}
}

func TestWavesBelongToOneBatch(t *testing.T) {
	batch := keyed("a", "b")
	other, renamed := keyed("a", "b"), keyed("a", "b")
	other[1].ID = publishertest.ID(7)
	renamed[0].Writer = "another"
	var none *waves
	for _, c := range []struct {
		w     *waves
		batch []publisher.Message
		want  bool
	}{
		{newWaves(batch), batch, true},
		{newWaves(batch), batch[:1], false},
		{newWaves(batch), other, false},
		{newWaves(batch), renamed, false},
		{none, batch, false},
	} {
		if got := c.w.of(c.batch); got != c.want {
			t.Errorf("of %v: %v", c.batch, got)
		}
	}
}

// Whatever the broker answers and whenever connections are lost, every message
// is stored, and each is stored for the first time only after all before it of
// the same key.
func TestNoMessageOvertakesAnotherOfItsKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "c"}), 1, 40).Draw(t, "keys")
		w := newWaves(keyed(keys...))
		var inFlight []int
		stored := make([]bool, len(keys))
		store := func(i int) {
			for j := range i {
				if keys[j] == keys[i] && keys[i] != "" && !stored[j] {
					t.Fatalf("message %d is stored before %d of the same key", i, j)
				}
			}
			stored[i] = true
		}
		faults := rapid.IntRange(0, 20).Draw(t, "faults")
		for w.left > 0 {
			for rapid.IntRange(0, 3).Draw(t, "publish") > 0 {
				i, ok := w.take()
				if !ok {
					break
				}
				inFlight = append(inFlight, i)
			}
			if len(inFlight) == 0 {
				if i, ok := w.take(); ok {
					inFlight = append(inFlight, i)
				} else if w.bound < len(keys) {
					w.resume()
					continue
				} else {
					t.Fatalf("nothing may leave, nothing is in flight, and %d are left", w.left)
				}
			}
			at := rapid.IntRange(0, len(inFlight)-1).Draw(t, "answered")
			what := 0
			if faults > 0 {
				what = rapid.IntRange(0, 2).Draw(t, "answer")
			}
			switch what {
			case 0: // confirmed
				store(inFlight[at])
				w.settle(inFlight[at])
				inFlight = append(inFlight[:at], inFlight[at+1:]...)
			case 1: // refused
				faults--
				w.refuse(inFlight[at])
				inFlight = append(inFlight[:at], inFlight[at+1:]...)
			case 2: // connection lost, some of it stored
				faults--
				for _, i := range inFlight {
					if rapid.Bool().Draw(t, "stored") {
						store(i)
					}
				}
				w.loseAll()
				inFlight = nil
			}
		}
		for i, ok := range stored {
			if !ok {
				t.Errorf("message %d is missing", i)
			}
		}
	})
}
