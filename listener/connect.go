package listener

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
)

// connectTimeout bounds the making of a connection.
const connectTimeout = 15 * time.Second

// keepAlive notices within half a minute that a server is gone while it is waited
// for: a slot is only made once the transactions that are open have ended.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4}

// pinned are the session settings that change how values look as text. Those
// of the server, the database or the role must not reach the events.
var pinned = map[string]string{
	"client_encoding":    "UTF8",
	"DateStyle":          "ISO, MDY",
	"IntervalStyle":      "postgres",
	"TimeZone":           "UTC",
	"extra_float_digits": "3",
	"bytea_output":       "hex",
}

// link is a replication connection before it streams.
type link struct {
	pg   *pgconn.PgConn
	feed *feed
	id   identity
	// version is the server's, as in server_version_num: 150004.
	version int
	// end is the end of the server's log when the link was made.
	end pgoutput.LSN
}

// connect makes a replication connection, which also takes SQL.
func connect(ctx context.Context, db config.Database, slot string) (*link, error) {
	l := &link{}
	cfg, err := pgConfig(db)
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["replication"] = "database"
	cfg.RuntimeParams["client_min_messages"] = "warning" // see stream.take
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		l.feed = newFeed(r)
		return pgproto3.NewFrontend(l.feed, w)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if l.pg, err = pgconn.ConnectConfig(ctx, cfg); err != nil {
		return nil, connectError(err, db)
	}
	if err = l.takeBytes(ctx); err == nil {
		err = l.identify(ctx, slot)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// takeBytes makes a database without an encoding (SQL_ASCII) send its text as it
// is. As UTF-8 it would refuse what is not, in the middle of the log.
func (l *link) takeBytes(ctx context.Context) error {
	if l.pg.ParameterStatus("server_encoding") != "SQL_ASCII" {
		return nil
	}
	if _, err := l.query(ctx, "SET client_encoding = 'SQL_ASCII'"); err != nil {
		return fmt.Errorf("set client encoding: %w", err)
	}
	return nil
}

// connectError says what to do about a right that is missing. The server uses
// one code for both.
func connectError(err error, db config.Database) error {
	if sqlState(err) != "42501" {
		if r, ok := refusals[sqlState(err)]; ok {
			return fmt.Errorf("connect to PostgreSQL: %w; %s: %s", err, r.path, r.remedy)
		}
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	role := quoteIdent(db.User)
	return fatalf("connect to PostgreSQL: %w; let a superuser run: ALTER ROLE %s REPLICATION; GRANT CONNECT ON DATABASE %s TO %s",
		err, role, quoteIdent(db.Name), role)
}

// pgConfig makes the connection's configuration. Nothing of it but TLS files
// comes from PG* variables of the environment: the configuration file is whole.
func pgConfig(db config.Database) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig("host=localhost sslmode=disable target_session_attrs=any")
	if err != nil {
		return nil, fmt.Errorf("make connection settings: %w", err)
	}
	cfg.Host, cfg.Port, cfg.Database = db.Host, uint16(db.Port), db.Name
	cfg.User, cfg.Password = db.User, db.Password.Reveal()
	cfg.Fallbacks, cfg.ConnectTimeout = nil, connectTimeout
	cfg.DialFunc = (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext
	cfg.RuntimeParams = map[string]string{"application_name": "walherald"}
	for k, v := range pinned {
		cfg.RuntimeParams[k] = v
	}
	cfg.TLSConfig, err = tlsConfig(db)
	return cfg, err
}

// tlsConfig follows the meaning libpq gives to sslmode.
func tlsConfig(db config.Database) (*tls.Config, error) {
	mode := db.TLSMode()
	if mode == config.SSLModeDisable {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: db.Host, MinVersion: tls.VersionTLS12}
	if db.SSL.ServerName != "" {
		cfg.ServerName = db.SSL.ServerName
	}
	if db.SSL.CACert != "" {
		pem, err := os.ReadFile(db.SSL.CACert)
		if err != nil {
			return nil, fmt.Errorf("read database.ssl.caCert: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read database.ssl.caCert %s: no certificate in it", db.SSL.CACert)
		}
	}
	if mode == config.SSLModeRequire || db.SSL.SkipVerify {
		cfg.InsecureSkipVerify = true //nolint:gosec // asked for by name
	}
	if mode == config.SSLModeVerifyCA && !cfg.InsecureSkipVerify {
		cfg.InsecureSkipVerify = true //nolint:gosec // VerifyConnection does it, but for the name
		cfg.VerifyConnection = verifyChain(cfg.RootCAs)
	}
	return cfg, nil
}

// verifyChain verifies a certificate's chain and not the name it is for.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range cs.PeerCertificates[1:] {
			opts.Intermediates.AddCert(c)
		}
		_, err := cs.PeerCertificates[0].Verify(opts)
		return err
	}
}

// identify learns who the server is.
func (l *link) identify(ctx context.Context, slot string) error {
	sys, err := pglogrepl.IdentifySystem(ctx, l.pg)
	if err != nil {
		return fmt.Errorf("identify system: %w", explainPooler(err))
	}
	l.id = identity{system: sys.SystemID, timeline: sys.Timeline, database: sys.DBName, slot: slot}
	l.end = pgoutput.LSN(sys.XLogPos)
	if err := l.readForks(ctx); err != nil {
		return err
	}
	return l.readVersion(ctx)
}

// readVersion learns the server's version and refuses one that is too old.
func (l *link) readVersion(ctx context.Context) error {
	version, err := l.value(ctx, "SHOW server_version_num")
	if err == nil {
		l.version, err = strconv.Atoi(version)
	}
	if err != nil {
		return fmt.Errorf("read server version: %w", err)
	}
	if l.version < oldestVersion {
		return fatalf("%w: it is PostgreSQL %d, walherald needs %d or newer; upgrade it", errTooOld, l.version/10000, oldestVersion/10000)
	}
	return nil
}

var errTooOld = errors.New("server is too old")

// oldestVersion is the oldest server that walherald is tested with, as in
// server_version_num.
const oldestVersion = 130000

// query runs one SQL statement within connectTimeout and returns its rows as
// text; NULL is "".
func (l *link) query(ctx context.Context, sql string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return l.queryPatiently(ctx, sql)
}

// queryPatiently is query for what can rightly take as long as it likes.
func (l *link) queryPatiently(ctx context.Context, sql string) ([][]string, error) {
	results, err := l.pg.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, r := range results {
		for _, row := range r.Rows {
			cells := make([]string, len(row))
			for i, cell := range row {
				cells[i] = string(cell)
			}
			rows = append(rows, cells)
		}
	}
	return rows, nil
}

// value returns the first cell of a query's first row.
func (l *link) value(ctx context.Context, sql string) (string, error) {
	rows, err := l.query(ctx, sql)
	if err != nil {
		return "", err
	}
	if len(rows) == 0 || len(rows[0]) == 0 {
		return "", errors.New("no row returned")
	}
	return rows[0][0], nil
}

// close ends the connection. Its context bounds the farewell.
func (l *link) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.pg.Close(ctx) // the connection is given up whatever it says
}
