// Package pgfake is a PostgreSQL server that follows a script. Tests use it for
// what a real server does not do on demand: to end in the middle of a message,
// to send what no server should, to fail with a given code.
//
//	db := pgfake.NewDatabase("shop", "slot")
//	server := pgfake.Start(ctx, t, pgfake.Options{Sessions: []pgfake.Script{
//		db.Serve(pgfake.Send(begin, insert), pgfake.SendHalf(commit), pgfake.Reset()),
//		db.Serve(pgfake.Send(begin, insert, commit), pgfake.AwaitFlush(0x18), pgfake.Hang()),
//	}})
//	connect(server.Host(), server.Port())
//
// Each replication connection plays the next script, the last one again and
// again. Other connections play [Options.Ordinary]. The wire protocol is the
// real one: after the startup a script answers queries by rules ([Answer]), and
// from START_REPLICATION on it sends what it likes while all that the client
// says is read and kept beside it.
//
// Nothing outlives the context given to [Start] or the test. A client that
// leaves early is no failure, unless the script waits for something it was to
// say: then, and when it says what the protocol does not allow, the test fails.
package pgfake

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/walherald/walherald/listener/pgoutput"
)

// host is the address every server listens on.
const host = "127.0.0.1"

// Options say what a server does with its connections.
type Options struct {
	// Sessions are the scripts of the replication connections, in the order in
	// which these are made; further ones play the last. With none they play
	// Ordinary.
	Sessions []Script
	// Ordinary is the script of all other connections; without one they are let
	// in and get no rows, whatever they ask.
	Ordinary Script
}

// Server is a fake server. Its methods may be called from several goroutines.
type Server struct {
	t        testing.TB
	opts     Options
	listener net.Listener
	ctx      context.Context // ends everything
	running  sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when anything below changes
	begun   int           // replication connections
	played  int           // those whose script has ended
	queries []string
	starts  []pgoutput.LSN
	flushed []pgoutput.LSN
}

// Start starts a server on a free port. It ends with the test, or with ctx,
// which should have a deadline: scripts wait as long as it lasts.
func Start(ctx context.Context, t testing.TB, opts Options) *Server {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatalf("start fake server: %v", err)
	}
	if opts.Ordinary == nil {
		opts.Ordinary = Script{Login(), Answer()}
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Server{t: t, opts: opts, listener: l, ctx: ctx, changed: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	s.running.Go(s.accept)
	t.Cleanup(func() {
		cancel()
		stop()
		_ = l.Close()
		s.running.Wait()
	})
	return s
}

// Host returns the address the server listens on, 127.0.0.1.
func (s *Server) Host() string { return host }

// Port returns the port the server listens on.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Queries returns what was asked on all connections, in order.
func (s *Server) Queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

// Starts returns the positions START_REPLICATION asked for, in order.
func (s *Server) Starts() []pgoutput.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.starts)
}

// Flushed returns the flushed position of every status update, in the order in
// which they came.
func (s *Server) Flushed() []pgoutput.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.flushed)
}

// AwaitPlayed waits until n scripts of replication connections have ended. It is
// for the test's own goroutine.
func (s *Server) AwaitPlayed(n int) {
	s.t.Helper()
	if err := s.await(nil, func() bool { return s.played >= n }); err != nil {
		s.t.Fatalf("%d scripts played to their end: %v", n, err)
	}
}

// errLeft says that there is nobody left to wait for.
var errLeft = errors.New("the client has left")

// await waits until cond, which is asked under the lock, holds; no longer than
// gone and the server's context let it.
func (s *Server) await(gone <-chan struct{}, cond func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := cond(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-gone:
			return s.lastLook(cond)
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

// lastLook asks once more, since what was waited for may have come last.
func (s *Server) lastLook(cond func() bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cond() {
		return nil
	}
	return errLeft
}

// note changes what the server keeps and wakes those who wait for that.
func (s *Server) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// accept takes connections until the listener is closed.
func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			s.running.Go(func() { s.serve(conn) })
		}
	}
}

// script picks what a connection plays.
func (s *Server) script(replication bool) Script {
	if !replication || len(s.opts.Sessions) == 0 {
		return s.opts.Ordinary
	}
	var n int
	s.note(func() { n, s.begun = s.begun, s.begun+1 })
	return s.opts.Sessions[min(n, len(s.opts.Sessions)-1)]
}

// serve plays one connection.
func (s *Server) serve(socket net.Conn) {
	c := newConn(s, socket)
	defer c.end()
	replication, err := c.begin()
	if err != nil {
		return // a request to cancel something, or nobody who speaks the protocol
	}
	c.judge("script", Play(s.script(replication))(c))
	c.finish()
	if replication {
		s.note(func() { s.played++ })
	}
}
