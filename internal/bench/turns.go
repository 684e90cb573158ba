package main

import (
	"context"
	"fmt"
)

const (
	// turnsPublication has the many tables and nothing else; publication has
	// none of them.
	turnsPublication = "turns"
	// tablesAtOnce are made in one transaction: each takes locks until its end.
	tablesAtOnce = 250
)

// createTurns makes the tables' schema, the publication and what writes rows to
// the tables: row i goes to table i modulo their number. The statement for a
// row does nothing but insert it, so that planning it anew for each row, which
// another table needs, costs little.
var createTurns = []string{
	"CREATE SCHEMA turns",
	"CREATE PUBLICATION " + turnsPublication,
	`CREATE FUNCTION turns.insert_rows(bigint, bigint, tables int) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE r events;
	BEGIN
		FOR r IN ` + selectRows + ` LOOP
			EXECUTE 'INSERT INTO turns.events_' || r.id % tables || ' SELECT ($1).*' USING r;
		END LOOP;
	END $$`,
}

// createTables makes the tables from %[1]d to %[2]d and publishes them.
const createTables = `DO $$
	BEGIN
		FOR i IN %[1]d..%[2]d LOOP
			EXECUTE 'CREATE TABLE turns.events_' || i || ' (LIKE events INCLUDING INDEXES)';
		END LOOP;
		EXECUTE (SELECT 'ALTER PUBLICATION turns ADD TABLE ' || string_agg('turns.events_' || i, ', ')
			FROM generate_series(%[1]d, %[2]d) AS i);
	END $$`

// createTurns makes n tables like the one of the other lines.
func (s *source) createTurns(ctx context.Context, n int) error {
	for _, sql := range createTurns {
		if err := s.exec(ctx, sql); err != nil {
			return err
		}
	}
	for first := 0; first < n; first += tablesAtOnce {
		if err := s.exec(ctx, fmt.Sprintf(createTables, first, min(first+tablesAtOnce, n)-1)); err != nil {
			return err
		}
	}
	return nil
}

// loadTurns writes rows, each to the next of n tables.
func (s *source) loadTurns(ctx context.Context, n, rows int) (load, error) {
	insert := func(ctx context.Context, count int) error {
		first := s.takeIDs(count)
		return s.exec(ctx, "SELECT turns.insert_rows($1, $2, $3)", first, first+int64(count)-1, n)
	}
	return s.loadBy(ctx, insert, load{publication: turnsPublication, rows: rows}, rowsPerTransaction)
}

// measureTurns runs the lines over the many tables. They are made before the
// slots, so that no line decodes how they were made.
func (b *bench) measureTurns(ctx context.Context, r *results) error {
	if b.opts.tables == 0 || len(b.selected(turnsPhase)) == 0 {
		return nil
	}
	b.say("making %s tables …", thousands(float64(b.opts.tables)))
	if err := b.src.createTurns(ctx, b.opts.tables); err != nil {
		return err
	}
	return b.measurePhase(turnsPhase)(ctx, r)
}
