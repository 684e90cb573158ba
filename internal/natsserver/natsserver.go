// Package natsserver starts private JetStream servers for tests and benchmarks,
// on 127.0.0.1 and free ports.
//
// [InProcess] runs one inside the test binary, in some milliseconds, which is
// enough for most tests. [Start] and [ForTest] run one as a process of its own
// (command natsd below this package, built into the checkout's bin folder), to
// kill it with SIGKILL, to start it again on the same store or to count its CPU
// time. [StartCluster] runs several that replicate.
//
// A process ends with [Server.Close] and also when its parent is killed.
package natsserver

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

	"github.com/nats-io/nats.go"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	host = "127.0.0.1"
	// startTimeout bounds what the caller's context does not.
	startTimeout = time.Minute
	// pollInterval is how often a server that is coming up is asked.
	pollInterval = 10 * time.Millisecond
	// portAttempts is how many ports are tried until one can be listened on.
	portAttempts = 5
	// logTail is how many bytes of the log an error shows.
	logTail = 4 << 10
)

// Options say how a server differs from the usual one. The zero value is useful.
type Options struct {
	// MaxPayload is the largest message in bytes; 0 means the server's 1 MiB.
	MaxPayload int
	// MaxStore bounds the streams in bytes; 0 means by the disk's free space.
	MaxStore int64
	// SyncAlways forces every message to disk before it is acknowledged. Without
	// it SyncInterval counts, whose zero value means the server's 2 minutes.
	SyncAlways   bool
	SyncInterval time.Duration
}

// Server is a JetStream server in a process of its own. Its methods may be
// called from several goroutines.
type Server struct {
	name    string
	folder  *child.Folder
	options Options
	peers   *peers // nil for a server alone

	mu       sync.Mutex // guards what follows, and keeps starts and stops apart
	port     int
	httpPort int // for monitoring, in a cluster
	process  *child.Process
}

// peers is what a server knows of its cluster.
type peers struct {
	cluster string
	port    int    // where this server listens for the others
	routes  string // URLs of all
}

// Start starts a server and returns once it takes connections. Without a
// deadline in ctx it gives up after a minute; the first start in a checkout
// also builds the server. An error holds the end of the server's log. The server
// outlives ctx: end it with Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	folder, err := child.NewFolder(folderPattern())
	if err != nil {
		return nil, err
	}
	s := &Server{name: "natsd", folder: folder, options: opts}
	if err := s.startAnywhere(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// folderPattern names the folders of servers.
func folderPattern() string { return filepath.Join(os.TempDir(), "walherald-nats-*") }

// errEnded says that the server's process ended while it was starting.
var errEnded = errors.New("it ended")

// startAnywhere starts the server on the first free port that it gets.
func (s *Server) startAnywhere(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for range portAttempts {
		if s.port, err = child.FreePort(); err != nil {
			return err
		}
		if err = s.start(ctx); !errors.Is(err, errEnded) {
			return err
		}
	}
	return err
}

// start starts the server on its port and waits until it takes connections.
func (s *Server) start(ctx context.Context) error {
	binary, err := build(ctx)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(binary, s.arguments()...)
	cmd.Stdout, cmd.Stderr = log, log
	if s.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	if err := s.awaitReady(ctx); err != nil {
		return errors.Join(err, s.process.Kill())
	}
	return nil
}

func (s *Server) arguments() []string {
	args := []string{"-name", s.name, "-port", strconv.Itoa(s.port), "-store", s.StoreDir()}
	if s.options.MaxPayload > 0 {
		args = append(args, "-max_payload", strconv.Itoa(s.options.MaxPayload))
	}
	if s.options.MaxStore > 0 {
		args = append(args, "-max_store", strconv.FormatInt(s.options.MaxStore, 10))
	}
	if s.options.SyncAlways || s.options.SyncInterval > 0 {
		interval := s.options.SyncInterval
		if s.options.SyncAlways {
			interval = 0
		}
		args = append(args, "-sync_interval", interval.String())
	}
	if s.peers != nil {
		args = append(args, "-cluster", s.peers.cluster, "-cluster_port", strconv.Itoa(s.peers.port),
			"-routes", s.peers.routes, "-http_port", strconv.Itoa(s.httpPort))
	}
	return args
}

// awaitReady polls until the server takes connections, has ended or ctx ends.
func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := s.probe()
		if err == nil {
			return nil
		}
		if !s.process.Running() {
			return fmt.Errorf("start NATS server: %w: %w\n%s", errEnded, s.process.Wait(ctx), s.LogTail())
		}
		select {
		case <-tick.C:
		case <-s.process.Done():
		case <-ctx.Done():
			return fmt.Errorf("start NATS server: %w; last connection attempt: %w\n%s", ctx.Err(), err, s.LogTail())
		}
	}
}

// probe connects and checks that it is this server that answers: on the port
// somebody else may be listening.
func (s *Server) probe() error {
	nc, err := nats.Connect(s.url(), nats.NoReconnect(), nats.Timeout(time.Second))
	if err != nil {
		return err
	}
	defer nc.Close()
	if name := nc.ConnectedServerName(); name != s.name {
		return fmt.Errorf("server %q listens on port %d", name, s.port)
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

// URL returns the server's URL for clients; it is the same after Restart.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url()
}

func (s *Server) url() string { return "nats://" + net.JoinHostPort(host, strconv.Itoa(s.port)) }

// Name returns the server's name, which is unique in its cluster.
func (s *Server) Name() string { return s.name }

// StoreDir returns the folder of the server's streams.
func (s *Server) StoreDir() string { return filepath.Join(s.folder.Path, "store") }

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

// Kill kills the server with SIGKILL and waits until it has gone. A server that
// has ended is no error.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Kill()
}

// Stop stops the server in order and waits until it has gone. If ctx ends first
// it is killed and the error says so. A server that has ended is no error.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.process.Stop(ctx, syscall.SIGTERM)
}

// Restart starts the server again, on the same port and the same store, and
// returns once it takes connections. A running server is stopped first.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.process.Stop(ctx, syscall.SIGTERM); err != nil {
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
		if !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "address already in use") {
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

func (s *Server) logPath() string { return filepath.Join(s.folder.Path, "log") }

// LogTail returns the last 4 kB of the server's log, which all its starts share,
// or why there are none.
func (s *Server) LogTail() string {
	log, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-logTail):])
}
