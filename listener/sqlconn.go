package listener

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walherald/walherald/config"
)

// sqlTimeout bounds one statement on the ordinary connection, the making of the
// connection included.
const sqlTimeout = 10 * time.Second

// sqlConn is an ordinary connection beside the replication connection, which
// takes no SQL once it streams. It is made when it is first needed and again
// when it was lost. Several goroutines may use it.
type sqlConn struct {
	db config.Database

	mu   sync.Mutex
	link *link // or nil
	used time.Time
	// system and timeline are those the server must have: a name can lead to
	// another server than it did for the replication connection. Before they are
	// known they are empty and 0.
	system   string
	timeline int32
}

// only makes sure that no other server is talked to.
func (c *sqlConn) only(id identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.system, c.timeline = id.system, id.timeline
}

// query runs one statement and returns its rows as text; NULL is "". A
// connection that was lost while nobody used it is replaced.
func (c *sqlConn) query(ctx context.Context, sql string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, sqlTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.used = time.Now() }()
	return c.again(ctx, sql)
}

// glance is query for what is asked every few seconds: it counts as no use of the
// connection, which otherwise would never be closed.
func (c *sqlConn) glance(ctx context.Context, sql string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, sqlTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.again(ctx, sql)
}

// again tries once more where a connection that was kept turns out to be lost.
func (c *sqlConn) again(ctx context.Context, sql string) ([][]string, error) {
	kept := c.link != nil
	rows, err := c.try(ctx, sql)
	if err != nil && kept && c.link == nil && pgconn.SafeToRetry(err) {
		rows, err = c.try(ctx, sql)
	}
	return rows, err
}

func (c *sqlConn) try(ctx context.Context, sql string) ([][]string, error) {
	if c.link == nil {
		if err := c.connect(ctx); err != nil {
			return nil, err
		}
	}
	rows, err := c.link.query(ctx, sql)
	if c.link.pg.IsClosed() {
		c.link = nil
	}
	return rows, err
}

func (c *sqlConn) connect(ctx context.Context) error {
	l, err := connectPlain(ctx, c.db)
	if err != nil {
		return err
	}
	if c.system != "" {
		err = c.recognise(ctx, l)
	}
	if err == nil {
		// Names of others must not come before the system's. A synchronous standby
		// that is away must not hold the slot memory up.
		_, err = l.query(ctx, "SET search_path = ''; SET synchronous_commit = local; SET default_transaction_read_only = off; SET statement_timeout = 0")
	}
	if err != nil {
		l.close()
		return fmt.Errorf("connect to PostgreSQL for SQL: %w", err)
	}
	c.link = l
	return nil
}

// recognise makes sure that l leads to the right server. A promoted one is
// another: the position in its slot memory came with its log, and what was
// confirmed of the old timeline must not be written over it.
func (c *sqlConn) recognise(ctx context.Context, l *link) error {
	rows, err := l.query(ctx, `SELECT system_identifier, CASE WHEN NOT pg_catalog.pg_is_in_recovery()
		THEN substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END FROM pg_catalog.pg_control_system()`)
	if err != nil {
		return err
	}
	if len(rows) != 1 || len(rows[0]) != 2 {
		return errNoAnswer
	}
	system, timeline := rows[0][0], rows[0][1]
	if system != c.system {
		return fmt.Errorf("server has the system identifier %s, that of the replication connection %s", system, c.system)
	}
	if want := fmt.Sprintf("%08X", c.timeline); timeline != "" && timeline != want {
		return fmt.Errorf("server is on timeline %s, that of the replication connection on %s", timeline, want)
	}
	return nil
}

// closeIdle ends the connection if it has not been used for so long. It does not
// wait for who uses it.
func (c *sqlConn) closeIdle(limit time.Duration) {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	if time.Since(c.used) > limit {
		c.end()
	}
}

// close ends the connection, if there is one.
func (c *sqlConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
}

func (c *sqlConn) end() {
	if c.link != nil {
		c.link.close()
		c.link = nil
	}
}

// errNoAnswer says that a statement brought other rows than it must.
var errNoAnswer = errors.New("server gave no answer of the expected form; database.host must name PostgreSQL itself")
