// Package embedded runs a JetStream server inside walherald, for those who
// need no broker of their own: clients connect to it as to any NATS server.
//
// A message is confirmed once it is in the operating system's hands, so a kill
// of the process loses nothing. What a power failure can take is bounded by
// config.Embedded.SyncInterval; 0 forces every message to disk before it is
// confirmed.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/walherald/walherald/config"
)

// Server is a running JetStream server.
type Server struct {
	ns       *server.Server
	starting sync.WaitGroup
}

// readyTimeout bounds the start; recovering a large store takes its time.
const (
	readyTimeout = time.Minute
	readyStep    = 100 * time.Millisecond
)

// Start starts a server that listens on cfg.Listen and keeps its streams in
// cfg.StoreDir. It returns when clients can connect, or with an error: a taken
// port, a folder that cannot be written.
func Start(ctx context.Context, cfg config.Embedded, log *slog.Logger) (*Server, error) {
	host, port, err := splitListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	ns, err := server.NewServer(&server.Options{
		ServerName: "walherald", Host: host, Port: port, NoSigs: true,
		JetStream: true, StoreDir: cfg.StoreDir,
		SyncInterval: cfg.SyncInterval, SyncAlways: cfg.SyncInterval == 0,
	})
	if err != nil {
		return nil, fmt.Errorf("start embedded JetStream in %s: %w", cfg.StoreDir, err)
	}
	fatal := &logger{log: log, fatal: make(chan string, 1)}
	ns.SetLoggerV2(fatal, false, false, false)
	s := &Server{ns: ns}
	s.starting.Go(ns.Start) // ends by itself once the listeners run
	if err := s.awaitReady(ctx, fatal.fatal); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start embedded JetStream on %s with store %s: %w", cfg.Listen, cfg.StoreDir, err)
	}
	log.Info("embedded JetStream server started", "listen", ns.Addr().String(), "store", cfg.StoreDir)
	return s, nil
}

// awaitReady waits in short steps, because the server's own waiting ends neither
// with ctx nor with the server.
func (s *Server) awaitReady(ctx context.Context, fatal <-chan string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		select {
		case why := <-fatal:
			return errors.New(why)
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if s.ns.ReadyForConnections(readyStep) {
			return nil
		}
	}
}

// URL returns the address clients connect to.
func (s *Server) URL() string { return s.ns.ClientURL() }

// Option makes a client of this process connect without the network.
func (s *Server) Option() nats.Option { return nats.InProcessServer(s.ns) }

// Stop shuts the server down and waits for it.
func (s *Server) Stop() {
	s.starting.Wait() // a start that goes on would write to the store again
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

func splitListen(listen string) (string, int, error) {
	host, p, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("publisher.embedded.listen: %w", err)
	}
	port, err := strconv.Atoi(p)
	if err != nil {
		return "", 0, fmt.Errorf("publisher.embedded.listen: port %q is not a number", p)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// logger passes the server's warnings and errors on.
type logger struct {
	log   *slog.Logger
	fatal chan string
}

func (l *logger) Noticef(format string, v ...any) {
	l.log.Debug("embedded JetStream: " + fmt.Sprintf(format, v...))
}

func (l *logger) Warnf(format string, v ...any) {
	l.log.Warn("embedded JetStream: " + fmt.Sprintf(format, v...))
}

func (l *logger) Errorf(format string, v ...any) {
	l.log.Error("embedded JetStream: " + fmt.Sprintf(format, v...))
}

func (l *logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}

func (l *logger) Debugf(string, ...any) {}
func (l *logger) Tracef(string, ...any) {}
