// Package natsserver starts private JetStream servers for tests and benchmarks,
// on 127.0.0.1 and free ports.
//
// [InProcess] runs one inside the test binary, in some milliseconds, which is
// enough for most tests. [Start] and [ForTest] run one as a process of its own
// (command natsd below this package, built into the checkout's bin folder), to
// kill it with SIGKILL, to start it again on the same store or to count its CPU
// time; [child.Server] has the methods for it. [StartCluster] runs several that replicate.
//
// A process ends with [child.Server.Close] and also when its parent is killed.
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
	"time"

	"github.com/nats-io/nats.go"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	host = "127.0.0.1"
	// startTimeout bounds what the caller's context does not.
	startTimeout = time.Minute
	// pollInterval is how often a cluster is asked.
	pollInterval = 10 * time.Millisecond
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
	*child.Server

	name     string
	options  Options
	peers    *peers // nil for a server alone
	port     int
	httpPort int // for monitoring, in a cluster
}

// peers is what a server knows of its cluster.
type peers struct {
	cluster string
	port    int    // where this server listens for the others
	routes  string // URLs of all
}

// Start starts a server and returns once it takes connections. Without a
// deadline in ctx it gives up after a minute; the first start in a checkout
// builds the server before. An error holds the end of the server's log. The
// server outlives ctx: end it with Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	s := &Server{name: "natsd", options: opts}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	if err := s.StartAnywhere(ctx, &s.port); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare builds the program and gives the server its folder.
func (s *Server) prepare(ctx context.Context) error {
	binary, err := build(ctx)
	if err != nil {
		return err
	}
	folder, err := child.NewFolder(filepath.Join(os.TempDir(), "walherald-nats-*"))
	if err != nil {
		return err
	}
	s.Server = child.NewServer(folder, child.Program{
		Name:    "NATS server " + s.name,
		Timeout: startTimeout,
		Command: func(context.Context) (*exec.Cmd, error) { return exec.Command(binary, s.arguments()...), nil },
		Probe:   s.probe,
	})
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

// probe connects and checks that it is this server that answers: on the port
// somebody else may be listening.
func (s *Server) probe(context.Context) error {
	nc, err := nats.Connect(s.URL(), nats.NoReconnect(), nats.Timeout(time.Second))
	if err != nil {
		return err
	}
	defer nc.Close()
	if name := nc.ConnectedServerName(); name != s.name {
		return fmt.Errorf("server %q listens on port %d", name, s.port)
	}
	return nil
}

// URL returns the server's URL for clients; it is the same after Restart.
func (s *Server) URL() string { return "nats://" + net.JoinHostPort(host, strconv.Itoa(s.port)) }

// Name returns the server's name, which is unique in its cluster.
func (s *Server) Name() string { return s.name }

// StoreDir returns the folder of the server's streams.
func (s *Server) StoreDir() string { return s.Path("store") }
