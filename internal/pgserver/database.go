package pgserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// CreateDatabase creates an empty database.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	return s.exec(ctx, "CREATE DATABASE "+quote(name))
}

// DropDatabase drops a database, after it has ended its connections and dropped
// its replication slots. A database that does not exist is no error.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := s.tryDrop(ctx, name)
		if err == nil {
			return nil
		}
		// A connection takes a moment to end, or a client has come back meanwhile.
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// tryDrop fails while connections of the database are still ending.
func (s *Server) tryDrop(ctx context.Context, name string) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range []string{
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1",
	} {
		if _, err := conn.Exec(ctx, sql, name); err != nil {
			return fmt.Errorf("clear database %s: %w", name, err)
		}
	}
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+quote(name)); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// exec executes one statement in database postgres.
func (s *Server) exec(ctx context.Context, sql string) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("execute %q: %w", sql, err)
	}
	return nil
}

// connect connects to database postgres.
func (s *Server) connect(ctx context.Context) (*pgx.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, err := s.connectSocket(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the test server: %w", err)
	}
	return conn, nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
