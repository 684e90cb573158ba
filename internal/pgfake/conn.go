package pgfake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walherald/walherald/listener/pgoutput"
)

// Script is what the server does on one connection. After the last step, or one
// that ends the connection, it is closed tidily (FIN).
type Script []Step

// Step does one thing on a connection. Its error ends the script; it fails the
// test unless it only says that the client has left.
type Step func(c *Conn) error

// Play takes the steps of a script, for a step that chooses between scripts.
func Play(script Script) Step {
	return func(c *Conn) error {
		for i, step := range script {
			if err := step(c); err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
		}
		return nil
	}
}

// Conn is a connection that plays a script. A step of a test's own does what it
// does by other steps: Send(frame)(c).
type Conn struct {
	server  *Server
	socket  net.Conn
	backend *pgproto3.Backend
	user    string
	release func() bool // the socket from the server's context

	listening sync.WaitGroup
	gone      chan struct{} // closed when the client will say no more; nil before the stream

	// Guarded by server.mu.
	statuses int
	since    int // statuses that had come when something was last sent
	flushed  pgoutput.LSN
}

// errEnd ends a script on purpose.
var errEnd = errors.New("script has ended the connection")

func newConn(s *Server, socket net.Conn) *Conn {
	return &Conn{
		server: s, socket: socket, backend: pgproto3.NewBackend(socket, socket),
		release: context.AfterFunc(s.ctx, func() { _ = socket.Close() }),
	}
}

// begin reads the startup message and reports whether the client wants to
// replicate. Encryption is refused, as by a server that is not set up for it.
func (c *Conn) begin() (replication bool, err error) {
	for {
		msg, err := c.backend.ReceiveStartupMessage()
		if err != nil {
			return false, err
		}
		switch m := msg.(type) {
		case *pgproto3.StartupMessage:
			c.user = m.Parameters["user"]
			return m.Parameters["replication"] != "", nil
		case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
			if err := c.write([]byte{'N'}); err != nil {
				return false, err
			}
		default:
			return false, errEnd
		}
	}
}

// send sends messages of the protocol.
func (c *Conn) send(messages ...pgproto3.BackendMessage) error {
	c.mark()
	for _, m := range messages {
		c.backend.Send(m)
	}
	return c.backend.Flush()
}

// write sends bytes.
func (c *Conn) write(b []byte) error {
	c.mark()
	_, err := c.socket.Write(b)
	return err
}

// mark begins a new count of status updates. It is set before something is sent,
// since the answer can be there before the next step begins.
func (c *Conn) mark() { c.server.note(func() { c.since = c.statuses }) }

// awaitStatuses waits for n status updates since the mark.
func (c *Conn) awaitStatuses(n int) error {
	defer c.mark()
	if err := c.server.await(c.gone, func() bool { return c.statuses >= c.since+n }); err != nil {
		return fmt.Errorf("await %d status updates: %w", n, unmet{err})
	}
	return nil
}

// awaitFlush waits until the client has told lsn, or more, as flushed.
func (c *Conn) awaitFlush(lsn pgoutput.LSN) error {
	var at pgoutput.LSN
	err := c.server.await(c.gone, func() bool {
		at = c.flushed
		return at >= lsn
	})
	if err != nil {
		return fmt.Errorf("await flushed position %v, it is %v: %w", lsn, at, unmet{err})
	}
	return nil
}

// unmet is an expectation that was not met: nothing excuses it.
type unmet struct{ err error }

func (u unmet) Error() string { return u.err.Error() }

// listen reads, until the client leaves, what it says while it is streamed to.
func (c *Conn) listen() {
	c.gone = make(chan struct{})
	c.listening.Go(func() {
		defer close(c.gone)
		for {
			msg, err := c.backend.Receive()
			if err == nil {
				err = c.take(msg)
			}
			if err != nil {
				c.judge("stream", err)
				return
			}
		}
	})
}

// statusSize is the length of a standby status update (PostgreSQL
// documentation, streaming replication protocol).
const statusSize = 1 + 4*8 + 1

// take notes what the client says in the stream.
func (c *Conn) take(msg pgproto3.FrontendMessage) error {
	if _, ok := msg.(*pgproto3.Terminate); ok {
		return errEnd
	}
	data, ok := msg.(*pgproto3.CopyData)
	if !ok {
		return nil // CopyDone; Terminate follows
	}
	if len(data.Data) != statusSize || data.Data[0] != 'r' {
		return fmt.Errorf("message of %d bytes is no status update: %q", len(data.Data), data.Data)
	}
	lsn := position(data.Data[9:])
	c.server.note(func() {
		c.statuses, c.flushed = c.statuses+1, lsn
		c.server.flushed = append(c.server.flushed, lsn)
	})
	return nil
}

// judge fails the test if err is more than the end of a script or of the client.
func (c *Conn) judge(where string, err error) {
	var op *net.OpError
	switch {
	case err == nil, errors.Is(err, errEnd), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.As(err, &op):
	default:
		c.server.t.Errorf("fake server, %s: %v", where, err)
	}
}

// finish closes the connection as a server does that has said all: the client
// gets to read it, and is waited for.
func (c *Conn) finish() {
	if tcp, ok := c.socket.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	c.awaitLeave()
}

// awaitLeave waits until the client leaves.
func (c *Conn) awaitLeave() {
	if c.gone == nil {
		_, _ = io.Copy(io.Discard, c.socket)
	}
	c.listening.Wait()
}

// end gives everything back.
func (c *Conn) end() {
	c.release()
	_ = c.socket.Close()
	c.listening.Wait()
}
