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
// with [child.Server.Close] and also when its parent is killed.
package kafkaserver

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	host = "127.0.0.1"
	// startTimeout bounds what the caller's context does not.
	startTimeout = 2 * time.Minute
)

// Server is a Kafka server in a process of its own. Its methods may be called
// from several goroutines.
type Server struct {
	*child.Server

	options   Options
	java      java
	ports     ports
	formatted bool
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
	s := &Server{options: opts, java: j}
	s.Server = child.NewServer(folder, child.Program{Name: "Kafka", Timeout: startTimeout, Command: s.command, Probe: s.probe})
	if err := s.StartAnywhere(ctx, &s.ports.client, &s.ports.admin, &s.ports.controller); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// command configures the server on its ports.
func (s *Server) command(ctx context.Context) (*exec.Cmd, error) {
	if err := s.configure(ctx); err != nil {
		return nil, err
	}
	return exec.Command(s.java.program, s.arguments("kafka.Kafka", s.Path("server.properties"))...), nil
}

// Addr returns host:port of the listener that the options are about; it is the
// same after Restart.
func (s *Server) Addr() string { return address(s.ports.client) }

// AdminAddr returns host:port of the listener that is open to all.
func (s *Server) AdminAddr() string { return address(s.ports.admin) }

func address(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// Restart starts the server again, on the same ports and the same logs, and
// returns once it takes messages. A running server is killed first: in order it
// would take seconds to stop.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	return s.Server.Restart(ctx)
}
