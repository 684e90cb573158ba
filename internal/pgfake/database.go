package pgfake

import (
	"fmt"
	"maps"
	"strconv"
)

// Database is what a server says of itself and of one database. It is a value:
// a changed copy is another server.
type Database struct {
	Name     string
	System   string // identifier of the cluster
	Timeline int
	Version  int // as in server_version_num
	// Publication is the one that exists; empty if none does.
	Publication string
	// Slot holds the columns of the slot's row in pg_replication_slots that are
	// not null; nil if there is no slot.
	Slot map[string]string
}

// NewDatabase returns a database of PostgreSQL 15 with publication "walherald"
// and a slot that can be read, confirmed up to 0/10.
func NewDatabase(name, slot string) Database {
	return Database{
		Name: name, System: "7000000000000000001", Timeline: 1, Version: 150000, Publication: "walherald",
		Slot: map[string]string{
			"slot_name": slot, "plugin": "pgoutput", "slot_type": "logical", "database": name,
			"restart_lsn": "0/8", "confirmed_flush_lsn": "0/10", "wal_status": "reserved",
			"temporary": "f", "active": "f", "two_phase": "f", "conflicting": "f",
		},
	}
}

// WithSlot returns the database with some of the slot's columns changed; [Null]
// makes a column null.
func (d Database) WithSlot(columns map[string]string) Database {
	slot := maps.Clone(d.Slot)
	maps.Copy(slot, columns)
	d.Slot = slot
	return d
}

// Rules answer what walherald asks before it streams.
func (d Database) Rules() []Rule {
	rules := []Rule{
		On("IDENTIFY_SYSTEM", Row(d.System, strconv.Itoa(d.Timeline), "0/10", d.Name)),
		On("SHOW server_version_num", Row(strconv.Itoa(d.Version))),
		On("pg_is_in_recovery()", Row("f")),
	}
	if d.Publication != "" {
		rules = append(rules, On("FROM pg_catalog.pg_publication WHERE pubname = '"+d.Publication+"'", Row("1")))
	}
	if d.Slot != nil {
		rules = append(rules, Table("pg_catalog.pg_replication_slots", d.Slot))
	}
	return rules
}

// Ordinary is the script of connections that take SQL alone: the server says
// what it is, answers by rules of the caller's, and lets the role do nothing
// else.
func (d Database) Ordinary(rules ...Rule) Script {
	return Script{Login(), Answer(append(rules,
		On("SHOW server_version_num", Row(strconv.Itoa(d.Version))),
		On("pg_control_system()", Row(d.System, fmt.Sprintf("%08X", d.Timeline))), // as in the names of files of the log
		On("SET ", Nothing()),
		Otherwise(Error("42501", "permission denied")),
	)...)}
}

// Serve is the script that lets everybody in, answers by the database's rules
// until the stream begins, and then takes the steps.
func (d Database) Serve(steps ...Step) Script {
	return append(Script{Login(), Answer(d.Rules()...)}, steps...)
}
