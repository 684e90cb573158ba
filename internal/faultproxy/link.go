package faultproxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// lingerTimeout bounds how long the receiver of a link's last bytes has to end
// its connection after ours has ended.
const lingerTimeout = 5 * time.Second

// link is one connection of a client and the one to the upstream that serves it.
type link struct {
	proxy  *Proxy
	client net.Conn
	target string // the upstream's address when the link was made

	mu       sync.Mutex    // guards upstream and the closing of cut
	upstream net.Conn      // nil until it is connected
	cut      chan struct{} // closed once nothing may be forwarded any more
}

// run forwards until both sides or a cut have ended the link.
func (l *link) run() {
	defer l.proxy.release(l)
	defer func() { _ = l.client.Close() }()
	if !l.pass() {
		return
	}
	var dialer net.Dialer
	upstream, err := dialer.DialContext(l.proxy.ctx, "tcp", l.target)
	if err != nil {
		l.reset()
		return
	}
	defer func() { _ = upstream.Close() }()
	if !l.connected(upstream) {
		abort(upstream)
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { l.pump(requests, l.client, upstream) })
	pumps.Go(func() { l.pump(replies, upstream, l.client) })
	pumps.Wait()
}

// connected notes the connection to the upstream; false means that the link was
// cut meanwhile.
func (l *link) connected(upstream net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.upstream = upstream
	return !l.isCut()
}

// pump forwards one direction until its source ends or the link is cut.
func (l *link) pump(dir direction, src, dst net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if !l.pass() {
			return
		}
		if n > 0 {
			allowed, last := l.proxy.take(l, dir, n)
			if _, err := dst.Write(buf[:allowed]); err != nil {
				l.fail()
				return
			}
			if last {
				l.end(src, dst)
				return
			}
		}
		if errors.Is(err, io.EOF) {
			closeWrite(dst)
			return
		}
		if err != nil {
			l.fail()
			return
		}
	}
}

// pass waits while the proxy is a black hole and reports whether the link may
// still forward.
func (l *link) pass() bool {
	select {
	case <-l.proxy.gate():
	case <-l.cut:
	}
	return !l.isCut()
}

func (l *link) isCut() bool {
	select {
	case <-l.cut:
		return true
	default:
		return false
	}
}

// stop ends all forwarding; it is false if something else has before.
func (l *link) stop() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut() {
		return false
	}
	close(l.cut)
	return true
}

// fail passes a broken connection on to the other side, unless we broke it.
func (l *link) fail() {
	if l.stop() {
		l.reset()
	}
}

// reset cuts the link towards both sides. It may be called at any time, also to
// hurry one that is ending.
func (l *link) reset() {
	l.stop()
	abort(l.client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.upstream != nil {
		abort(l.upstream)
	}
}

// end cuts the link after the last bytes for dst: src is reset, dst gets to read
// them and then the end. What dst still sends is read and dropped, because
// closing a connection with unread data would reset it.
func (l *link) end(src, dst net.Conn) {
	if !l.stop() {
		return
	}
	closeWrite(dst)
	abort(src)
	_ = dst.SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.Copy(io.Discard, dst)
}

// abort closes a connection with RST: unsent data is dropped.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// closeWrite sends FIN after all data.
func closeWrite(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}
