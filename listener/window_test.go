package listener

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

// plainPlan has column 0 as the key and column 1 as the whole body.
var plainPlan = &outPlan{key: []int{0}, body: plainBody{}}

type plainBody struct{}

func (plainBody) Append(dst []byte, e *publisher.Event) []byte { return append(dst, e.New[1].Text...) }

func put(w *window, key, body string) {
	w.append(publisher.Message{}, plainPlan, &publisher.Event{New: []publisher.Value{
		{Kind: publisher.Text, Text: []byte(key)}, {Kind: publisher.Text, Text: []byte(body)},
	}})
}

// fill puts messages of the given body size until the window is full and
// returns how many.
func fill(w *window, size int) (n int) {
	body := strings.Repeat("x", size)
	for ; !w.full(); n++ {
		put(w, fmt.Sprint(n), body)
	}
	return n
}

// mustTake takes a batch that has to be there.
func mustTake(t *testing.T, w *window) *batch {
	t.Helper()
	b, _ := w.take(t.Context(), nil)
	if b == nil {
		t.Fatal("nothing to take")
	}
	return b
}

func keys(b *batch) string {
	var s []string
	for i := range b.msgs {
		s = append(s, string(b.msgs[i].Key))
	}
	return strings.Join(s, " ")
}

func TestWindowIsBoundedInBytes(t *testing.T) {
	const limit, row = 10_000, 100 + 1 + messageOverhead
	w := newWindow(limit)
	first := fill(w, 100)
	if got := w.waiting().Bytes; got < limit/2 || got >= limit/2+row {
		t.Fatalf("the half that is filled holds %d bytes of %d", got, limit/2)
	}
	b := mustTake(t, w)
	second := fill(w, 100)
	if got := w.waiting().Bytes; got < limit || got >= limit+2*row {
		t.Errorf("the window holds %d bytes of %d", got, limit)
	}
	if len(b.msgs) != first || first != second {
		t.Errorf("first half: %d messages put, %d taken; second half: %d put", first, len(b.msgs), second)
	}
	w.done(b)
	if !w.full() {
		t.Error("the filled half has room again though only the other one was delivered")
	}
}

// A window of tiny messages is bounded by what they cost beside their bytes,
// and by their number.
func TestTinyMessagesFillTheWindowToo(t *testing.T) {
	if n, most := fill(newWindow(64<<10), 0), 32<<10/messageOverhead; n > most {
		t.Errorf("%d empty messages fit into 32 KiB, want %d at most", n, most)
	}
	if n := fill(newWindow(1<<30), 0); n != maxBatch {
		t.Errorf("%d messages fit into a batch, want %d", n, maxBatch)
	}
}

func TestOrderIsKeptFromBatchToBatch(t *testing.T) {
	w := newWindow(1 << 20)
	var got []string
	for i := range 10 {
		for j := range i {
			put(w, fmt.Sprintf("%d.%d", i, j), "body")
		}
		if i%3 == 0 && i > 0 {
			b := mustTake(t, w)
			got = append(got, keys(b))
			w.done(b)
		}
	}
	want := "1.0 2.0 2.1 3.0 3.1 3.2|" +
		"4.0 4.1 4.2 4.3 5.0 5.1 5.2 5.3 5.4 6.0 6.1 6.2 6.3 6.4 6.5|" +
		"7.0 7.1 7.2 7.3 7.4 7.5 7.6 8.0 8.1 8.2 8.3 8.4 8.5 8.6 8.7 9.0 9.1 9.2 9.3 9.4 9.5 9.6 9.7 9.8"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
}

func TestBatchStaysAsItIsWhileTheNextIsFilled(t *testing.T) {
	w := newWindow(8000)
	for round := range 5 {
		n := 0
		for ; !w.full(); n++ {
			put(w, fmt.Sprintf("key %d.%d", round, n), fmt.Sprintf("body %d.%d", round, n))
		}
		b := mustTake(t, w)
		fill(w, 50)
		for i := range b.msgs {
			key, body := fmt.Sprintf("key %d.%d", round, i), fmt.Sprintf("body %d.%d", round, i)
			if m := b.msgs[i]; string(m.Key) != key || string(m.Body) != body {
				t.Fatalf("round %d: message %d is %q, %q, want %q, %q", round, i, m.Key, m.Body, key, body)
			}
		}
		if len(b.msgs) != n {
			t.Fatalf("round %d: %d messages put, %d taken", round, n, len(b.msgs))
		}
		w.done(b)
		w.done(mustTake(t, w))
	}
}

func TestAppendingToAViewTouchesNoNeighbour(t *testing.T) {
	w := newWindow(8000)
	for range 2 { // so that the views below share a buffer
		fill(w, 100)
		w.done(mustTake(t, w))
	}
	put(w, "k1", "first")
	put(w, "k2", "second")
	b := mustTake(t, w)
	_ = append(b.msgs[0].Key, "!!!"...)
	_ = append(b.msgs[0].Body, "!!!"...)
	if string(b.msgs[0].Body) != "first" || string(b.msgs[1].Key) != "k2" {
		t.Errorf("the neighbours have become %q and %q", b.msgs[0].Body, b.msgs[1].Key)
	}
}

func TestHugeRowIsTakenAloneAndItsMemoryGivenBack(t *testing.T) {
	const limit = 64 << 10
	w := newWindow(limit)
	put(w, "huge", strings.Repeat("x", 20*limit))
	if !w.full() {
		t.Error("there is room beside a row that is larger than the window")
	}
	b := mustTake(t, w)
	if keys(b) != "huge" || len(b.msgs[0].Body) != 20*limit {
		t.Fatalf("took %s with %d bytes", keys(b), len(b.msgs[0].Body))
	}
	w.done(b)
	if cap(b.buf) > limit {
		t.Errorf("%d bytes are kept of a window of %d", cap(b.buf), limit)
	}
	if m := b.msgs[:1][0]; m.Key != nil || m.Body != nil {
		t.Error("a view into the huge row is kept")
	}
	if w.waiting().Bytes != 0 || w.full() {
		t.Error("the window does not count as empty")
	}
}

func TestMarkTravelsWithTheBatchOfItsLastChange(t *testing.T) {
	w := newWindow(64 << 10)
	want := func(wantKeys string, wantCommit pgoutput.LSN) {
		t.Helper()
		b := mustTake(t, w)
		if keys(b) != wantKeys || b.commit != wantCommit {
			t.Errorf("took %q up to %v, want %q up to %v", keys(b), b.commit, wantKeys, wantCommit)
		}
		w.done(b)
	}
	put(w, "a1", "")
	put(w, "a2", "")
	w.mark(0x10)
	put(w, "b1", "")
	want("a1 a2 b1", 0x10)
	put(w, "b2", "")
	want("b2", 0) // its transaction goes on
	w.mark(0x20)
	want("", 0x20)
	w.mark(0x30) // a transaction without changes
	put(w, "d1", "")
	w.mark(0x40)
	want("d1", 0x40)
}

func TestCloseHandsOutWhatIsLeft(t *testing.T) {
	w := newWindow(64 << 10)
	put(w, "a", "")
	b := mustTake(t, w)
	put(w, "b", "")
	w.mark(0x10)
	w.close()
	w.done(b)
	if b := mustTake(t, w); keys(b) != "b" || b.commit != 0x10 {
		t.Errorf("took %q up to %v", keys(b), b.commit)
	} else {
		w.done(b)
	}
	if b, more := w.take(t.Context(), nil); b != nil || more {
		t.Errorf("took %v, %v from a window that is closed and empty", b, more)
	}
}

func TestTakeEndsWithItsContextAndWithItsTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(64 << 10)
		if b, more := w.take(t.Context(), time.After(time.Hour)); b != nil || !more {
			t.Errorf("at its tick it returns %v, %v", b, more)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if b, more := w.take(ctx, nil); b != nil || more {
			t.Errorf("at the end of its context it returns %v, %v", b, more)
		}
	})
}

func TestFillerIsWokenWhenTheFullBatchIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(64 << 10)
		put(w, "a", "")
		w.done(mustTake(t, w)) // leaves a signal that is out of date
		fill(w, 100)
		goesOn := false
		go func() {
			for w.full() {
				<-w.room
			}
			goesOn = true
		}()
		synctest.Wait()
		if goesOn {
			t.Fatal("the filler goes on though the window is full")
		}
		mustTake(t, w)
		synctest.Wait()
		if !goesOn {
			t.Error("the filler still waits though there is room")
		}
	})
}

// The taker sleeps until the filler has gathered something worth waking for, or
// has nothing else to do.
func TestTakerIsWokenByWakeAndByAFlood(t *testing.T) {
	for name, feed := range map[string]func(*window){
		"a lone change":                 func(w *window) { put(w, "a", ""); w.wake() },
		"a transaction without changes": func(w *window) { w.mark(0x10); w.wake() },
		"a flood":                       func(w *window) { put(w, "a", strings.Repeat("x", signalBytes)) },
		"the close of the window":       func(w *window) { put(w, "a", ""); w.close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWindow(1 << 20)
			var took *batch
			go func() { took, _ = w.take(t.Context(), nil) }()
			synctest.Wait()
			w.wake() // nothing is there
			synctest.Wait()
			if took != nil {
				t.Fatalf("%s: took %v from an empty window", name, took)
			}
			feed(w)
			synctest.Wait()
			if took == nil {
				t.Errorf("%s does not wake the taker", name)
			}
		})
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	w := newWindow(64 << 10)
	e := &publisher.Event{New: []publisher.Value{
		{Kind: publisher.Text, Text: []byte("key")},
		{Kind: publisher.Text, Text: bytes.Repeat([]byte("x"), 300)},
	}}
	ctx := t.Context()
	cycle := func() {
		for !w.full() {
			w.append(publisher.Message{}, plainPlan, e)
		}
		w.mark(0x10)
		w.wake()
		b, _ := w.take(ctx, nil)
		w.done(b)
	}
	cycle() // both batches grow to their size
	cycle()
	if n := testing.AllocsPerRun(100, cycle); n != 0 {
		t.Errorf("%v allocations for each batch", n)
	}
}

// A filler and a taker run at once; whatever the sizes, everything arrives once,
// in order and as it was, and the bound holds all the time.
func TestFillerAndTakerAgreeWhateverTheSizes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 3000), 1, 400).Draw(t, "sizes")
		commitEvery := rapid.IntRange(1, 50).Draw(t, "changes in a transaction")
		limit := rapid.IntRange(1000, 40_000).Draw(t, "limit")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()

		w := newWindow(limit)
		filled := make(chan error, 1)
		go func() { filled <- fillSizes(ctx, w, sizes, commitEvery) }()
		next, commits := 0, 0
		for {
			b, more := w.take(ctx, nil)
			if !more {
				break
			}
			if got := w.waiting().Bytes; got >= limit+2*(3000+10+messageOverhead) {
				t.Fatalf("the window holds %d bytes, its limit is %d", got, limit)
			}
			next = checkMessages(t, b, next, sizes)
			if b.commit != 0 {
				commits = int(b.commit)
			}
			// The batch can be taken just before the mark, but not a change later.
			if commits*commitEvery > next || (commits+1)*commitEvery < next {
				t.Fatalf("commit %d came with change %d, %d a transaction", commits, next, commitEvery)
			}
			w.done(b)
		}
		if err := <-filled; err != nil || next != len(sizes) || commits != len(sizes)/commitEvery {
			t.Fatalf("%d of %d messages arrived, and commit %d; filler: %v", next, len(sizes), commits, err)
		}
	})
}

// fillSizes puts a message for each size, with the size's index as the key, and
// marks each commit with its number from 1.
func fillSizes(ctx context.Context, w *window, sizes []int, commitEvery int) error {
	defer w.close()
	for i, size := range sizes {
		for w.full() {
			w.wake()
			select {
			case <-w.room:
			case <-ctx.Done():
				return fmt.Errorf("wait for room: %w", ctx.Err())
			}
		}
		put(w, fmt.Sprint(i), strings.Repeat(string(rune('a'+i%26)), size))
		if (i+1)%commitEvery == 0 {
			w.mark(pgoutput.LSN((i + 1) / commitEvery))
		}
	}
	return nil
}

func checkMessages(t *rapid.T, b *batch, next int, sizes []int) int {
	for i := range b.msgs {
		m := &b.msgs[i]
		want := bytes.Repeat([]byte{byte('a' + next%26)}, sizes[next])
		if string(m.Key) != fmt.Sprint(next) || !bytes.Equal(m.Body, want) {
			t.Fatalf("message %d is %q, %.20q of %d bytes, want %.20q of %d", next, m.Key, m.Body, len(m.Body), want, len(want))
		}
		next++
	}
	return next
}
