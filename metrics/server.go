package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Bounds of one request. Answers are small and made from memory: who needs
// longer is stuck or means harm.
const (
	readTimeout   = 5 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
	shutdownGrace = 5 * time.Second
)

// Server answers HTTP requests at one address.
type Server struct {
	listener net.Listener
	http     *http.Server
	grace    time.Duration  // for requests under way at the end
	conns    sync.WaitGroup // goroutines of open connections
}

// Listen binds addr, "host:port", at once: an address that is taken is an error
// here, not later. A port of 0 means any free one, see [Server.Addr]. The caller
// owes the server a call of Serve or of Close. The handlers of h must heed the
// context of their request.
func Listen(addr string, h http.Handler) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("open HTTP address: %w", err)
	}
	s := &Server{listener: listener, grace: shutdownGrace}
	s.http = &http.Server{
		Handler:        reported(h),
		ReadTimeout:    readTimeout,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeader,
		ConnState:      s.track,
	}
	return s, nil
}

// reported is h, whose panics, of which net/http ends only the request, are reported.
func reported(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer ReportPanic()
		h.ServeHTTP(w, r)
	})
}

// Addr returns the address that was bound.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers requests until ctx ends, which is no error, or the listener
// fails. It then gives requests under way 5 seconds, cuts off what is left, and
// returns once all its goroutines have ended. It can be called once.
func (s *Server) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	var err error
	select {
	case <-ctx.Done():
		s.stop(ctx)
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) { // which was us
			err = fmt.Errorf("serve HTTP at %s: %w", s.Addr(), ended)
		}
	case err = <-served:
		err = fmt.Errorf("serve HTTP at %s: %w", s.Addr(), err)
		s.stop(ctx)
	}
	s.conns.Wait()
	return err
}

// Close gives up the address of a server that was never served.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil {
		return fmt.Errorf("close HTTP address %s: %w", s.Addr(), err)
	}
	return nil
}

func (s *Server) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // cutting off is all that is left to do
	}
}

// track counts connections: http.Server waits for those it closes in peace, but
// not for those it cuts off.
func (s *Server) track(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	case http.StateActive, http.StateIdle:
	}
}

// Endpoint is an address and what is served there.
type Endpoint struct {
	// Key is the configuration's key of Addr, which is host:port, or empty for none.
	Key, Addr string
	Handler   http.Handler
	// Path is the pattern that Handler answers, which another endpoint at the same
	// address does not; empty for all.
	Path string
	// All is whether Handler answers whatever other endpoints answer.
	All bool
	// GivesWay is whether the endpoint can be left out if its address is taken.
	GivesWay bool
}

// ListenAll binds the addresses of the endpoints; one without an address is left out.
// Those at one address share a server. An error names the key it is about and leaves
// nothing bound; gone is told of an endpoint that gives way.
func ListenAll(endpoints []Endpoint, gone func(e Endpoint, err error)) ([]*Server, error) {
	var servers []*Server
	for _, e := range together(endpoints) {
		s, err := Listen(e.Addr, e.Handler)
		switch {
		case err == nil:
			servers = append(servers, s)
		case e.GivesWay:
			gone(e, err)
		default:
			for _, opened := range servers {
				_ = opened.Close()
			}
			return nil, fmt.Errorf("%s: %w", e.Key, err)
		}
	}
	return servers, nil
}

// together makes one of the endpoints at one address. Those that give way come last.
func together(endpoints []Endpoint) []Endpoint {
	var list []Endpoint
	for _, e := range endpoints {
		i := slices.IndexFunc(list, func(o Endpoint) bool { return sameAddr(o.Addr, e.Addr) })
		switch {
		case e.Addr == "":
		case i < 0:
			list = append(list, e)
		default:
			list[i] = list[i].with(e)
		}
	}
	slices.SortStableFunc(list, func(a, b Endpoint) int {
		return cmp.Compare(one(a.GivesWay), one(b.GivesWay))
	})
	return list
}

// with is two endpoints at one address as one.
func (e Endpoint) with(o Endpoint) Endpoint {
	joined := Endpoint{Key: e.Key + " and " + o.Key, Addr: e.Addr, All: e.All || o.All}
	switch {
	case o.All:
		joined.Handler = o.Handler
	case e.All:
		joined.Handler = e.Handler
	default:
		both := http.NewServeMux()
		both.Handle(cmp.Or(e.Path, "/"), e.Handler)
		both.Handle(cmp.Or(o.Path, "/"), o.Handler)
		joined.Handler = both
	}
	return joined
}

// sameAddr reports whether a and b are one address, however it is written. Two
// that ask for any free port (0) are two.
func sameAddr(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || (anyHost(hostA) && anyHost(hostB))
}

func anyHost(host string) bool {
	return host == "" || net.ParseIP(host).IsUnspecified()
}
