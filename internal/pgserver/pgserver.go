// Package pgserver starts private PostgreSQL servers for tests, the demo and the
// benchmarks.
//
// A server is found (any version from 12 on, see [Installations]), initialised
// in a folder of its own below /tmp and run as a child of this process: on
// 127.0.0.1, on a free port, ready for logical replication. The system's own
// cluster is never touched. As root it runs as user postgres, or nobody where
// there is none. It ends with [Server.Close], and also when this process is
// killed; the folder of a killed process is removed when the next server starts.
//
// Every server goes through initdb, which takes 0.7 s. A copied template would
// take 0.2 s, but all its copies would have one system identifier, by which
// walherald tells servers apart.
//
// Tests that need a server to themselves, to crash or configure it, use
// [ForTest]. All others share one server a test binary ([Shared], with
// [WithShared] in TestMain) and get a database each ([Server.TestDatabase]).
//
// A server can be given standbys, which follow it and can take its place
// ([Server.StartStandby], [Server.Promote]).
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	host      = "127.0.0.1"
	superuser = "postgres"
	// folderPattern is below /tmp, not below TMPDIR or the home folder: the
	// server's user must be able to enter every folder above, and the path of a
	// Unix socket is limited to about 100 bytes.
	folderPattern = "/tmp/walherald-pg-*"
)

// Options say how a server differs from the usual one. The zero value is useful.
type Options struct {
	// BinDir is the folder of the binaries; empty means the newest version found.
	BinDir string
	// Settings are configuration parameters, as in postgresql.conf. They add to
	// wal_level=logical, max_wal_senders=20 and max_replication_slots=20, and
	// replace them. ALTER SYSTEM can still change them. Benchmarks that must not
	// wait for the disk set fsync=off.
	Settings map[string]string
	// Password makes the server ask for it (SCRAM-SHA-256); empty means that
	// everybody is trusted.
	Password string
	// InitArgs are added to initdb's arguments and win over the usual ones.
	InitArgs []string
}

// Server is a private server. Its methods may be called from several goroutines.
type Server struct {
	installation Installation
	owner        *account
	folder       *child.Folder
	password     string
	primary      *Server       // what a standby follows, or did until its promotion
	standbys     atomic.Uint64 // how many standbys it was given

	mu      sync.Mutex // guards what follows, and keeps starts and stops apart
	port    int
	process *child.Process
}

// Start initialises and starts a server and returns once it takes connections.
// Without a deadline in ctx it gives up after a minute. An error holds the end
// of the server's log. The server outlives ctx: end it with Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	installation, err := find(ctx, opts)
	if err != nil {
		return nil, err
	}
	owner, err := serverAccount()
	if err != nil {
		return nil, err
	}
	folder, err := child.NewFolder(folderPattern)
	if err != nil {
		return nil, err
	}
	s := &Server{installation: installation, owner: owner, folder: folder, password: opts.Password}
	if err := owner.own(folder.Path); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.initialise(ctx, opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.startAnywhere(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// initialise makes the data folder.
func (s *Server) initialise(ctx context.Context, opts Options) error {
	args := []string{"--no-sync", "--locale=C.UTF-8", "-E", "UTF8", "-U", superuser, "-D", s.DataDir()}
	if s.password == "" {
		args = append(args, "-A", "trust")
	} else {
		pwfile := filepath.Join(s.folder.Path, "password")
		if err := s.writeFile(pwfile, []byte(s.password)); err != nil {
			return err
		}
		defer func() { _ = os.Remove(pwfile) }()
		args = append(args, "-A", "scram-sha-256", "--pwfile="+pwfile)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.installation.Dir, "initdb"), append(args, opts.InitArgs...)...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.folder.Path, environment(), s.owner.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initialise PostgreSQL %d: %w\n%s", s.installation.Version, err, out)
	}
	return s.configure(opts.Settings)
}

// configure appends the settings to postgresql.conf rather than passing them on
// the command line, where they would win over ALTER SYSTEM.
func (s *Server) configure(settings map[string]string) error {
	all := map[string]string{
		"wal_level":               "logical",
		"max_wal_senders":         "20",
		"max_replication_slots":   "20",
		"listen_addresses":        host,
		"unix_socket_directories": s.folder.Path,
		// In the data folder, so that a killed server leaves none behind.
		"dynamic_shared_memory_type": "mmap",
	}
	maps.Copy(all, settings)
	return s.appendSettings(all)
}

// appendSettings adds to postgresql.conf, where the last of a name wins.
func (s *Server) appendSettings(settings map[string]string) error {
	path := filepath.Join(s.DataDir(), "postgresql.conf")
	conf, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the server's configuration: %w", err)
	}
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `''`)
	for key, value := range settings {
		conf = fmt.Appendf(conf, "%s = '%s'\n", key, quoted.Replace(value))
	}
	return s.writeFile(path, conf)
}

// WriteFile writes a file in the server's data folder, as pg_hba.conf or
// server.crt, that only the server's user can read.
func (s *Server) WriteFile(name string, content []byte) error {
	return s.writeFile(filepath.Join(s.DataDir(), name), content)
}

func (s *Server) writeFile(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write a file of the server: %w", err)
	}
	return s.owner.own(path)
}

// DSN returns the URL of one of the server's databases, for its superuser.
func (s *Server) DSN(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(superuser),
		Host:     net.JoinHostPort(host, strconv.Itoa(s.Port())),
		Path:     database,
		RawQuery: "sslmode=disable",
	}
	if s.password != "" {
		u.User = url.UserPassword(superuser, s.password)
	}
	return u.String()
}

// String says which server this is.
func (s *Server) String() string { return fmt.Sprintf("the PostgreSQL server on port %d", s.Port()) }

// Host returns the address the server listens on, 127.0.0.1.
func (s *Server) Host() string { return host }

// Port returns the port the server listens on; it is the same after Restart.
func (s *Server) Port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}

// User returns the name of the superuser.
func (s *Server) User() string { return superuser }

// Version returns the major version, as 15.
func (s *Server) Version() int { return s.installation.Version }

// SocketDir returns the folder of the server's Unix socket.
func (s *Server) SocketDir() string { return s.folder.Path }

// DataDir returns the server's data folder.
func (s *Server) DataDir() string { return filepath.Join(s.folder.Path, "data") }

// Pid returns the process id of the postmaster that was started last.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Pid()
}

// Close ends the server at once, if it runs, and removes its folder. It may be
// called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.end(), s.folder.Remove())
}

// end ends the server and removes what a killed one leaves in memory.
func (s *Server) end() error {
	if s.process == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	err := s.process.Stop(ctx, syscall.SIGQUIT)
	removeSharedMemory(s.DataDir())
	return err
}
