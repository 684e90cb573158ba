package receiver

import (
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Answer chooses the reply to a request; a nil Reply is 200 without a body.
type Answer func(r *Request) Reply

// Reply writes a response. The request's body has been read; its context ends when
// the client goes or the receiver is closed.
type Reply func(w http.ResponseWriter, r *http.Request)

// Always answers every request the same way.
func Always(reply Reply) Answer {
	return func(*Request) Reply { return reply }
}

// First gives the first n requests one reply and all others another.
func First(n int, reply, then Reply) Answer {
	return FirstPer(func(*Request) string { return "" }, n, reply, then)
}

// FirstPer is First for each key of requests apart, such as a header's value.
func FirstPer(key func(r *Request) string, n int, reply, then Reply) Answer {
	var mu sync.Mutex
	seen := make(map[string]int)
	return func(r *Request) Reply {
		mu.Lock()
		defer mu.Unlock()
		k := key(r)
		seen[k]++
		if seen[k] <= n {
			return reply
		}
		return then
	}
}

// Sequence gives requests one reply after another, and the last one to all that
// follow.
func Sequence(replies ...Reply) Answer {
	var mu sync.Mutex
	next := 0
	return func(*Request) Reply {
		mu.Lock()
		defer mu.Unlock()
		reply := replies[min(next, len(replies)-1)]
		next++
		return reply
	}
}

// Status replies with a status and no body.
func Status(code int) Reply {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// Body replies with a status and a text of this media type.
func Body(code int, mediaType, text string) Reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.WriteHeader(code)
		_, _ = w.Write([]byte(text)) // a client may be gone: that is its affair
	}
}

// RetryAfterSeconds replies with a status and a Retry-After in seconds.
func RetryAfterSeconds(code, n int) Reply {
	return Header("Retry-After", strconv.Itoa(n), Status(code))
}

// RetryAfterDate replies with a status and a Retry-After that is a date, which has
// whole seconds.
func RetryAfterDate(code int, at time.Time) Reply {
	return Header("Retry-After", at.UTC().Format(http.TimeFormat), Status(code))
}

// Redirect replies 307 to url, which a client that follows would post to again.
func Redirect(url string) Reply {
	return Header("Location", url, Status(http.StatusTemporaryRedirect))
}

// Header sets a header of the response before the reply that comes then.
func Header(name, value string, then Reply) Reply {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		then(w, r)
	}
}

// Delay waits before the reply that comes then; if the client goes meanwhile there
// is none.
func Delay(d time.Duration, then Reply) Reply {
	return func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			then(w, r)
		case <-r.Context().Done():
		}
	}
}

// Hang says nothing until release is closed or sent to, and 200 then; nil is never.
// If the client goes it ends.
func Hang(release <-chan struct{}) Reply {
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// connKey finds the connection in a request's context.
type connKey struct{}

// Raw writes bytes to the connection in the place of a response, and closes it: what
// is no HTTP, or more of it than was asked for.
func Raw(text string) Reply {
	return func(_ http.ResponseWriter, r *http.Request) {
		_, _ = r.Context().Value(connKey{}).(net.Conn).Write([]byte(text))
		panic(http.ErrAbortHandler)
	}
}

// Reset answers with RST instead of a response. It takes every other request of an
// HTTP/2 connection with it.
func Reset() Reply {
	return func(_ http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(connKey{}).(net.Conn)
		if secure, ok := c.(*tls.Conn); ok {
			c = secure.NetConn()
		}
		_ = c.(*net.TCPConn).SetLinger(0) // an error means it is closed already
		_ = c.Close()
		panic(http.ErrAbortHandler)
	}
}

// CloseEarly closes the connection instead of responding.
func CloseEarly() Reply {
	return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
}

// CutBody replies with a status and closes the connection in the middle of the body
// that it announced.
func CutBody(code int) Reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(code)
		_, _ = w.Write([]byte("cut"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// SlowBody replies with a status at once and with a byte of body at every interval,
// until the client goes.
func SlowBody(code int, interval time.Duration) Reply {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			if _, err := w.Write([]byte{'.'}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// HugeBody replies with a status and n bytes of body; a negative n means bytes until
// the client goes.
func HugeBody(code int, n int64) Reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		block := make([]byte, 32<<10)
		left := n // of this response
		for left != 0 {
			part := block
			if left > 0 && left < int64(len(part)) {
				part = part[:left]
			}
			if _, err := w.Write(part); err != nil {
				return
			}
			if left > 0 {
				left -= int64(len(part))
			}
		}
	}
}
