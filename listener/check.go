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

// checkTimeout bounds a whole Check.
const checkTimeout = 2 * connectTimeout

// Check looks for what would keep a Listener of this configuration from
// streaming and returns what it found, good and bad, in the order in which a
// start would meet it. It changes nothing: its session is read-only, and what a
// start would create is only judged. It connects as the service does, which
// takes one walsender meanwhile, and ends within 30 seconds. No finding holds
// the password.
func Check(ctx context.Context, cfg config.Listener, db config.Database) []config.Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	p := &preflight{cfg: cfg, db: db}
	if !p.connect(ctx) {
		return p.Findings
	}
	defer p.link.close()
	for _, look := range []func(context.Context) error{
		p.server, p.replication, p.readNames, p.checkPublication, p.checkSlot,
	} {
		err := look(ctx)
		if err != nil && !errors.Is(err, errTold) {
			p.Fail("database", "run the check again; if this comes back, the server's log says more", "check ended early: %s", cause(err))
		}
		if err != nil {
			break
		}
	}
	return p.Findings
}

// errTold ends a Check whose last finding says why.
var errTold = errors.New("told")

// preflight is one Check.
type preflight struct {
	config.Findings

	cfg  config.Listener
	db   config.Database
	link *link

	// plain says that the link is no replication connection, because that one
	// was refused.
	plain       bool
	standby     bool
	publication string
	published   bool // the publication exists
	slot        slotState
}

// row returns the first row of a query.
func (p *preflight) row(ctx context.Context, sql string) ([]string, error) {
	rows, err := p.link.query(ctx, sql)
	if err == nil && len(rows) == 0 {
		err = errors.New("something was dropped meanwhile")
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

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
	version, err := l.value(ctx, "SHOW server_version_num")
	if err == nil {
		l.version, err = strconv.Atoi(version)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("read server version: %w", err)
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

// refusals says, by the server's code (PostgreSQL documentation, appendix A),
// which key an error of connecting is about and what to do.
var refusals = map[string]struct{ path, remedy string }{
	"28P01": {"database.password", "correct database.user and database.password, or the variable WAL_LISTENER_DB_PASSWORD"},
	"28000": {"database.user", "create the role with LOGIN, and let pg_hba.conf admit it to the database from this host, with or without TLS as database.sslMode says"},
	"3D000": {"database.name", "correct database.name, or create the database"},
	"42501": {"database.user", "grant the role CONNECT on the database"},
	"53300": {"database", "raise max_connections, which takes a restart of the server, or end connections that are not needed"},
	"57P03": {"database", "wait until the server has started"},
	"08P01": {"database.host", "name PostgreSQL itself: a pooler such as pgbouncer, which seems to answer there, does not pass replication on"},
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
	}
	return "database.host", "correct database.host and database.port, or start PostgreSQL; its listen_addresses and the firewalls have to let this host in"
}

// server makes the session read-only and checks what holds for the server as a
// whole.
func (p *preflight) server(ctx context.Context) error {
	r, err := p.row(ctx, "SET default_transaction_read_only = on; SELECT current_setting('wal_level'), pg_is_in_recovery()")
	if err != nil {
		return err
	}
	level, major := r[0], p.link.version/10000
	if level == "logical" {
		p.OK("database", "wal_level is logical")
	} else {
		p.Fail("database", "let a superuser run: ALTER SYSTEM SET wal_level = logical; then restart the server",
			"wal_level is %s, walherald needs logical", level)
	}
	p.standby = r[1] == "t"
	if p.standby && major < 16 {
		p.Fail("database.host", "name the primary, or upgrade", "server is a standby, and those can be read from PostgreSQL 16 on only; this is %d", major)
		return errTold
	}
	if p.cfg.DropForeignOrigin && major < 16 {
		p.Fail("listener.dropForeignOrigin", "remove it, or upgrade", "needs PostgreSQL 16 or newer, the server is version %d", major)
	}
	return nil
}

// replication tells of the role's right and of the walsenders. A replication
// connection proves both by being there; why one is not has been told.
func (p *preflight) replication(ctx context.Context) error {
	if p.plain {
		return nil
	}
	r, err := p.row(ctx, "SELECT count(*), current_setting('max_wal_senders') FROM pg_catalog.pg_stat_replication")
	if err != nil {
		return err
	}
	p.OK("database.user", "role %s may replicate", p.db.User)
	p.OK("database", "walsenders in use: %s of %s, the one of this check among them", r[0], r[1])
	return nil
}

// readNames reads whether publication and slot exist.
func (p *preflight) readNames(ctx context.Context) (err error) {
	if p.publication, p.published, err = p.link.choosePublication(ctx, p.cfg.Publication); err != nil {
		return err
	}
	p.slot, err = p.link.readSlot(ctx, p.cfg.SlotName)
	return err
}

func (p *preflight) checkPublication(ctx context.Context) error {
	switch {
	case p.published:
		return p.existingPublication(ctx)
	case p.slot.exists:
		return nil // judgeSlot refuses that
	case p.standby:
		p.Fail("listener.publication", "create it on the primary", "publication %q does not exist, and a standby cannot create it", p.publication)
		return nil
	}
	return p.newPublication(ctx)
}

// existingPublication tells what a publication publishes. It is taken as it is.
func (p *preflight) existingPublication(ctx context.Context) error {
	r, err := p.row(ctx, `SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate,
		(SELECT count(*) FROM pg_catalog.pg_publication_tables t WHERE t.pubname = p.pubname)
		FROM pg_catalog.pg_publication p WHERE pubname = `+quoteLiteral(p.publication))
	if err != nil {
		return err
	}
	var actions []string
	for i, action := range []string{"insert", "update", "delete", "truncate"} {
		if r[i+1] == "t" {
			actions = append(actions, action)
		}
	}
	scope := "of the tables it lists"
	if r[0] == "t" {
		scope = "of all tables"
	}
	p.OK("listener.publication", "publication %q exists and publishes %s %s, %s now", p.publication, strings.Join(actions, ", "), scope, r[5])
	return nil
}

// newPublication judges whether the role could create the publication
// (PostgreSQL documentation, CREATE PUBLICATION).
func (p *preflight) newPublication(ctx context.Context) error {
	r, err := p.row(ctx, "SELECT rolsuper, has_database_privilege(current_database(), 'CREATE') FROM pg_catalog.pg_roles WHERE rolname = current_user")
	if err != nil {
		return err
	}
	superuser, mayCreate := r[0] == "t", r[1] == "t"
	before, tables := len(p.Findings), p.cfg.Publication.Tables
	switch {
	case len(tables) == 0 && !superuser:
		p.Fail("listener.publication", "let a superuser run: CREATE PUBLICATION "+quoteIdent(p.publication)+" FOR ALL TABLES; or list tables that the role owns",
			"publication %q does not exist, and role %s may not create it: for all tables only a superuser can", p.publication, p.db.User)
	case !mayCreate:
		p.Fail("listener.publication", "let the owner of the database run: GRANT CREATE ON DATABASE "+quoteIdent(p.db.Name)+" TO "+quoteIdent(p.db.User),
			"publication %q does not exist, and role %s may not create it in this database", p.publication, p.db.User)
	}
	for _, name := range tables {
		if err := p.table(ctx, name); err != nil {
			return err
		}
	}
	if len(p.Findings) > before {
		return nil
	}
	scope := "all tables"
	if len(tables) > 0 {
		scope = strings.Join(tables, ", ")
	}
	p.OK("listener.publication", "publication %q does not exist and would be created for %s", p.publication, scope)
	return p.identities(ctx)
}

// table judges whether a table could be put into the publication. It takes no
// rights on the table, unlike resolving its name would.
func (p *preflight) table(ctx context.Context, name string) error {
	const path = "listener.publication.tables"
	rows, err := p.link.query(ctx, `SELECT CASE WHEN c.relkind NOT IN ('r', 'p') THEN 'kind' WHEN c.relpersistence <> 'p' THEN 'unlogged'
		WHEN NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') THEN 'owner' END
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE `+isTable(name))
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		p.Fail(path, "correct the name (its case counts), or create the table", "table %s does not exist", name)
		return nil
	}
	switch rows[0][0] {
	case "kind":
		p.Fail(path, "remove it from the list", "%s is no table, and nothing else can be published", name)
	case "unlogged":
		p.Fail(path, "let its owner run: ALTER TABLE "+quoteTable(name)+" SET LOGGED; or remove it from the list",
			"table %s is unlogged or temporary: its changes are not in the log", name)
	case "owner":
		p.Fail(path, "let a superuser create publication "+quoteIdent(p.publication)+", or make the role the owner of the table",
			"role %s does not own table %s and may not publish it", p.db.User, name)
	}
	return nil
}

// isTable is the condition, on pg_class c and pg_namespace n, that picks a table
// by its configured name.
func isTable(name string) string {
	if schema, relation, qualified := strings.Cut(name, "."); qualified {
		return "(n.nspname = " + quoteLiteral(schema) + " AND c.relname = " + quoteLiteral(relation) + ")"
	}
	return "(c.relname = " + quoteLiteral(name) + " AND pg_catalog.pg_table_is_visible(c.oid))"
}

// identities warns of tables that have nothing to tell their rows apart:
// PostgreSQL refuses their UPDATE and DELETE once they are published, to every
// application.
func (p *preflight) identities(ctx context.Context) error {
	which := []string{"n.nspname NOT IN ('pg_catalog', 'information_schema')"}
	if tables := p.cfg.Publication.Tables; len(tables) > 0 {
		which = nil
		for _, name := range tables {
			which = append(which, isTable(name))
		}
	}
	r, err := p.row(ctx, `SELECT count(*), array_to_string((array_agg(format('%I.%I', n.nspname, c.relname) ORDER BY n.nspname, c.relname))[:5], ', ')
		|| CASE WHEN count(*) > 5 THEN ', ...' ELSE '' END
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND (`+strings.Join(which, " OR ")+`) AND (c.relreplident = 'n'
			OR c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))`)
	if err == nil && r[0] != "0" {
		p.Warn("listener.publication", "give them a primary key, or let their owner run: ALTER TABLE ... REPLICA IDENTITY FULL",
			"once published, UPDATE and DELETE fail for everybody on tables without a replica identity (%s): %s", r[0], r[1])
	}
	return err
}

func (p *preflight) checkSlot(ctx context.Context) error {
	if !p.slot.exists {
		return p.newSlot(ctx)
	}
	if err := p.link.judgeSlot(p.cfg.SlotName, p.slot, p.publication, p.published); err != nil {
		// The service's own words; what to do follows the semicolon.
		what, remedy, _ := strings.Cut(err.Error(), "; ")
		p.Fail("listener.slotName", remedy, "%s", what)
		return nil
	}
	// A standby has no position of its own to write at. The transaction that
	// made or last altered the publication is older than all the slot looks at
	// if the slot came after it; if not, it may still be.
	r, err := p.row(ctx, `SELECT pg_size_pretty(pg_wal_lsn_diff(
		CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn)),
		age(p.xmin) <= age(s.catalog_xmin) FROM pg_catalog.pg_replication_slots s, pg_catalog.pg_publication p
		WHERE s.slot_name = `+quoteLiteral(p.cfg.SlotName)+" AND p.pubname = "+quoteLiteral(p.publication))
	if err != nil {
		return err
	}
	p.OK("listener.slotName", "slot %s exists, is confirmed up to %s and keeps %s of log", p.cfg.SlotName, p.slot.confirmed, r[0])
	if r[1] == "t" {
		p.Warn("listener.slotName", "nothing, if the slot has been read through it before; otherwise, should walherald end with "+
			"\"publication does not exist\", drop the slot and accept that changes since then are lost: SELECT pg_drop_replication_slot("+
			quoteLiteral(p.cfg.SlotName)+")", "publication %q may be younger than slot %s, which could not be read then", p.publication, p.cfg.SlotName)
	}
	if p.slot.activePID != "" {
		p.Warn("listener.slotName", "nothing, if that is the walherald you know of; otherwise stop it, or choose another listener.slotName",
			"slot %s is read by process %s of the server: walherald would wait for it to end", p.cfg.SlotName, p.slot.activePID)
	}
	return nil
}

// newSlot judges whether there is room for the slot.
func (p *preflight) newSlot(ctx context.Context) error {
	r, err := p.row(ctx, `SELECT count(*) < current_setting('max_replication_slots')::int, count(*), current_setting('max_replication_slots'),
		string_agg(slot_name, ', ' ORDER BY slot_name) FILTER (WHERE NOT active) FROM pg_catalog.pg_replication_slots`)
	if err != nil {
		return err
	}
	left, used, limit, idle := r[0] == "t", r[1], r[2], r[3]
	if left {
		p.OK("listener.slotName", "slot %s does not exist and would be created; slots in use: %s of %s", p.cfg.SlotName, used, limit)
		return nil
	}
	remedy := "raise max_replication_slots, which takes a restart of the server"
	if idle != "" {
		remedy += ", or drop a slot that nobody will read again; not read now: " + idle
	}
	p.Fail("listener.slotName", remedy, "slot %s does not exist, and all %s slots of the server are taken", p.cfg.SlotName, limit)
	return nil
}
