package listener

import (
	"context"
	"sync"
	"time"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

// messageOverhead is what a message costs in memory beside its key and body,
// in bytes: it keeps a window of tiny messages from being a window of slices.
const messageOverhead = 160

// maxBatch bounds the messages of a batch, if the output sets no bound. More gain no
// speed, and what a fault makes us send again stays small.
const maxBatch = 8192

// signalBytes is how much of a flood is gathered before the output is woken.
const signalBytes = 32 << 10

// batch is a run of encoded messages. Keys and bodies lie in buf.
type batch struct {
	msgs []publisher.Message
	buf  []byte
	size int // bytes, as the window counts them
	// commit is the end of the last commit in the batch; 0 if it holds none.
	commit pgoutput.LSN
}

func (b *batch) empty() bool { return len(b.msgs) == 0 && b.commit == 0 }

// reset makes the batch ready to be filled again. What one huge row made of it
// is given back.
func (b *batch) reset(keep int) {
	if cap(b.buf) > keep {
		b.buf = nil
	}
	clear(b.msgs) // or the last views would keep a buffer alive
	b.msgs, b.buf, b.size, b.commit = b.msgs[:0], b.buf[:0], 0, 0
}

// window holds the encoded changes between the reader and one output: one
// batch that is being delivered and one that is being filled meanwhile. Each is
// full once it holds half of the limit, so the window as a whole exceeds it by
// no more than the last row of each.
//
// It has one filler (append, mark, wake) and one taker (take, done).
type window struct {
	half int // bytes a batch may hold
	most int // messages a batch may hold

	mu       sync.Mutex
	filling  *batch
	inFlight *batch
	spare    *batch

	ready  chan struct{}   // there is something to take
	room   chan struct{}   // the full batch was taken
	closed context.Context // ends when nothing more will come
	close  func()          // ends it; the taker still gets what is left

	unsignalled int // bytes added since the taker was last woken; the filler's own
}

func newWindow(limit int) *window {
	w := &window{
		half: limit / 2, most: maxBatch, filling: &batch{}, spare: &batch{},
		ready: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	w.closed, w.close = context.WithCancel(context.Background())
	return w
}

// full reports whether the filler has to wait. After true, room tells when to
// ask again.
func (w *window) full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.filling.size >= w.half || len(w.filling.msgs) >= w.most
}

// append encodes an event's key and body into the window, by the output's plan of
// the table; m brings the rest of the message. The filler has seen that the window is
// not full. It returns key and body as they are in the window, where they stay until
// the filler's next append.
func (w *window) append(m publisher.Message, p *outPlan, e *publisher.Event) encoded {
	w.mu.Lock()
	b := w.filling
	start := len(b.buf)
	b.buf = p.appendKey(b.buf, e)
	split := len(b.buf)
	b.buf = p.body.Append(b.buf, e)
	return w.added(m, start, split)
}

// encoded is an event's key and body.
type encoded struct{ key, body []byte }

// appendCopy is append for an event that another window has encoded.
func (w *window) appendCopy(m publisher.Message, of encoded) {
	w.mu.Lock()
	b := w.filling
	start := len(b.buf)
	b.buf = append(b.buf, of.key...)
	split := len(b.buf)
	b.buf = append(b.buf, of.body...)
	w.added(m, start, split)
}

// added makes a message of what stands in the filling batch's buffer from start
// on, its body from split on. It releases the lock.
func (w *window) added(m publisher.Message, start, split int) encoded {
	b := w.filling
	end := len(b.buf)
	m.Key, m.Body = b.buf[start:split:split], b.buf[split:end:end]
	b.msgs = append(b.msgs, m)
	added := end - start + messageOverhead
	b.size += added
	w.mu.Unlock()

	if w.unsignalled += added; w.unsignalled >= signalBytes {
		w.wake()
	}
	return encoded{m.Key, m.Body}
}

// mark notes that everything appended so far belongs to transactions that end
// at or before end.
func (w *window) mark(end pgoutput.LSN) {
	w.mu.Lock()
	w.filling.commit = end
	w.mu.Unlock()
	w.unsignalled++ // an empty transaction has to be taken too
}

// wake wakes the taker if there is something to take. The filler calls it
// before it waits for anything.
func (w *window) wake() {
	if w.unsignalled == 0 {
		return
	}
	w.unsignalled = 0
	notify(w.ready)
}

// take waits for the next batch, which stays valid until done. It returns nil
// and true when tick comes first, nil and false when the window is closed and
// empty or ctx has ended.
func (w *window) take(ctx context.Context, tick <-chan time.Time) (b *batch, more bool) {
	for {
		last := w.closed.Err() != nil // asked before the look, or something could come between
		if b := w.swap(); b != nil || last {
			return b, b != nil
		}
		select {
		case <-w.ready:
		case <-tick:
			return nil, true
		case <-ctx.Done():
			return nil, false
		case <-w.closed.Done():
		}
	}
}

// swap puts the filled batch in flight, if it holds anything.
func (w *window) swap() *batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.filling.empty() {
		return nil
	}
	w.inFlight, w.filling, w.spare = w.filling, w.spare, nil
	notify(w.room)
	return w.inFlight
}

// done gives back the batch in flight.
func (w *window) done(b *batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b.reset(w.half + w.half/2)
	w.inFlight, w.spare = nil, b
}

// waiting returns what the window holds.
func (w *window) waiting() metrics.Waiting {
	w.mu.Lock()
	defer w.mu.Unlock()
	is := metrics.Waiting{Limit: 2 * w.half}
	for _, b := range []*batch{w.filling, w.inFlight} { // the older one last
		if b == nil {
			continue
		}
		is.Events += len(b.msgs)
		is.Bytes += b.size
		if len(b.msgs) > 0 {
			m := &b.msgs[0]
			is.LSN, is.Table, is.Committed = m.ID.LSN(), m.Table, time.UnixMicro(m.CommitTime)
		}
	}
	return is
}

// notify wakes the one who waits on c, now or when it next looks.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
