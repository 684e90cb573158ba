package faultproxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is a server whose connections the test handles itself.
type upstream struct {
	t     *testing.T
	conns chan net.Conn
	addr  string
}

// newUpstream starts a server; everything it accepts ends with the test.
func newUpstream(t *testing.T) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{t: t, conns: make(chan net.Conn, 16), addr: l.Addr().String()}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			u.conns <- conn
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
	})
	return u
}

// next returns the next connection that reached the upstream.
func (u *upstream) next() net.Conn {
	u.t.Helper()
	select {
	case conn := <-u.conns:
		return guarded(u.t, conn)
	case <-time.After(10 * time.Second):
		u.t.Fatal("no connection reached the upstream")
		return nil
	}
}

// guarded keeps a test that goes wrong from waiting for ever.
func guarded(t *testing.T, conn net.Conn) net.Conn {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func newProxy(t *testing.T, addr string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return guarded(t, conn)
}

// pair returns a proxy and both ends of one connection through it.
func pair(t *testing.T) (p *faultproxy.Proxy, client, server net.Conn) {
	t.Helper()
	u := newUpstream(t)
	p = newProxy(t, u.addr)
	client = dial(t, p)
	return p, client, u.next()
}

func send(t *testing.T, conn net.Conn, data string) {
	t.Helper()
	if _, err := io.WriteString(conn, data); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("received %q, %v; want %q", got, err, want)
	}
}

func expectReset(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read %d bytes, %v; want a reset", n, err)
	}
}

// expectRefusal connects and wants a reset, which can come before Dial returns.
func expectRefusal(t *testing.T, p *faultproxy.Proxy) {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err == nil {
		expectReset(t, guarded(t, conn))
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("dial: %v, want a reset", err)
	}
}

func expectEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("read %d bytes, %v; want the end", n, err)
	}
}

func TestBytesPassBothWaysAndTheEndTheOtherWayRound(t *testing.T) {
	_, client, server := pair(t)
	send(t, client, "request")
	expect(t, server, "request")
	send(t, server, "reply")
	expect(t, client, "reply")
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expectEnd(t, server)
	send(t, server, "late reply")
	_ = server.Close()
	expect(t, client, "late reply")
	expectEnd(t, client)
}

func TestResetPassesThrough(t *testing.T) {
	_, client, server := pair(t)
	if err := server.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	expectReset(t, client)
}

func TestCutResetsBothSidesAndTakesNewConnections(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u.addr)
	client := dial(t, p)
	server := u.next()
	p.Cut()
	expectReset(t, client)
	expectReset(t, server)
	client = dial(t, p)
	server = u.next()
	send(t, client, "again")
	expect(t, server, "again")
}

func TestCutAfterLetsThroughExactlySoManyBytes(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	for _, n := range []int{0, 1, 5000, 100_000} {
		p, client, server := pair(t)
		send(t, client, "before")
		expect(t, server, "before")
		send(t, server, "unread greeting")
		p.CutAfter(int64(n))
		var sending sync.WaitGroup
		sending.Go(func() { _, _ = client.Write(data) }) // fails once it is cut
		got, err := io.ReadAll(server)
		if err != nil || !bytes.Equal(got, data[:n]) {
			t.Errorf("cut after %d: %d bytes came through, %v", n, len(got), err)
		}
		_ = server.Close()
		sending.Wait()
		if _, err := io.Copy(io.Discard, client); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("cut after %d: the client saw %v, want a reset", n, err)
		}
	}
}

func TestCutRepliesAfterLosesTheConfirmationOnly(t *testing.T) {
	p, client, server := pair(t)
	p.CutRepliesAfter(3)
	send(t, client, "request")
	expect(t, server, "request")
	send(t, server, "confirmed")
	expect(t, client, "con")
	expectEnd(t, client)
	expectReset(t, server)
}

func TestPlannedCutHappensOnceAndEndsAllConnections(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u.addr)
	client := dial(t, p)
	server := u.next()
	bystander := dial(t, p)
	_ = u.next()
	p.CutAfter(2)
	send(t, client, "abc")
	expect(t, server, "ab")
	expectEnd(t, server)
	expectReset(t, bystander)
	client = dial(t, p)
	server = u.next()
	send(t, client, "abc")
	expect(t, server, "abc")
}

func TestCancelledPlanCutsNothing(t *testing.T) {
	p, client, server := pair(t)
	p.CutAfter(2)
	p.CutAfter(-1)
	send(t, client, "abc")
	expect(t, server, "abc")
}

func TestBlackholeHoldsBackEverythingAndLosesNothing(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u.addr)
	client := dial(t, p)
	server := u.next()
	send(t, client, "before")
	expect(t, server, "before")

	p.Blackhole(true)
	send(t, client, "held")
	_ = client.(*net.TCPConn).CloseWrite()
	late := dial(t, p)
	send(t, late, "held too")
	// Silence cannot be waited for: give what must not come a moment to come.
	if err := server.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if n, err := server.Read(make([]byte, 1)); n != 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("read %d bytes, %v through a black hole", n, err)
	}
	if len(u.conns) > 0 {
		t.Fatal("a connection came through a black hole")
	}

	p.Blackhole(false)
	guarded(t, server)
	expect(t, server, "held")
	expectEnd(t, server)
	expect(t, u.next(), "held too")
}

func TestCutReachesConnectionsInABlackhole(t *testing.T) {
	p, client, server := pair(t)
	p.Blackhole(true)
	send(t, client, "lost")
	p.Cut()
	expectReset(t, client)
	expectReset(t, server)
}

func TestRefusedConnectionsAreResetAndOpenOnesStay(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u.addr)
	client := dial(t, p)
	server := u.next()
	p.Refuse(true)
	expectRefusal(t, p)
	send(t, client, "still here")
	expect(t, server, "still here")
	p.Refuse(false)
	send(t, dial(t, p), "welcome")
	expect(t, u.next(), "welcome")
}

func TestRetargetResetsWhatIsOpenAndLeadsElsewhere(t *testing.T) {
	before, after := newUpstream(t), newUpstream(t)
	p := newProxy(t, before.addr)
	client := dial(t, p)
	server := before.next()
	send(t, client, "to the first")
	expect(t, server, "to the first")

	p.Retarget(after.addr)
	expectReset(t, client)
	expectReset(t, server)
	client = dial(t, p)
	server = after.next()
	send(t, client, "to the second")
	expect(t, server, "to the second")
	send(t, server, "welcome")
	expect(t, client, "welcome")
	if len(before.conns) > 0 {
		t.Error("a connection went to the first upstream")
	}
}

func TestRetargetReachesConnectionsInABlackhole(t *testing.T) {
	before, after := newUpstream(t), newUpstream(t)
	p := newProxy(t, before.addr)
	p.Blackhole(true)
	send(t, dial(t, p), "lost")
	for p.Connections() == 0 { // taken from the kernel: bounded by the test's timeout
		runtime.Gosched()
	}
	p.Retarget(after.addr)
	late := dial(t, p)
	send(t, late, "held back")
	p.Blackhole(false)
	expect(t, after.next(), "held back")
	if len(before.conns) > 0 {
		t.Error("a connection went to the first upstream")
	}
}

func TestUpstreamThatIsDownResetsTheClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	expectRefusal(t, newProxy(t, l.Addr().String()))
}

func TestCloseEndsEverything(t *testing.T) {
	p, client, server := pair(t)
	send(t, client, "request")
	expect(t, server, "request")
	p.Blackhole(true)
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	expectReset(t, client)
	expectReset(t, server)
	if n := p.Connections(); n != 0 {
		t.Errorf("%d connections are open after Close", n)
	}
	if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Close: %v", err)
	}
}
