// Package faultproxy is a TCP proxy that fails on command: tests put it between
// walherald and a server to see what a network does at its worst.
//
//	p, err := faultproxy.Listen(server)
//	defer p.Close()
//	connect(p.Addr())
//	p.CutAfter(5000) // in the middle of a batch
//
// It is exact where a general proxy is not: [Proxy.CutAfter] lets through as
// many bytes as it was told and not one more, and [Proxy.CutRepliesAfter] does
// the same for what comes back, so that a request was carried out but its
// confirmation is lost. [Proxy.Retarget] leads clients to another server, as when
// a standby takes over. Connections are cut with RST, as by a host that lost its
// state, unless the documentation says otherwise.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Proxy forwards connections to one upstream at a time. Its methods may be called
// from several goroutines.
type Proxy struct {
	listener net.Listener
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	running  sync.WaitGroup // everything the proxy has started

	mu       sync.Mutex // guards what follows
	upstream string
	links    map[*link]struct{}
	refuse   bool
	closed   bool
	// open is closed while bytes may pass; Blackhole replaces it.
	open chan struct{}
	// budget is how many bytes may still pass before the cut, by direction;
	// negative means no cut is planned.
	budget [2]int64
}

// direction is an index into Proxy.budget.
type direction int

const (
	requests direction = iota // to the upstream
	replies                   // from the upstream
)

// Listen starts a proxy on a free port of 127.0.0.1 for the upstream's address,
// host:port. The upstream is dialled once for every connection and need not run
// yet.
func Listen(upstream string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start fault proxy: %w", err)
	}
	p := &Proxy{
		upstream: upstream,
		listener: l,
		links:    make(map[*link]struct{}),
		open:     make(chan struct{}),
		budget:   [2]int64{-1, -1},
	}
	close(p.open)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Add(1)
	go p.accept()
	return p, nil
}

// Addr returns the address to connect to instead of the upstream's.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Connections returns how many connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Cut resets all connections at once, towards both sides. New ones are taken.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Retarget makes upstream, host:port, the address of all connections that are
// made from now on, and resets those that are open: as a name or a virtual
// address does that moves from a server to its standby. What was planned or
// switched on stays so.
func (p *Proxy) Retarget(upstream string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = upstream
	for l := range p.links {
		l.reset()
	}
}

// CutAfter plans one cut: once n more bytes have gone to the upstream, over all
// connections together, every connection is reset; with n = 0 that is when the
// next byte would go. Where the last byte went, the upstream gets to read it and
// then the end of the connection (FIN, because RST could overtake the byte). A
// plan replaces the one before; a negative n cancels it.
func (p *Proxy) CutAfter(n int64) { p.plan(requests, n) }

// CutRepliesAfter is CutAfter for the bytes that come from the upstream: the
// client receives n more of them and then the end of its connection.
func (p *Proxy) CutRepliesAfter(n int64) { p.plan(replies, n) }

func (p *Proxy) plan(dir direction, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget[dir] = n
}

// Blackhole stops all forwarding without a sign to either side, or resumes it:
// connections stay open, new ones are taken, nothing gets through and what was
// sent meanwhile arrives late. A write that is under way may still complete.
func (p *Proxy) Blackhole(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
		if on {
			p.open = make(chan struct{})
		}
	default:
		if !on {
			close(p.open)
		}
	}
}

// Refuse resets new connections as soon as they are made, which a client may see
// when it connects or when it reads, or takes them again.
// Those that are open stay.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Close resets all connections, stops listening and returns when everything the
// proxy has started has ended. It may be called more than once.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	err := p.listener.Close()
	p.Cut()
	p.running.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close fault proxy: %w", err)
	}
	return nil
}

// accept takes connections until the listener is closed.
func (p *Proxy) accept() {
	defer p.running.Done()
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		l, ok := p.admit(conn)
		if !ok {
			abort(conn)
			continue
		}
		go l.run()
	}
}

// admit registers a connection unless it is to be refused.
func (p *Proxy) admit(client net.Conn) (*link, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse || p.closed {
		return nil, false
	}
	l := &link{proxy: p, client: client, target: p.upstream, cut: make(chan struct{})}
	p.links[l] = struct{}{}
	p.running.Add(1)
	return l, true
}

// release forgets a connection that has ended.
func (p *Proxy) release(l *link) {
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	p.running.Done()
}

// gate returns a channel that is closed while bytes may pass.
func (p *Proxy) gate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// take asks to forward n bytes over l: allowed is how many may pass, last says
// that the planned cut comes after them. The plan is then done with and all
// other links are cut.
func (p *Proxy) take(l *link, dir direction, n int) (allowed int, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.budget[dir]
	if left < 0 {
		return n, false
	}
	if int64(n) < left {
		p.budget[dir] = left - int64(n)
		return n, false
	}
	p.budget[dir] = -1
	for other := range p.links {
		if other != l {
			other.reset()
		}
	}
	return int(left), true
}
