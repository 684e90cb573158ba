package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
		Handler:        h,
		ReadTimeout:    readTimeout,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeader,
		ConnState:      s.track,
	}
	return s, nil
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

// ListenAll binds the address of the probes (listener.serverPort) and that of
// the metrics (monitoring.promAddr); an empty one is left out. Where both are
// the same, one server answers for both. An error names the key it is about and
// leaves nothing bound.
func ListenAll(probeAddr, metricsAddr string, h *Health, g prometheus.Gatherer) ([]*Server, error) {
	var servers []*Server
	for _, e := range endpoints(probeAddr, metricsAddr, h, g) {
		s, err := Listen(e.addr, e.handler)
		if err != nil {
			for _, opened := range servers {
				_ = opened.Close()
			}
			return nil, fmt.Errorf("%s: %w", e.key, err)
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// endpoint is an address, what it serves, and the keys it was configured by.
type endpoint struct {
	key, addr string
	handler   http.Handler
}

func endpoints(probeAddr, metricsAddr string, h *Health, g prometheus.Gatherer) []endpoint {
	if probeAddr != "" && sameAddr(probeAddr, metricsAddr) {
		both := http.NewServeMux()
		both.Handle("/", ProbeHandler(h))
		both.Handle("/metrics", MetricsHandler(g))
		return []endpoint{{"listener.serverPort and monitoring.promAddr", probeAddr, both}}
	}
	var list []endpoint
	if probeAddr != "" {
		list = append(list, endpoint{"listener.serverPort", probeAddr, ProbeHandler(h)})
	}
	if metricsAddr != "" {
		list = append(list, endpoint{"monitoring.promAddr", metricsAddr, MetricsHandler(g)})
	}
	return list
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
