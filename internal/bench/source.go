package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	database    = "postgres"
	publication = "bench"
	// rowsPerTransaction is the size of the usual transactions: small enough for
	// the server to decode each in memory.
	rowsPerTransaction = 1000
	// firstID gives all ids the same number of digits.
	firstID = 1_000_000_000
	// pollInterval is how often the slot's position is read.
	pollInterval = 5 * time.Millisecond
	// codeInUse is the SQLSTATE object_in_use.
	codeInUse = "55006"
)

// settleTimeout bounds the wait for what was done and cannot be seen yet; a
// variable for tests.
var settleTimeout = 30 * time.Second

const createTable = `CREATE TABLE events (
	id bigint PRIMARY KEY, name text, note text, ok bool, amount numeric, at timestamptz)`

// selectRows makes rows of one length with the ids from $1 to $2.
const selectRows = `
	SELECT i, 'user ' || lpad((i % 1000)::text, 3, '0'), left(md5(i::text), 12), i % 2 = 0, 1000.25 + i % 9000,
		timestamptz '2025-01-01 00:00:00Z' + i % 31536000 * interval '1 second'
	FROM generate_series($1::bigint, $2::bigint) AS i`

// insertRows writes them.
const insertRows = "INSERT INTO events" + selectRows

// source is the database that events come from. It has one user at a time.
type source struct {
	conn *pgx.Conn
	next int64 // the next row's id
}

// load is what was written for one group of lines.
type load struct {
	publication string
	rows        int
	// target is behind the last row's commit: who has confirmed it has confirmed
	// all rows. A marker row committed behind it makes readers reach it.
	target string
	// last is before the last transaction.
	last string
	// end is behind the marker's commit.
	end string
}

// openSource connects and makes the table and, before any slot, the
// publication.
func openSource(ctx context.Context, dsn string) (*source, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	s := &source{conn: conn, next: firstID}
	for _, sql := range []string{
		createTable,
		"CREATE PUBLICATION " + publication + " FOR TABLE events",
		// Loading need not wait for the disk; a checkpoint ends it.
		"SET synchronous_commit = off",
	} {
		if err := s.exec(ctx, sql); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// close ends the connection; the server goes with all it holds.
func (s *source) close() { _ = s.conn.Close(context.Background()) }

func (s *source) exec(ctx context.Context, sql string, args ...any) error {
	if _, err := s.conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("execute %q: %w", sql, err)
	}
	return nil
}

func (s *source) text(ctx context.Context, sql string) (text string, err error) {
	if err := s.conn.QueryRow(ctx, sql).Scan(&text); err != nil {
		return "", fmt.Errorf("query %q: %w", sql, err)
	}
	return text, nil
}

func (s *source) createSlot(ctx context.Context, name string) error {
	return s.exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", name)
}

// dropSlot drops a slot once the server has noticed that its reader has gone.
func (s *source) dropSlot(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := s.exec(ctx, "SELECT pg_drop_replication_slot($1)", name)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != codeInUse {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// load writes rows into the one table, in transactions of perTransaction, then
// the marker, and makes sure that all of it is on disk.
func (s *source) load(ctx context.Context, rows, perTransaction int) (load, error) {
	return s.loadBy(ctx, s.insert, load{publication: publication, rows: rows}, perTransaction)
}

// loadBy writes the rows of l by insert, which commits n of them at a time.
func (s *source) loadBy(ctx context.Context, insert func(ctx context.Context, n int) error, l load, perTransaction int) (load, error) {
	for left := l.rows; left > 0; left -= perTransaction {
		if err := s.position(ctx, &l.last); err != nil {
			return l, err
		}
		if err := insert(ctx, min(left, perTransaction)); err != nil {
			return l, err
		}
	}
	if err := s.position(ctx, &l.target); err != nil {
		return l, err
	}
	if err := insert(ctx, 1); err != nil {
		return l, err
	}
	if err := s.position(ctx, &l.end); err != nil {
		return l, err
	}
	return l, s.exec(ctx, "CHECKPOINT")
}

func (s *source) insert(ctx context.Context, n int) error {
	first := s.takeIDs(n)
	return s.exec(ctx, insertRows, first, first+int64(n)-1)
}

// takeIDs reserves n ids and returns the first.
func (s *source) takeIDs(n int) int64 {
	first := s.next
	s.next += int64(n)
	return first
}

// position sets lsn to where the log ends now.
func (s *source) position(ctx context.Context, lsn *string) (err error) {
	*lsn, err = s.text(ctx, "SELECT pg_current_wal_insert_lsn()::text")
	return err
}

// confirmed reports whether the slot's position has reached lsn.
func (s *source) confirmed(ctx context.Context, slot, lsn string) (yes bool, err error) {
	const sql = "SELECT confirmed_flush_lsn >= $2::pg_lsn FROM pg_replication_slots WHERE slot_name = $1"
	if err := s.conn.QueryRow(ctx, sql, slot, lsn).Scan(&yes); err != nil {
		return false, fmt.Errorf("read position of slot %s: %w", slot, err)
	}
	return yes, nil
}

// awaitConfirmed polls until the slot's position has reached lsn. It is an
// error if ended is closed before.
func (s *source) awaitConfirmed(ctx context.Context, slot, lsn string, ended <-chan struct{}) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		yes, err := s.confirmed(ctx, slot, lsn)
		if yes || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("reader of slot %s ended before it had confirmed %s", slot, lsn)
		case <-ctx.Done():
			return fmt.Errorf("wait for slot %s to confirm %s: %w", slot, lsn, ctx.Err())
		}
	}
}

// poll calls f until it returns nil, for as long as settleTimeout. It returns
// f's last error.
func poll(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}
