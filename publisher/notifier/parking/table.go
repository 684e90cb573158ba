package parking

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

const (
	// tableName is the table's name within the schema.
	tableName = "parked"
	// leaseTime is how long a claim lasts that is not renewed.
	leaseTime = 2 * time.Minute
	// statementTimeout bounds one statement, the wait for a connection included.
	statementTimeout = 30 * time.Second
	// slowestLink is how many bytes a second a statement must get through beyond
	// statementTimeout.
	slowestLink = 256 << 10
	// maxStatement is the most bytes of one statement that has several deliveries.
	maxStatement = 8 << 20
)

// Table is a Store in a table of the source database. It connects, and makes the
// table, when it is first needed. It is safe for concurrent use; several processes
// can use one table.
//
// Every error is worth another attempt: what is missing (a right, a disk, the
// server) can be given without a restart. The error says by which SQL.
type Table struct {
	pool     *pgxpool.Pool
	user     string
	schema   string
	name     string // schema and table, quoted
	schedule []time.Duration
	lease    time.Duration

	mu   sync.Mutex
	made bool // the table is known to be there
}

var _ notifier.Store = (*Table)(nil)

// NewTable makes a Store in the table parked of the schema. Of p the Schedule
// counts. Nothing is connected yet; an error says what of db cannot be used. The
// caller closes it.
func NewTable(db config.Database, schema string, p config.Parking) (*Table, error) {
	cfg, err := poolConfig(db)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, fmt.Errorf("open parking: %w", err)
	}
	return &Table{
		pool: pool, user: db.User, schema: schema, name: pgx.Identifier{schema, tableName}.Sanitize(),
		schedule: p.Schedule, lease: leaseTime,
	}, nil
}

// Close ends the connections, once nothing else is called any more.
func (t *Table) Close() { t.pool.Close() }

// Park implements notifier.Store: one transaction for all of ds. Attempts,
// ParkedAt and Next are the table's own; what they are in ds does not count.
func (t *Table) Park(ctx context.Context, ds []notifier.Parked) error {
	if len(ds) == 0 {
		return ctx.Err()
	}
	if err := check(ds); err != nil {
		return err
	}
	return t.use(ctx, "park deliveries", func() error {
		return t.transact(ctx, func(tx pgx.Tx) error { return t.insert(ctx, tx, ds) })
	})
}

// transact runs do in a transaction that is on disk once transact returns nil.
func (t *Table) transact(ctx context.Context, do func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
		// The session has it already, unless a pooler stands between.
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
			return err
		}
		return do(tx)
	})
}

// insert inserts ds by statements of a bounded size.
func (t *Table) insert(ctx context.Context, tx pgx.Tx, ds []notifier.Parked) error {
	text := textFor(tx.Conn())
	for len(ds) > 0 {
		n, size := 1, sizeOf(&ds[0])
		for n < len(ds) && size+sizeOf(&ds[n]) <= maxStatement {
			size += sizeOf(&ds[n])
			n++
		}
		if err := t.insertSome(ctx, tx, columnsOf(ds[:n], text), size); err != nil {
			return err
		}
		ds = ds[n:]
	}
	return nil
}

// insertSome inserts deliveries of about size bytes by one statement.
func (t *Table) insertSome(ctx context.Context, tx pgx.Tx, c *columns, size int) error {
	ctx, cancel := bounded(ctx, size)
	defer cancel()
	_, err := tx.Exec(ctx, `INSERT INTO `+t.name+` (destination, id, rule, topic, tbl, action, key, commit_time, lsn, payload, reason, manual, next_at)
		SELECT d, i, r, t, b, a, k, c, l::pg_lsn, p, e, m, CASE WHEN NOT m THEN now() + $13::interval END
		FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::timestamptz[], $9::text[], $10::bytea[],
			$11::text[], $12::bool[]) AS u(d, i, r, t, b, a, k, c, l, p, e, m)
		ON CONFLICT (destination, id) DO NOTHING`,
		c.destinations, c.ids, c.rules, c.topics, c.tables, c.actions, c.keys, c.times, c.lsns, c.payloads, c.reasons, c.manual, t.after(0))
	return err
}

// after returns the time from an attempt that failed to the next one, the number
// of attempts being given, as an interval; nil if there is none.
func (t *Table) after(attempts int) *time.Duration {
	if attempts >= len(t.schedule) {
		return nil
	}
	return &t.schedule[attempts]
}

// columns are deliveries as the arrays of one statement.
type columns struct {
	destinations, rules, topics, tables, actions, lsns, reasons []string
	ids                                                         [][16]byte
	keys, payloads                                              [][]byte
	times                                                       []time.Time
	manual                                                      []bool
}

// columnsOf makes the arrays; text makes what is no text of the server storable.
func columnsOf(ds []notifier.Parked, text func(string) string) *columns {
	c := &columns{}
	for i := range ds {
		d := &ds[i]
		c.destinations = append(c.destinations, text(d.Destination))
		c.ids = append(c.ids, d.ID)
		c.rules, c.topics = append(c.rules, text(d.Rule)), append(c.topics, text(d.Topic))
		c.tables, c.actions = append(c.tables, text(d.Table)), append(c.actions, d.Action.String())
		c.lsns = append(c.lsns, string(publisher.AppendLSN(nil, d.ID.LSN())))
		c.times = append(c.times, time.UnixMicro(d.CommitTime))
		c.keys, c.payloads = append(c.keys, notNil(d.Key)), append(c.payloads, notNil(d.Payload))
		c.reasons, c.manual = append(c.reasons, text(d.Reason)), append(c.manual, d.Manual)
	}
	return c
}

// notNil keeps pgx from writing NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// textFor returns what makes text storable at the other end: a database whose
// encoding is not UTF-8 may lack any character but ASCII's.
func textFor(conn *pgx.Conn) func(string) string {
	if conn.PgConn().ParameterStatus("server_encoding") == "UTF8" {
		return storable
	}
	return func(s string) string {
		quoted := strconv.QuoteToASCII(s)
		return quoted[1 : len(quoted)-1]
	}
}

// sizeOf is about how many bytes a delivery adds to a statement.
func sizeOf(d *notifier.Parked) int {
	return 128 + len(d.Payload) + len(d.Key) + len(d.Reason) + len(d.Destination) + len(d.Rule) + len(d.Topic) + len(d.Table)
}

// bounded bounds a statement of so many bytes.
func bounded(ctx context.Context, size int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, statementTimeout+time.Duration(size/slowestLink)*time.Second)
}
