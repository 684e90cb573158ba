// Package receiver is an HTTP server for tests: it keeps every request and answers
// as it was told, with the faults that endpoints have.
//
//	r := receiver.New(t, receiver.Options{
//		Answer: receiver.First(2, receiver.Status(503), receiver.Status(204)),
//	})
//	send(r.URL() + "/hook")
//	r.Await(t, 3)
//	requests := r.Requests()
//
// [Options.Answer] chooses a [Reply] for each request: [Status], [RetryAfterSeconds],
// [RetryAfterDate], [Redirect], [Body], [Header], [Hang], [Delay], [Reset], [CloseEarly],
// [CutBody], [SlowBody], [HugeBody], [Raw], or any function of an http.Handler. [First],
// [FirstPer] and [Sequence] make answers that change; [Receiver.SetAnswer] changes
// them while requests come in. It speaks HTTP/1.1, and with [Options.TLS] HTTP/2 too.
package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Options say how a receiver listens and answers. The zero value answers 200 to
// everything, on a free port of 127.0.0.1, without TLS.
type Options struct {
	// Answer chooses what a request gets; nil, like a nil Reply, means 200. It is
	// called by several goroutines at once.
	Answer Answer
	// TLS makes it an https server; package testcert has certificates.
	TLS *tls.Config
	// Address is where to listen; empty means 127.0.0.1:0. [Receiver.Addr] of one
	// that was closed lets another take its place.
	Address string
	// Forget counts requests instead of keeping them, for long measurements.
	Forget bool
}

// Request is one request as it came in.
type Request struct {
	// N is the request's number in the order of arrival, from 1.
	N      int
	Method string
	// Path is without the query.
	Path, Query string
	Host        string
	Proto       string // HTTP/1.1 or HTTP/2.0
	Header      http.Header
	Body        []byte
	// Client is the common name of the certificate that the client showed.
	Client string
	// Arrived is when the body had been read; Ended when the reply was over,
	// zero as long as it is not.
	Arrived, Ended time.Time
	// Concurrent is how many requests were under way then, this one included.
	Concurrent int
}

// Receiver is a running server. Its methods may be called from several goroutines.
type Receiver struct {
	opts     Options
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup // the accepting goroutine
	open     sync.WaitGroup // connections
	once     sync.Once

	mu          sync.Mutex // guards what follows
	answer      Answer
	requests    []Request
	arrived     int
	ended       int
	active      int
	peak        int
	connections int
	changed     chan struct{} // closed and replaced whenever arrived or ended grow
}

// New starts a receiver, which the test's end closes.
func New(t testing.TB, opts Options) *Receiver {
	t.Helper()
	if opts.Address == "" {
		opts.Address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", opts.Address)
	if err != nil {
		t.Fatalf("start receiver: %v", err)
	}
	r := &Receiver{opts: opts, listener: l, answer: opts.Answer, changed: make(chan struct{})}
	r.server = &http.Server{
		Handler:           http.HandlerFunc(r.serve),
		ConnState:         r.connState,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ErrorLog:          log.New(io.Discard, "", 0), // failed handshakes are what tests ask for
		TLSConfig:         opts.TLS,
		ReadHeaderTimeout: time.Minute,
	}
	r.serving.Go(func() {
		if err := r.listen(); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("run receiver: %v", err)
		}
	})
	t.Cleanup(r.Close)
	return r
}

func (r *Receiver) listen() error {
	if r.opts.TLS != nil {
		return r.server.ServeTLS(r.listener, "", "")
	}
	return r.server.Serve(r.listener)
}

// Close closes the port and all connections, ends replies that hang, and waits for
// them. What was recorded stays.
func (r *Receiver) Close() {
	r.once.Do(func() {
		_ = r.server.Close() // of a listener that is gone anyway
		r.serving.Wait()
		r.open.Wait()
	})
}

// URL returns http://host:port or https://host:port, without a slash at its end.
func (r *Receiver) URL() string {
	if r.opts.TLS != nil {
		return "https://" + r.Addr()
	}
	return "http://" + r.Addr()
}

// Addr returns host:port.
func (r *Receiver) Addr() string { return r.listener.Addr().String() }

// SetAnswer replaces Options.Answer for requests from now on.
func (r *Receiver) SetAnswer(a Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = a
}

// Requests returns the requests so far in the order of arrival. Headers and bodies
// are shared and must not be written to.
func (r *Receiver) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Count returns how many requests have arrived.
func (r *Receiver) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.arrived
}

// Peak returns how many requests were under way at once at most.
func (r *Receiver) Peak() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peak
}

// Connections returns how many connections have been accepted.
func (r *Receiver) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connections
}

func (r *Receiver) connState(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		r.open.Add(1)
		r.mu.Lock()
		r.connections++
		r.mu.Unlock()
	case http.StateClosed, http.StateHijacked: // a reply that took it over closes it
		r.open.Done()
	}
}

func (r *Receiver) serve(w http.ResponseWriter, hr *http.Request) {
	body, err := io.ReadAll(hr.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away in the middle
	}
	req, answer := r.arrive(hr, body)
	defer r.end(req.N)
	var reply Reply
	if answer != nil {
		reply = answer(&req)
	}
	if reply != nil {
		reply(w, hr)
	}
}

// arrive records a request and returns it with the answer that holds for it.
func (r *Receiver) arrive(hr *http.Request, body []byte) (Request, Answer) {
	req := Request{
		Method: hr.Method, Path: hr.URL.Path, Query: hr.URL.RawQuery, Host: hr.Host, Proto: hr.Proto,
		Header: hr.Header, Body: body,
	}
	if hr.TLS != nil && len(hr.TLS.PeerCertificates) > 0 {
		req.Client = hr.TLS.PeerCertificates[0].Subject.CommonName
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrived++
	r.active++
	r.peak = max(r.peak, r.active)
	req.N, req.Arrived, req.Concurrent = r.arrived, time.Now(), r.active
	if !r.opts.Forget {
		r.requests = append(r.requests, req)
	}
	r.signal()
	return req, r.answer
}

func (r *Receiver) end(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active--
	r.ended++
	if !r.opts.Forget {
		r.requests[n-1].Ended = time.Now()
	}
	r.signal()
}
