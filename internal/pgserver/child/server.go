package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// pollInterval is how often a server that is coming up is asked.
	pollInterval = 10 * time.Millisecond
	// portAttempts is how many sets of ports are tried until all can be had.
	portAttempts = 5
	// logTail is how many bytes of the log an error shows.
	logTail = 6 << 10
)

// ErrEnded says that a process ended while it was starting.
var ErrEnded = errors.New("it ended")

// Program says how a [Server] runs. Its functions are called by one goroutine at
// a time and must not call the server's methods, but for Path and LogTail.
type Program struct {
	// Name is what errors call the server.
	Name string
	// Timeout bounds a start or a stop whose context has no deadline.
	Timeout time.Duration
	// Command prepares everything for a start and returns the command, without
	// its output, which goes to the log.
	Command func(context.Context) (*exec.Cmd, error)
	// Probe returns nil once the server is ready. It checks that it is this
	// server that answers: on the port somebody else may be listening.
	Probe func(context.Context) error
}

// Server is a program in a process and a folder of its own, which can be killed
// and started again. Its methods may be called from several goroutines.
type Server struct {
	program Program
	folder  *Folder

	mu      sync.Mutex // guards what follows, and keeps starts and stops apart
	process *Process   // nil before the first start
}

// NewServer returns a server that does not run yet. It owns the folder, which
// goes with [Server.Close].
func NewServer(folder *Folder, program Program) *Server {
	return &Server{program: program, folder: folder}
}

// StartAnywhere sets the ports to different ones that are free and starts the
// server, and does so again with others if it ended at once: somebody may have
// taken one meanwhile. It returns once the server is ready.
func (s *Server) StartAnywhere(ctx context.Context, ports ...*int) error {
	ctx, cancel := Bounded(ctx, s.program.Timeout)
	defer cancel()
	var err error
	for range portAttempts {
		free, pickErr := FreePorts(len(ports))
		if pickErr != nil {
			return pickErr
		}
		for i, port := range ports {
			*port = free[i]
		}
		if err = s.Start(ctx); !errors.Is(err, ErrEnded) {
			return err
		}
	}
	return err
}

// Start starts the server on the ports it has and returns once it is ready. A
// running one is killed first. An error holds what the server wrote last to its
// log, and wraps [ErrEnded] if it ended.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := Bounded(ctx, s.program.Timeout)
	defer cancel()
	if err := s.kill(); err != nil {
		return err
	}
	return s.start(ctx)
}

// start starts the process and waits until the server is ready.
func (s *Server) start(ctx context.Context) error {
	cmd, err := s.program.Command(ctx)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", s, err)
	}
	defer func() { _ = log.Close() }()
	before, err := log.Stat()
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", s, err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	process, err := Start(cmd, syscall.SIGKILL)
	if err != nil {
		return err
	}
	s.process = process
	if err := process.AwaitReady(ctx, s.program.Probe); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w\n%s", s, err, Tail(s.logPath(), before.Size())), process.Kill())
	}
	return nil
}

// Restart starts the server again, on the same ports and with what its folder
// holds, and returns once it is ready. A running server is stopped first.
// Connections of one that was killed can keep its ports taken for a moment:
// Restart tries until they are free.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := Bounded(ctx, s.program.Timeout)
	defer cancel()
	if err := s.stop(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var taken error // why earlier attempts failed, if ctx cuts off the last
	for {
		err := s.start(ctx)
		if err == nil {
			return nil
		}
		if !PortTaken(err) {
			return errors.Join(taken, err)
		}
		taken = err
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// String returns the server's name in errors.
func (s *Server) String() string { return s.program.Name }

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

// Running reports whether the server's process is there.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil && s.process.Running()
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
	return s.kill()
}

func (s *Server) kill() error {
	if s.process == nil {
		return nil
	}
	return s.process.Kill()
}

// Stop stops the server in order (SIGTERM) and waits until it has gone. If ctx
// ends first it is killed and the error says so. A server that has ended is no
// error.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := Bounded(ctx, s.program.Timeout)
	defer cancel()
	return s.stop(ctx)
}

func (s *Server) stop(ctx context.Context) error {
	if s.process == nil {
		return nil
	}
	return s.process.Stop(ctx, syscall.SIGTERM)
}

// Close ends the server at once, if it runs, and removes its folder. It may be
// called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.kill(), s.folder.Remove())
}

// Path returns the path of a file in the server's folder.
func (s *Server) Path(name string) string { return filepath.Join(s.folder.Path, name) }

func (s *Server) logPath() string { return s.Path("log") }

// LogTail returns the last 6 kB of the server's log, which all its starts share,
// or why there are none.
func (s *Server) LogTail() string { return Tail(s.logPath(), 0) }
