package listener

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walherald/walherald/config"
)

// connect makes the link and reports whether there is one. Where only the
// replication is refused, an ordinary connection shows what else is to be done.
func (p *preflight) connect(ctx context.Context) bool {
	if _, err := tlsConfig(p.db); err != nil {
		p.Fail("database.ssl.caCert", "name a PEM file with the authorities to trust", "%v", err)
		return false
	}
	var err error
	if p.link, err = connect(ctx, p.db, p.cfg.SlotName); err == nil {
		p.connected()
		return true
	}
	state := sqlState(err)
	if state == "42501" || state == "53300" {
		if l, plainErr := connectPlain(ctx, p.db); plainErr == nil {
			p.link, p.plain = l, true
			p.connected()
			p.noReplication(state, err)
			return true
		}
	}
	path, remedy := refusal(err)
	p.Fail(path, remedy, "cannot connect to PostgreSQL at %s: %s", p.address(), cause(err))
	return false
}

func (p *preflight) address() string { return net.JoinHostPort(p.db.Host, strconv.Itoa(p.db.Port)) }

func (p *preflight) connected() {
	version, _, _ := strings.Cut(p.link.pg.ParameterStatus("server_version"), " ")
	encryption := "without TLS"
	if _, ok := p.link.pg.Conn().(*tls.Conn); ok {
		encryption = "with TLS"
	}
	p.OK("database", "connected to PostgreSQL %s at %s as %s, database %s, %s", version, p.address(), p.db.User, p.db.Name, encryption)
}

// noReplication explains why an ordinary connection is all there is.
func (p *preflight) noReplication(state string, err error) {
	if state == "53300" {
		p.Fail("database", "raise max_wal_senders, which takes a restart of the server, or end a replication connection that is not needed",
			"no walsender is free: %s", cause(err))
		return
	}
	p.Fail("database.user", "let a superuser run: ALTER ROLE "+quoteIdent(p.db.User)+" REPLICATION (managed servers have a role to grant instead, such as rds_replication)",
		"role %s may not replicate: it is no superuser and lacks REPLICATION", p.db.User)
}

// connectPlain makes a connection that takes SQL alone.
func connectPlain(ctx context.Context, db config.Database) (*link, error) {
	cfg, err := pgConfig(db)
	if err != nil {
		return nil, err
	}
	pg, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	l := &link{pg: pg, id: identity{database: db.Name}}
	if err := l.readVersion(ctx); err != nil {
		l.close()
		return nil, err
	}
	if err := l.takeBytes(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// cause returns the innermost part of an error that still says what happened,
// in one line.
func cause(err error) string {
	var (
		pg      *pgconn.PgError
		op      *net.OpError
		connect *pgconn.ConnectError
	)
	switch {
	case errors.As(err, &pg):
		return pg.Message + " (SQLSTATE " + pg.Code + ")"
	case errors.As(err, &op):
		err = op.Err
	case errors.As(err, &connect):
		err = connect.Unwrap()
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

const noPooler = "name PostgreSQL itself: a pooler such as pgbouncer, which seems to answer there, does not pass replication on"

// refusals says, by the server's code (PostgreSQL documentation, appendix A),
// which key an error of connecting is about and what to do.
var refusals = map[string]struct{ path, remedy string }{
	"28P01": {"database.password", "correct database.user and database.password, or the variable WAL_LISTENER_DB_PASSWORD"},
	"28000": {"database.user", "create the role with LOGIN, and let pg_hba.conf admit it to the database from this host, with or without TLS as database.sslMode says"},
	"3D000": {"database.name", "correct database.name, or create the database"},
	"42501": {"database.user", "grant the role CONNECT on the database"},
	"53300": {"database", "raise max_connections, which takes a restart of the server, or end connections that are not needed"},
	"57P03": {"database", "wait until the server has started"},
	// What a pooler says that knows no replication, and the server behind one that
	// was told to ignore the parameter.
	"08P01": {"database.host", noPooler},
	"42601": {"database.host", noPooler},
}

// refusal says which key an error of connecting is about and what to do.
func refusal(err error) (path, remedy string) {
	if r, ok := refusals[sqlState(err)]; ok {
		return r.path, r.remedy
	}
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		verify    *tls.CertificateVerificationError
		dns       *net.DNSError
	)
	switch {
	case errors.As(err, &authority):
		return "database.ssl.caCert", "name the PEM file of the authority that signed the server's certificate"
	case errors.As(err, &hostname):
		return "database.ssl.serverName", "set it to a name that is in the server's certificate, or database.sslMode to verify-ca"
	case errors.As(err, &verify):
		return "database.ssl", "renew the server's certificate"
	case strings.Contains(err.Error(), "server refused TLS connection"): // an error without a type
		return "database.sslMode", "turn ssl on in the server, or set database.sslMode to disable"
	case errors.As(err, &dns):
		return "database.host", "correct the name"
	case errors.Is(err, errTooOld):
		return "database.host", "upgrade the server, or name another"
	}
	return "database.host", "correct database.host and database.port, or start PostgreSQL; its listen_addresses and the firewalls have to let this host in"
}

// explainPooler adds to an error of connecting that it is a pooler's.
func explainPooler(err error) error {
	if r, ok := refusals[sqlState(err)]; ok && r.remedy == noPooler {
		return fmt.Errorf("%w; database.host: %s", err, noPooler)
	}
	return err
}

// pooler finds out whether something that speaks the protocol stands in between
// and passes replication on. PostgreSQL tells a client the number of the process
// that serves it (PostgreSQL documentation, BackendKeyData), for cancelling; a
// pooler puts one of its own there. Addresses prove nothing: they differ behind
// any translation of addresses as well.
func (p *preflight) pooler(ctx context.Context) error {
	pid, err := p.link.value(ctx, "SELECT pg_catalog.pg_backend_pid()")
	if err != nil {
		return err
	}
	if pid != strconv.FormatUint(uint64(p.link.pg.PID()), 10) {
		p.Warn("database.host", "name PostgreSQL itself: a pooler ends connections by rules of its own, and a server it changes to has another log",
			"a pooler or proxy answers at %s, not PostgreSQL itself", p.address())
	}
	return nil
}
