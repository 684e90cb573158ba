package pubsubserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/walherald/walherald/internal/pgserver/child"
)

// maxReceive is the largest request that is read at all: enough for one that is
// refused for its size.
const maxReceive = 32 << 20

// A Fault stands between a client and the server for each unary call. method is
// the call's full name, such as /google.pubsub.v1.Publisher/Publish; handle
// passes the request on and returns the server's answer. What the Fault returns
// is what the client gets. It may be called from several goroutines.
type Fault func(ctx context.Context, method string, req any, handle func() (any, error)) (any, error)

// MethodPublish is the full name of the call that stores messages.
const MethodPublish = pubsubpb.Publisher_Publish_FullMethodName

// Fake is a Pub/Sub server in this process. Its methods may be called from
// several goroutines.
type Fake struct {
	store *pstest.Server
	tls   credentials.TransportCredentials
	fault atomic.Pointer[Fault]

	mu     sync.Mutex // guards what follows, and keeps starts and stops apart
	addr   string
	server *grpc.Server  // nil if it is not running
	ended  chan struct{} // closed when the server has
}

// portAttempts is how many ports are tried until one can be listened on.
const portAttempts = 5

// StartFake starts a Fake. tls is nil for one without. End it with Close.
func StartFake(tls credentials.TransportCredentials) (*Fake, error) {
	f := &Fake{store: pstest.NewServer(), tls: tls}
	var err error
	for range portAttempts {
		var port int
		if port, err = child.FreePort(); err != nil {
			break
		}
		f.addr = fmt.Sprintf("%s:%d", host, port)
		if err = f.Restart(); err == nil {
			return f, nil
		}
	}
	return nil, errors.Join(err, f.Close())
}

// FakeForTest starts a Fake without TLS that ends with the test.
func FakeForTest(t testing.TB) *Fake {
	t.Helper()
	return fakeForTest(t, nil)
}

// FakeTLSForTest starts a Fake that speaks TLS and ends with the test.
func FakeTLSForTest(t testing.TB, tls credentials.TransportCredentials) *Fake {
	t.Helper()
	return fakeForTest(t, tls)
}

func fakeForTest(t testing.TB, tls credentials.TransportCredentials) *Fake {
	t.Helper()
	f, err := StartFake(tls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("close %v: %v", f, err)
		}
	})
	return f
}

// String says which server this is.
func (*Fake) String() string { return "the in-process Pub/Sub server of package pstest" }

// Addr returns the address to connect to, host:port.
func (f *Fake) Addr() string { return f.addr }

// Inject puts a Fault before the server; nil takes it away.
func (f *Fake) Inject(fault Fault) {
	if fault == nil {
		f.fault.Store(nil)
		return
	}
	f.fault.Store(&fault)
}

// Kill cuts all connections and stops listening. What is stored stays.
func (f *Fake) Kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server == nil {
		return
	}
	f.server.Stop()
	<-f.ended
	f.server = nil
}

// Restart listens again on the same port, with what is stored.
func (f *Fake) Restart() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		return errors.New("restart the Pub/Sub server: it is running")
	}
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		return fmt.Errorf("restart the Pub/Sub server: %w", err)
	}
	opts := []grpc.ServerOption{grpc.UnaryInterceptor(f.intercept), grpc.MaxRecvMsgSize(maxReceive), grpc.WaitForHandlers(true)}
	if f.tls != nil {
		opts = append(opts, grpc.Creds(f.tls))
	}
	server, ended := grpc.NewServer(opts...), make(chan struct{})
	pubsubpb.RegisterPublisherServer(server, &f.store.GServer)
	pubsubpb.RegisterSubscriberServer(server, &f.store.GServer)
	iampb.RegisterIAMPolicyServer(server, iampb.UnimplementedIAMPolicyServer{}) // for a Fault to answer
	f.server, f.ended = server, ended
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // ends by Stop alone
	}()
	return nil
}

// Close ends the server and forgets what it holds. It may be called more than once.
func (f *Fake) Close() error {
	f.Kill()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.store == nil {
		return nil
	}
	err := f.store.Close()
	f.store.Wait()
	f.store = nil
	return err
}

// Messages returns the messages of a topic (projects/p/topics/t) in the order in
// which they were stored.
func (f *Fake) Messages(topic string) []*pstest.Message {
	var all []*pstest.Message
	for _, m := range f.store.Messages() {
		if m.Topic == topic {
			all = append(all, m)
		}
	}
	return all
}

func (f *Fake) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	handle := func() (any, error) {
		if err := refuse(req); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
	if fault := f.fault.Load(); fault != nil {
		return (*fault)(ctx, info.FullMethod, req, handle)
	}
	return handle()
}
