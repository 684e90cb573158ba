package nats

import (
	"context"
	"net"
	"sync"
	"time"
)

// The client hands every few messages to the socket as soon as its writer gets
// the processor, and each of those writes wakes the server for as few. While a
// batch is being written the connection is therefore corked: what the client
// writes is gathered until there is corkLimit of it, or until somebody waits
// for an answer and uncorks.
const corkLimit = 128 << 10 // bytes

// corkedConn is a net.Conn whose writes can be held back.
type corkedConn struct {
	net.Conn

	mu     sync.Mutex
	corked bool
	buf    []byte
}

// Write implements net.Conn. While corked, its error can be that of an earlier
// write.
func (c *corkedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.Conn.Write(p)
	}
	c.buf = append(c.buf, p...)
	if len(c.buf) < corkLimit {
		return len(p), nil
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *corkedConn) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

// cork begins to hold writes back.
func (c *corkedConn) cork() {
	c.mu.Lock()
	c.corked = true
	c.mu.Unlock()
}

// uncork lets everything go. After an error the stream of bytes is broken, so
// the connection is closed: its owner learns of it as of any other loss.
func (c *corkedConn) uncork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = false
	if c.flush() != nil {
		c.Conn.Close()
	}
}

// dialer ends the attempt to connect with its context and keeps the connection
// that was made last.
type dialer struct {
	ctx     context.Context
	timeout time.Duration
	net.Dialer
	conn *corkedConn
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.conn = &corkedConn{Conn: conn}
	return d.conn, nil
}
