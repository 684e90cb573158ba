package listener

import (
	"context"
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
	// system is the system identifier the server must have, or empty: a name can
	// lead to another server than it did for the replication connection.
	system string
}

// only makes sure that no other server than that of the system identifier is
// talked to.
func (c *sqlConn) only(system string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.system = system
}

// query runs one statement and returns its rows as text; NULL is "". A
// connection that was lost while nobody used it is replaced.
func (c *sqlConn) query(ctx context.Context, sql string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, sqlTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
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
	system, err := l.value(ctx, "SELECT system_identifier FROM pg_catalog.pg_control_system()")
	if err == nil && c.system != "" && system != c.system {
		err = fmt.Errorf("server has the system identifier %s, that of the replication connection %s", system, c.system)
	}
	if err == nil {
		// A synchronous standby that is away must not hold the slot memory up.
		_, err = l.query(ctx, "SET synchronous_commit = local; SET default_transaction_read_only = off; SET statement_timeout = 0")
	}
	if err != nil {
		l.close()
		return fmt.Errorf("connect to PostgreSQL for SQL: %w", err)
	}
	c.link = l
	return nil
}

// close ends the connection, if there is one.
func (c *sqlConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		c.link.close()
		c.link = nil
	}
}
