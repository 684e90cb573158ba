package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	// startTimeout bounds what the caller's context does not.
	startTimeout = time.Minute
	// pollInterval is how often a server is asked whether something has happened.
	pollInterval = 10 * time.Millisecond
	// portAttempts is how many ports are tried until one can be listened on.
	portAttempts = 5
)

// StopMode says how a server is stopped, by the names of pg_ctl.
type StopMode int

const (
	// Fast disconnects the clients, lets replication clients receive what is
	// written and writes a checkpoint.
	Fast StopMode = iota
	// Immediate ends everything at once; the next start recovers from the log.
	Immediate
	// Smart waits until all clients but those that replicate have gone.
	Smart
)

// signal returns what the postmaster understands as the mode.
func (m StopMode) signal() syscall.Signal {
	switch m {
	case Immediate:
		return syscall.SIGQUIT
	case Smart:
		return syscall.SIGTERM
	default:
		return syscall.SIGINT
	}
}

// bounded gives ctx a deadline if it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return child.Bounded(ctx, startTimeout)
}

// startAnywhere starts the server on the first free port that it gets.
func (s *Server) startAnywhere(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for range portAttempts {
		if s.port, err = child.FreePort(); err != nil {
			return err
		}
		if err = s.start(ctx); !child.PortTaken(err) {
			return err
		}
	}
	return err
}

// start starts the server on its port and waits until it takes connections.
func (s *Server) start(ctx context.Context) error {
	log, err := os.OpenFile(s.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	before, err := log.Stat()
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	cmd := exec.Command(filepath.Join(s.installation.Dir, "postgres"), "-D", s.DataDir(), "-p", strconv.Itoa(s.port))
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.folder.Path, environment(), s.owner.attributes()
	cmd.Stdout, cmd.Stderr = log, log
	// An orphan shuts down at once and tidily: unlike a killed one it leaves no
	// shared memory behind.
	if s.process, err = child.Start(cmd, syscall.SIGQUIT); err != nil {
		return err
	}
	if err := s.process.AwaitReady(ctx, s.probe); err != nil {
		return errors.Join(fmt.Errorf("start PostgreSQL: %w\n%s", err, child.Tail(s.LogPath(), before.Size())), s.process.Kill())
	}
	return nil
}

func (s *Server) probe(ctx context.Context) error {
	conn, err := s.connectSocket(ctx)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// connectSocket connects to database postgres through the server's own socket:
// on its port somebody else may be listening.
func (s *Server) connectSocket(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("make connection settings: %w", err)
	}
	config.Host, config.Port = s.folder.Path, uint16(s.port)
	config.User, config.Password, config.Database = superuser, s.password, "postgres"
	return pgx.ConnectConfig(ctx, config)
}

// Stop stops the server and waits until all its processes have gone. If ctx ends
// first they are killed and the error says so. A stopped server is no error.
func (s *Server) Stop(ctx context.Context, mode StopMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.process.Stop(ctx, mode.signal())
}

// Kill kills the postmaster and all its children with SIGKILL, as a power cut
// does (what was written but not synced survives, though: the system's page
// cache is still there), and waits until they have gone.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Kill()
}

// Restart starts the server again, on the same port and the same data, and
// returns once it takes connections. A running server is stopped first (Fast).
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.process.Stop(ctx, Fast.signal()); err != nil {
		return err
	}
	return s.start(ctx)
}

// LogPath returns the path of the server's log, which all its starts share.
func (s *Server) LogPath() string { return filepath.Join(s.folder.Path, "log") }

// LogTail returns the last 6 kB of the server's log, or why there are none.
func (s *Server) LogTail() string { return child.Tail(s.LogPath(), 0) }
