// Package rabbitserver starts private RabbitMQ nodes for tests and benchmarks,
// on 127.0.0.1 and free ports, from Debian's package rabbitmq-server or the
// folder that the environment variable WALHERALD_RABBITMQ_BIN names.
//
// A node has everything of its own: store, log, cookie, ports, and the name
// server that Erlang wants (epmd), which would otherwise stay behind. It starts
// in about three seconds, so tests share one where they can. [child.Server.Kill]
// and [child.Server.Restart] treat it as a power switch would, [Server.Control] is
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
	"time"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	host = "127.0.0.1"
	// startTimeout bounds what the caller's context does not.
	startTimeout = time.Minute
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
	*child.Server // the node

	names    *child.Server // epmd, in the node's folder
	programs string        // the folder of RabbitMQ's scripts
	name     string        // of the node, before the @
	options  Options
	ports    ports
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
	s := &Server{programs: programs, name: filepath.Base(folder.Path), options: opts}
	s.Server = child.NewServer(folder, child.Program{
		Name: "RabbitMQ", Timeout: startTimeout, Command: s.nodeCommand, Probe: s.probe,
	})
	s.names = child.NewServer(folder, child.Program{
		Name: "Erlang's name server", Timeout: startTimeout, Command: s.namesCommand, Probe: s.probeNames,
	})
	if err := s.StartAnywhere(ctx, &s.ports.amqp, &s.ports.tls, &s.ports.epmd, &s.ports.distribution); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Addr returns the node's address, host:port; it is the same after Restart.
func (s *Server) Addr() string { return address(s.ports.amqp) }

// TLSAddr returns the address of the listener of Options.TLS.
func (s *Server) TLSAddr() string { return address(s.ports.tls) }

func address(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// URL returns the node's URL for user guest, who may do everything.
func (s *Server) URL() string { return "amqp://guest:guest@" + s.Addr() + "/" }

// Close ends the node and its name server at once, if they run, and removes
// their folder. It may be called more than once.
func (s *Server) Close() error { return errors.Join(s.Kill(), s.names.Close()) }

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
