package rabbitmq

import (
	"cmp"
	"net"
	"sync"
	"time"

	"github.com/walherald/walherald/metrics"
)

// The client hands each message to the socket by a write of its own, and a
// broker that takes no more (an alarm, credit flow) makes such a write wait
// without heeding any context. So the client writes to a buffer, which a
// goroutine carries to the socket: while it writes, the next messages gather,
// and a burst leaves in few large writes.
type bufferedConn struct {
	net.Conn

	wake chan struct{} // has room for one sign that buf is not empty or closing is set
	done chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards what follows
	buf     []byte
	closing bool
	err     error // of the first read or write that failed
}

const (
	// flushTimeout bounds how long Close waits for what is still in the buffer.
	flushTimeout = time.Second
	// keepBuffer is the largest buffer, in bytes, that is used again.
	keepBuffer = 1 << 20
)

func newBufferedConn(conn net.Conn) *bufferedConn {
	c := &bufferedConn{Conn: conn, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer metrics.ReportPanic()
		c.carry()
	}()
	return c
}

// Write implements net.Conn. It never waits; its error is that of an earlier
// read or write. How much gathers is bounded by what a session has outstanding.
func (c *bufferedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return 0, c.err
	case c.closing:
		return 0, net.ErrClosed
	}
	c.buf = append(c.buf, p...)
	c.signal()
	return len(p), nil
}

// Read implements net.Conn.
func (c *bufferedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.mu.Lock()
		c.err = cmp.Or(c.err, err)
		c.mu.Unlock()
	}
	return n, err
}

// ended returns what ended the connection.
func (c *bufferedConn) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.err, net.ErrClosed)
}

func (c *bufferedConn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// carry writes what gathers until the connection is closed or broken.
func (c *bufferedConn) carry() {
	defer close(c.done)
	var spare []byte
	for range c.wake {
		c.mu.Lock()
		out, closing := c.buf, c.closing
		c.buf = spare[:0]
		c.mu.Unlock()
		if len(out) > 0 {
			if _, err := c.Conn.Write(out); err != nil {
				c.fail(err)
				return
			}
		}
		if closing {
			return
		}
		if spare = out; cap(spare) > keepBuffer {
			spare = nil
		}
	}
}

// fail notes the error and closes the connection, whose reader learns of it.
func (c *bufferedConn) fail(err error) {
	c.mu.Lock()
	c.err = cmp.Or(c.err, err)
	c.mu.Unlock()
	_ = c.Conn.Close()
}

// Close implements net.Conn. What is in the buffer is still written if that
// takes no longer than flushTimeout.
func (c *bufferedConn) Close() error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	_ = c.SetWriteDeadline(time.Now().Add(flushTimeout))
	c.signal()
	<-c.done
	return c.Conn.Close()
}
