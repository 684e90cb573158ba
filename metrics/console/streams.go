package console

import (
	"net/http"
	"sync"
	"time"
)

const (
	// maxStreams bounds the pages that are told of changes at the same time.
	maxStreams = 32
	// backlog is how many messages may wait for a page. One that falls further behind
	// is cut off: it connects again and is told the latest.
	backlog = 4
	// writeLimit bounds one write to a page. It takes the place of the limit that the
	// server puts on a whole answer, which a stream outlives.
	writeLimit = 5 * time.Second
	// quiet is after how long without a message a page is told that the connection
	// still lives.
	quiet = 5 * time.Second
)

// streams are the pages that are told of changes. It is safe for concurrent use.
type streams struct {
	ended chan struct{} // closed by end

	mu   sync.Mutex
	open map[*stream]struct{}
}

// stream is what waits for one page.
type stream struct {
	messages chan []byte
	slow     chan struct{} // closed when the page is cut off
}

func newStreams() streams {
	return streams{ended: make(chan struct{}), open: make(map[*stream]struct{})}
}

// add returns a new stream, or nil if there are too many.
func (s *streams) add() *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxStreams {
		return nil
	}
	one := &stream{messages: make(chan []byte, backlog), slow: make(chan struct{})}
	s.open[one] = struct{}{}
	return one
}

func (s *streams) remove(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, one)
}

func (s *streams) watched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open) > 0
}

// tell gives every page the message. It waits for none.
func (s *streams) tell(message []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.open {
		select {
		case one.messages <- message:
		default:
			close(one.slow)
			delete(s.open, one)
		}
	}
}

// end ends all streams, those to come as well. It is called once.
func (s *streams) end() { close(s.ended) }

// events answers with the status, every second anew, until one of both ends.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	one := c.streams.add()
	if one == nil {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "too many pages are open: close some")
		return
	}
	defer c.streams.remove(one)

	control := http.NewResponseController(w)
	// The limit on reading the request would end its context, and with it the stream.
	_ = control.SetReadDeadline(time.Time{})  // who cannot do that has no such limit
	w.Header().Set("X-Accel-Buffering", "no") // asks nginx to pass messages on at once
	write := func(message []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(writeLimit)) // what cannot do that has no limit
		_, err := w.Write(message)
		return err == nil && control.Flush() == nil
	}
	if write(c.greeting()) {
		c.follow(r, one, write)
	}
}

// greeting is what a page is told first: when to come back if the connection is lost,
// and what there is to draw.
func (c *Console) greeting() []byte {
	text := []byte("retry: 1000\n\n")
	if points, frame, ok := c.history.told(); ok {
		text = append(text, message("history", points)...)
		text = append(text, message("status", frame)...)
	}
	return text
}

// follow writes what the stream gets until it ends.
func (c *Console) follow(r *http.Request, one *stream, write func([]byte) bool) {
	silence := time.NewTicker(quiet)
	defer silence.Stop()
	for {
		var message []byte
		select {
		case message = <-one.messages:
			silence.Reset(quiet)
		case <-silence.C:
			message = []byte(": still here\n\n")
		case <-one.slow:
			return
		case <-c.streams.ended:
			write([]byte("event: stopping\ndata: {}\n\n"))
			return
		case <-r.Context().Done():
			return
		}
		if !write(message) {
			return
		}
	}
}
