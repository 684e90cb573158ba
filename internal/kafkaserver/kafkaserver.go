// Package kafkaserver starts private Apache Kafka servers for tests and
// benchmarks, on 127.0.0.1 and free ports: one node that is broker and
// controller (KRaft), a Java process of its own that can be killed with SIGKILL
// and started again on the same ports and logs.
//
// A server has two listeners for clients. That of [Server.Addr] speaks what the
// [Options] say: TLS, SASL, an advertised address that is a proxy's. That of
// [Server.AdminAddr] is always open and plain, for what a test does behind the
// back of the code it tests; who comes in there may do everything.
//
// It needs Java 17 and Kafka's jars: make deps installs both. A process ends
// with [Server.Close] and also when its parent is killed.
package kafkaserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	host = "127.0.0.1"
	// startTimeout bounds what the caller's context does not.
	startTimeout = 2 * time.Minute
	// pollInterval is how often a server that is coming up is asked.
	pollInterval = 20 * time.Millisecond
	// portAttempts is how many sets of ports are tried until all are free.
	portAttempts = 5
	// logTail is how many bytes of the log an error shows.
	logTail = 6 << 10
)

// Server is a Kafka server in a process of its own. Its methods may be called
// from several goroutines.
type Server struct {
	folder  *child.Folder
	options Options
	java    java

	mu        sync.Mutex // guards what follows, and keeps starts and stops apart
	ports     ports
	formatted bool
	process   *child.Process
}

// ports are where a server listens.
type ports struct{ client, admin, controller int }

// Start starts a server and returns once it takes messages. Without a deadline
// in ctx it gives up after two minutes. An error holds the end of the server's
// log. The server outlives ctx: end it with Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	j, err := findJava()
	if err != nil {
		return nil, err
	}
	folder, err := child.NewFolder(filepath.Join(os.TempDir(), "walherald-kafka-*"))
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder, options: opts, java: j}
	if err := s.startAnywhere(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// errEnded says that the server's process ended while it was starting.
var errEnded = errors.New("it ended")

// startAnywhere starts the server on the first free ports that it gets.
func (s *Server) startAnywhere(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for range portAttempts {
		if s.ports, err = freePorts(); err != nil {
			return err
		}
		if err = s.start(ctx); !errors.Is(err, errEnded) {
			return err
		}
	}
	return err
}

func freePorts() (ports, error) {
	var picked [3]int
	for i := range picked {
		port, err := child.FreePort()
		if err != nil {
			return ports{}, err
		}
		if i > 0 && (port == picked[0] || i > 1 && port == picked[1]) {
			return freePorts()
		}
		picked[i] = port
	}
	return ports{client: picked[0], admin: picked[1], controller: picked[2]}, nil
}

// start starts the server on its ports and waits until it takes messages.
func (s *Server) start(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.configure(ctx); err != nil {
		return err
	}
	log, err := os.OpenFile(s.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(s.java.program, s.arguments("kafka.Kafka", s.path("server.properties"))...)
	cmd.Stdout, cmd.Stderr = log, log
	if s.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	if err := s.awaitReady(ctx); err != nil {
		return errors.Join(err, s.process.Kill())
	}
	return nil
}

// awaitReady polls until the server takes messages, has ended or ctx ends.
func (s *Server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := s.probe(ctx)
		if err == nil {
			return nil
		}
		if !s.process.Running() {
			return fmt.Errorf("start Kafka: %w: %w\n%s", errEnded, s.process.Wait(ctx), s.LogTail())
		}
		select {
		case <-tick.C:
		case <-s.process.Done():
		case <-ctx.Done():
			return fmt.Errorf("start Kafka: %w; last connection attempt: %w\n%s", ctx.Err(), err, s.LogTail())
		}
	}
}

// bounded gives ctx a deadline if it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, startTimeout)
}

// Addr returns host:port of the listener that the options are about; it is the
// same after Restart.
func (s *Server) Addr() string { return s.addr(func(p ports) int { return p.client }) }

// AdminAddr returns host:port of the listener that is open to all.
func (s *Server) AdminAddr() string { return s.addr(func(p ports) int { return p.admin }) }

func (s *Server) addr(port func(ports) int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return address(port(s.ports))
}

func address(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// Pid returns the id of the process that was started last.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Pid()
}

// State returns what the kernel counted for the process that was started last
// (CPU time; memory in SysUsage, a *syscall.Rusage), or nil as long as it runs.
func (s *Server) State() *os.ProcessState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.State()
}

// Signal sends sig to the server: SIGSTOP stops it in the middle of what it
// does, SIGCONT lets it go on. A server that has ended is no error.
func (s *Server) Signal(sig os.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Signal(sig)
}

// Kill kills the server with SIGKILL and waits until it has gone. A server that
// has ended is no error.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Kill()
}

// Restart starts the server again, on the same ports and the same logs, and
// returns once it takes messages. A running server is killed first.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.process.Kill(); err != nil {
		return err
	}
	return s.startAgain(ctx)
}

// startAgain starts the server on ports it had before. Connections of the one
// that was killed can keep them taken for a moment.
func (s *Server) startAgain(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := s.start(ctx)
		if !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "Address already in use") {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// Close ends the server at once, if it runs, and removes its folder. It may be
// called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.process != nil {
		err = s.process.Kill()
	}
	return errors.Join(err, s.folder.Remove())
}

func (s *Server) path(name string) string { return filepath.Join(s.folder.Path, name) }

// LogTail returns the last 6 kB of the server's log, which all its starts share,
// or why there are none.
func (s *Server) LogTail() string {
	log, err := os.ReadFile(s.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-logTail):])
}
