package listener

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/walherald/walherald/listener/pgoutput"
)

// memory keeps, in the source database, how far a slot may have been read. The
// order is always: the outputs confirm, the memory is written, the server is
// told. A slot is therefore never ahead of its memory. One that is was made
// anew or moved by somebody, and what lies between is lost to it.
//
// The position is the value of a sequence named like the slot. A sequence is
// crash-safe, goes to standbys and backups like any table, is written in place,
// and, unlike a table, is in no publication, FOR ALL TABLES included: neither
// our own stream nor the subscribers of somebody else's ever see it. What does
// not change with the position is in the sequence's comment.
//
// The methods may be called from several goroutines.
type memory struct {
	sql          querier
	schema, slot string
}

// memoryNote is the comment of the sequence, as JSON.
type memoryNote struct {
	// System and Timeline are those of the server when the slot was last begun
	// to be read, Database that of the slot: a database can be copied with all
	// that is in it.
	System   string `json:"system"`
	Database string `json:"database"`
	Timeline int32  `json:"timeline"`
	// From is the position that the slot itself had reached then: it is never further
	// back again.
	From string `json:"from"`
	// Started is when that server had been started.
	Started string `json:"started"`
}

// remembered is what a memory holds.
type remembered struct {
	exists bool
	lsn    pgoutput.LSN
	note   memoryNote
}

// read returns what is remembered of the slot.
func (m *memory) read(ctx context.Context) (remembered, error) {
	rows, err := m.sql.query(ctx, `SELECT pg_catalog.pg_sequence_last_value(c.oid), pg_catalog.obj_description(c.oid, 'pg_class')
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'S' AND n.nspname = `+quoteLiteral(m.schema)+" AND c.relname = "+quoteLiteral(m.slot))
	if err != nil {
		return remembered{}, fmt.Errorf("read slot memory %s: %w", m.name(), err)
	}
	if len(rows) == 0 || len(rows[0]) == 2 && rows[0][0] == "" {
		return remembered{}, nil
	}
	if len(rows[0]) != 2 {
		return remembered{}, fmt.Errorf("read slot memory %s: %w", m.name(), errNoAnswer)
	}
	lsn, err := strconv.ParseUint(rows[0][0], 10, 64)
	if err != nil {
		return remembered{}, fmt.Errorf("read slot memory %s: %w", m.name(), err)
	}
	r := remembered{exists: true, lsn: pgoutput.LSN(lsn)}
	if err := json.Unmarshal([]byte(rows[0][1]), &r.note); err != nil {
		return remembered{}, fatalf("read slot memory %s: its comment is not walherald's: %w; "+
			"let listener.schema name another schema, or drop the sequence", m.name(), err)
	}
	return r, nil
}

// open makes the memory where there is none and notes that the slot is read
// from lsn on, and what it had reached by itself: who is killed before it tells the
// server leaves the slot there.
func (m *memory) open(ctx context.Context, id identity, lsn, reached pgoutput.LSN) error {
	rows, err := m.sql.query(ctx, `SELECT pg_catalog.pg_postmaster_start_time(),
		EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = `+quoteLiteral(m.schema)+")")
	if err != nil {
		return err
	}
	if len(rows) != 1 || len(rows[0]) != 2 {
		return errNoAnswer
	}
	started, schemaExists := rows[0][0], rows[0][1] == "t"
	note, err := json.Marshal(memoryNote{System: id.system, Database: id.database, Timeline: id.timeline, From: reached.String(), Started: started})
	if err != nil {
		return err
	}
	sql := ""
	if !schemaExists {
		sql = "CREATE SCHEMA " + quoteIdent(m.schema) + ";"
	}
	sql += "CREATE SEQUENCE IF NOT EXISTS " + m.name() + " MINVALUE 0;" +
		"COMMENT ON SEQUENCE " + m.name() + " IS " + quoteLiteral(string(note)) + ";" + m.set(lsn)
	_, err = m.sql.query(ctx, sql)
	return err
}

// write notes that the server may be told positions up to lsn. Once it returns
// nil, that outlives the server's end. It is an error, errSlotLost, if the slot is
// not read by the walsender with the process id: one that lost its connection
// without noticing must not write over the memory of one that took over.
func (m *memory) write(ctx context.Context, lsn pgoutput.LSN, walsender uint32) error {
	rows, err := m.sql.query(ctx, fmt.Sprintf("SELECT pg_catalog.setval(%s::pg_catalog.regclass, greatest(m.last_value, %d)) "+
		"FROM %s m, pg_catalog.pg_replication_slots s WHERE s.slot_name = %s AND s.active_pid = %d",
		quoteLiteral(m.name()), uint64(lsn), m.name(), quoteLiteral(m.slot), walsender))
	if err == nil && len(rows) == 0 {
		return errSlotLost
	}
	return err
}

// errSlotLost ends a session whose slot another process may read by now.
var errSlotLost = errors.New("slot is no longer read by this connection")

// move notes a position that a human has moved the slot to.
func (m *memory) move(ctx context.Context, lsn pgoutput.LSN) error {
	_, err := m.sql.query(ctx, m.set(lsn))
	return err
}

// forget removes what is remembered of the slot.
func (m *memory) forget(ctx context.Context) error {
	if _, err := m.sql.query(ctx, "DROP SEQUENCE IF EXISTS "+m.name()); err != nil && sqlState(err) != codeNoSchema {
		return fmt.Errorf("drop slot memory %s: %w", m.name(), err)
	}
	return nil
}

func (m *memory) set(lsn pgoutput.LSN) string {
	return "SELECT pg_catalog.setval(" + quoteLiteral(m.name()) + "::pg_catalog.regclass, " + strconv.FormatUint(uint64(lsn), 10) + ")"
}

func (m *memory) name() string { return quoteIdent(m.schema) + "." + quoteIdent(m.slot) }

// codeNoSchema is the server's code for a schema that does not exist.
const codeNoSchema = "3F000"

// memoryRefused reports whether the server will not let the memory be written
// until somebody changes that: rights are missing, or it is a standby.
func memoryRefused(err error) bool {
	switch sqlState(err) {
	case "42501", codeReadOnly:
		return true
	}
	return false
}
