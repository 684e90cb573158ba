// Package rabbitserver starts private RabbitMQ nodes for tests and benchmarks,
// on 127.0.0.1 and free ports, from Debian's package rabbitmq-server or the
// folder that the environment variable WALHERALD_RABBITMQ_BIN names.
//
// A node has everything of its own: store, log, cookie, ports, and the name
// server that Erlang wants (epmd), which would otherwise stay behind. It starts
// in about three seconds, so tests share one where they can. [Server.Kill] and
// [Server.Restart] treat it as a power switch would, [Server.Control] is
// rabbitmqctl. The package's own service is neither needed nor touched.
//
// Its processes end with [Server.Close] and also when their parent is killed.
package rabbitserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	host = "127.0.0.1"
	// startTimeout bounds what the caller's context does not.
	startTimeout = time.Minute
	// pollInterval is how often a node that is coming up is asked.
	pollInterval = 20 * time.Millisecond
	// portAttempts is how many sets of ports are tried until one can be had.
	portAttempts = 5
	// logTail is how many bytes of the log an error shows.
	logTail = 4 << 10
)

// Options say how a node differs from the usual one. The zero value is useful.
type Options struct {
	// MaxMessageSize is the largest body in bytes; 0 means the node's 128 MiB.
	MaxMessageSize int
	// TLS adds a listener for TLS; nil means none.
	TLS *TLS
}

// TLS names the PEM files of the TLS listener.
type TLS struct {
	CACert, Cert, Key string
	// RequireClientCert refuses clients without a certificate of CACert's.
	RequireClientCert bool
}

// Server is a RabbitMQ node. Its methods may be called from several goroutines.
type Server struct {
	programs string // the folder of RabbitMQ's scripts
	name     string // of the node, before the @
	folder   *child.Folder
	options  Options

	mu    sync.Mutex // guards what follows, and keeps starts and stops apart
	ports ports
	epmd  *child.Process
	node  *child.Process
}

// ports are where a node listens.
type ports struct{ amqp, tls, epmd, distribution int }

// Start starts a node and returns once it takes connections. Without a deadline
// in ctx it gives up after a minute. An error holds the end of the node's log.
// The node outlives ctx: end it with Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	folder, err := child.NewFolder(filepath.Join(os.TempDir(), "walherald-rabbitmq-*"))
	if err != nil {
		return nil, err
	}
	s := &Server{programs: programs, name: filepath.Base(folder.Path), folder: folder, options: opts}
	if err := s.startAnywhere(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// startAnywhere starts the node on the first set of free ports that it gets.
func (s *Server) startAnywhere(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := bounded(ctx)
	defer cancel()
	var err error
	for range portAttempts {
		if err = s.pickPorts(); err != nil {
			return err
		}
		if err = s.start(ctx); !errors.Is(err, errEnded) {
			return err
		}
	}
	return err
}

func (s *Server) pickPorts() error {
	for _, port := range []*int{&s.ports.amqp, &s.ports.tls, &s.ports.epmd, &s.ports.distribution} {
		var err error
		if *port, err = child.FreePort(); err != nil {
			return err
		}
	}
	return nil
}

// bounded gives ctx a deadline if it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, startTimeout)
}

// Addr returns the node's address, host:port; it is the same after Restart.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return address(s.ports.amqp)
}

// TLSAddr returns the address of the listener of Options.TLS.
func (s *Server) TLSAddr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return address(s.ports.tls)
}

func address(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// URL returns the node's URL for user guest, who may do everything.
func (s *Server) URL() string { return "amqp://guest:guest@" + s.Addr() + "/" }

// Pid returns the id of the process that was started last.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node.Pid()
}

// State returns what the kernel counted for the process that was started last
// (CPU time; memory in SysUsage, a *syscall.Rusage), or nil as long as it runs.
func (s *Server) State() *os.ProcessState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node.State()
}

// Kill kills the node with SIGKILL and waits until it has gone. A node that has
// ended is no error.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node.Kill()
}

// Stop stops the node in order and waits until it has gone. If ctx ends first it
// is killed and the error says so. A node that has ended is no error.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.node.Stop(ctx, syscall.SIGTERM)
}

// Restart starts the node again, on the same ports and the same store, and
// returns once it takes connections. A running node is stopped first.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.node.Stop(ctx, syscall.SIGTERM); err != nil {
		return err
	}
	return s.start(ctx)
}

// Close ends the node at once, if it runs, and removes its folder. It may be
// called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, p := range []*child.Process{s.node, s.epmd} {
		if p != nil {
			err = errors.Join(err, p.Kill())
		}
	}
	return errors.Join(err, s.folder.Remove())
}

// LogTail returns the last 4 kB of the node's log, which all its starts share,
// or why there are none.
func (s *Server) LogTail() string {
	log, err := os.ReadFile(s.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-logTail):])
}

func (s *Server) path(name string) string { return filepath.Join(s.folder.Path, name) }

// findPrograms returns the folder of rabbitmq-server and rabbitmqctl.
func findPrograms() (string, error) {
	folder := os.Getenv("WALHERALD_RABBITMQ_BIN")
	if folder == "" {
		folder = "/usr/lib/rabbitmq/bin" // the scripts in the PATH ask for another user
	}
	for _, program := range []string{"rabbitmq-server", "rabbitmqctl"} {
		if _, err := os.Stat(filepath.Join(folder, program)); err != nil {
			return "", fmt.Errorf("find RabbitMQ: no %s in %s: run scripts/deps.sh rabbitmq, or set WALHERALD_RABBITMQ_BIN to the folder it is in",
				program, folder)
		}
	}
	return folder, nil
}
