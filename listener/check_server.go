package listener

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// server checks what holds for the server and the database as a whole.
func (p *preflight) server(ctx context.Context) error {
	r, err := p.row(ctx, `SELECT pg_catalog.current_setting('wal_level'), pg_catalog.pg_is_in_recovery(), pg_catalog.pg_encoding_to_char(encoding)
		FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()`)
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
	if r[2] == "SQL_ASCII" {
		p.Warn("database.name", "store UTF-8 only, or move the data to a database with a real encoding",
			"database %s has the encoding SQL_ASCII, which says nothing of its texts: bytes that are not UTF-8 leave as U+FFFD", p.db.Name)
	}
	if p.standby = r[1] == "t"; !p.standby {
		return nil
	}
	if major < 16 {
		p.Fail("database.host", "name the primary, or upgrade", "server is a standby, and those can be read from PostgreSQL 16 on only; this is %d", major)
		return errTold
	}
	if p.cfg.Failover {
		p.Fail("listener.failover", "name the primary in database.host, or remove it", "server is a standby, and its slots cannot be copied to other standbys")
	}
	return nil
}

// features checks what is configured against what the server's version has.
func (p *preflight) features(context.Context) error {
	for _, feature := range []struct {
		asked bool
		path  string
		since int
	}{
		{p.cfg.DropForeignOrigin, "listener.dropForeignOrigin", 16},
		{len(p.cfg.Messages) > 0, "listener.messages", 14},
		{p.cfg.Failover, "listener.failover", 17},
		{p.cfg.Publication.ViaPartitionRoot, "listener.publication.viaPartitionRoot", 13},
	} {
		if major := p.link.version / 10000; feature.asked && major < feature.since {
			p.Fail(feature.path, "remove it, or upgrade", "%s needs PostgreSQL %d or newer, the server is version %d", feature.path, feature.since, major)
		}
	}
	return nil
}

// settings checks the server's settings that decide how long a slot and a
// connection last.
func (p *preflight) settings(ctx context.Context) error {
	rows, err := p.link.query(ctx, `SELECT name, setting, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings
		WHERE name IN ('max_slot_wal_keep_size', 'wal_sender_timeout', 'idle_replication_slot_timeout')`)
	for _, r := range rows {
		switch name, setting, shown := r[0], r[1], r[2]; {
		case name == "wal_sender_timeout":
			err = p.senderTimeout(setting, shown)
		case name == "max_slot_wal_keep_size" && setting == "-1":
			p.OK("database", "max_slot_wal_keep_size is -1: the server keeps all log that slot %s needs, so walherald loses nothing while it is away "+
				"and the server's disk can fill", p.cfg.SlotName)
		case name == "max_slot_wal_keep_size":
			p.Warn("database", "watch how much log the slot keeps, or let a superuser run: ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf()",
				"max_slot_wal_keep_size is %s: slot %s is invalidated, and changes are lost to it, once it keeps more log than that", shown, p.cfg.SlotName)
		case setting != "0":
			p.Warn("database", "let a superuser run: ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()",
				"idle_replication_slot_timeout is %s: slot %s is invalidated, and changes are lost to it, once walherald has been away for so long", shown, p.cfg.SlotName)
		}
	}
	return err
}

// senderTimeout wants two words to the server within its wal_sender_timeout, so
// that one may be late.
func (p *preflight) senderTimeout(setting, shown string) error {
	ms, err := strconv.Atoi(setting)
	if err != nil {
		return fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	limit := time.Duration(ms) * time.Millisecond
	if limit > 0 && p.cfg.HeartbeatInterval > limit/2 {
		p.Warn("listener.heartbeatInterval", fmt.Sprintf("set it to %v at most, or raise wal_sender_timeout", limit/2),
			"heartbeatInterval is %v, and the server ends a connection that is silent for %s (wal_sender_timeout)", p.cfg.HeartbeatInterval, shown)
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

// slotMemory checks whether the slot's memory can be kept.
func (p *preflight) slotMemory(ctx context.Context) error {
	if !p.cfg.SlotMemory {
		return nil
	}
	const path = "listener.slotMemory"
	const without = "; without it a slot that is gone, made anew or moved is not noticed after a restart"
	if p.standby {
		p.Warn(path, "set it to false, or name the primary in database.host", "slot memory cannot be kept: the server is a standby"+without)
		return nil
	}
	schema, role := quoteIdent(p.cfg.Schema), quoteIdent(p.db.User)
	r, err := p.row(ctx, `SELECT n.oid IS NOT NULL, pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
		pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_schema_privilege(n.oid, 'CREATE'),
		c.oid IS NOT NULL, pg_catalog.pg_has_role(c.relowner, 'USAGE'), c.relkind = 'S'
		FROM (VALUES (`+quoteLiteral(p.cfg.Schema)+`)) w (name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.name
		LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = `+quoteLiteral(p.cfg.SlotName))
	if err != nil {
		return err
	}
	schemaExists, mayCreate, mayUse, kept, owned := r[0] == "t", r[1] == "t", r[2] == "t", r[3] == "t", r[4] == "t"
	switch {
	case kept && r[5] != "t":
		p.Warn(path, "let listener.schema name another schema", "slot memory cannot be kept: %s.%s is no sequence", p.cfg.Schema, p.cfg.SlotName)
	case kept && !owned:
		p.Warn(path, "let a superuser run: ALTER SEQUENCE "+schema+"."+quoteIdent(p.cfg.SlotName)+" OWNER TO "+role,
			"slot memory cannot be kept: role %s does not own sequence %s.%s%s", p.db.User, p.cfg.Schema, p.cfg.SlotName, without)
	case kept:
		p.OK(path, "slot memory is kept as sequence %s.%s", p.cfg.Schema, p.cfg.SlotName)
	case !schemaExists && !mayCreate:
		p.Warn(path, "let the owner of the database run: CREATE SCHEMA "+schema+" AUTHORIZATION "+role+"; or set it to false",
			"slot memory cannot be kept: role %s may not create schema %s%s", p.db.User, p.cfg.Schema, without)
	case schemaExists && !mayUse:
		p.Warn(path, "let the owner of the schema run: GRANT USAGE, CREATE ON SCHEMA "+schema+" TO "+role+"; or set it to false",
			"slot memory cannot be kept: role %s may not create a sequence in schema %s%s", p.db.User, p.cfg.Schema, without)
	default:
		p.OK(path, "slot memory would be kept as sequence %s.%s", p.cfg.Schema, p.cfg.SlotName)
	}
	return nil
}
