package listener

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

// querier runs one SQL statement and returns its rows as text, with "" for NULL.
type querier interface {
	query(ctx context.Context, sql string) ([][]string, error)
}

// catalogue is the describer of one session. It asks the server for what the log
// does not say, each type once, and asks nothing for a table that has only
// built-in types and a key. It belongs to one goroutine.
type catalogue struct {
	sql   querier
	types map[uint32]typeInfo // every type that was ever asked for or learnt
}

func newCatalogue(sql querier) *catalogue {
	return &catalogue{sql: sql, types: make(map[uint32]typeInfo)}
}

// learn takes a Type message, which comes before the Relation message of a table
// with a column of the type. It has the OID of the type and the name of the one
// below it if it is a domain: a type with an OID of its own and a built-in name
// is a domain, known even when it has been dropped since.
func (c *catalogue) learn(t *pgoutput.Type) {
	base, builtIn := builtInOIDs[t.Name]
	if t.Namespace == "" && builtIn { // the protocol's abbreviation of pg_catalog
		c.types[t.ID] = typeInfo{base: base}
	}
}

// knows reports whether rel can be described without a question.
func (c *catalogue) knows(rel *pgoutput.Relation) bool {
	return rel.Identity != pgoutput.IdentityFull && len(c.unknown(rel)) == 0
}

// unknown returns the types of rel's columns that nothing is known of yet.
func (c *catalogue) unknown(rel *pgoutput.Relation) []uint32 {
	var unknown []uint32
	for i := range rel.Columns {
		oid := rel.Columns[i].TypeOID
		if oid < firstAssignedOID {
			continue
		}
		if _, known := c.types[oid]; !known {
			unknown = append(unknown, oid)
		}
	}
	return unknown
}

func (c *catalogue) describe(ctx context.Context, rel *pgoutput.Relation) (details, error) {
	unknown := c.unknown(rel)
	if len(unknown) > 0 {
		if err := untilVisible(ctx, func() (bool, error) { return c.ask(ctx, unknown) }); err != nil {
			return details{}, fmt.Errorf("read types: %w", err)
		}
	}
	d := details{types: c.types}
	if rel.Identity != pgoutput.IdentityFull {
		return d, nil
	}
	err := untilVisible(ctx, func() (visible bool, err error) {
		d.primaryKey, visible, err = c.primaryKey(ctx, rel.ID)
		return visible, err
	})
	if err != nil {
		return details{}, fmt.Errorf("read primary key: %w", err)
	}
	return d, nil
}

// The pauses between two questions for what the catalogue does not have.
const (
	firstVisiblePause = 5 * time.Millisecond
	lastVisiblePause  = 160 * time.Millisecond
)

// untilVisible asks until the answer is whole, for a third of a second. A commit
// is in the log an instant before other sessions see it, or as long as it waits
// for a synchronous standby, and it may have made the very type it uses. What
// was dropped since looks the same, and is not waited for any longer.
func untilVisible(ctx context.Context, ask func() (whole bool, err error)) error {
	for pause := firstVisiblePause; ; pause *= 2 {
		whole, err := ask()
		if err != nil || whole || pause > lastVisiblePause {
			return err
		}
		if err := publisher.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// typesQuery selects the types of a list of OIDs and all that they are made of
// and that is not built in. The one true array type of an element type is the
// one that the element's row names.
const typesQuery = `WITH RECURSIVE reached(oid) AS (
  SELECT oid FROM pg_catalog.pg_type WHERE oid IN (%s)
  UNION
  SELECT below.oid FROM reached
    JOIN pg_catalog.pg_type AS t ON t.oid = reached.oid
    CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem)) AS below(oid)
    WHERE below.oid >= %d
)
SELECT t.oid, t.typbasetype, e.oid, e.typdelim FROM reached
  JOIN pg_catalog.pg_type AS t ON t.oid = reached.oid
  LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND e.typarray = t.oid`

// ask reads the types from the catalogue. Those it does not have are simply
// text; whole is then false.
func (c *catalogue) ask(ctx context.Context, oids []uint32) (whole bool, err error) {
	list := make([]string, len(oids))
	for i, oid := range oids {
		list[i] = strconv.FormatUint(uint64(oid), 10)
	}
	rows, err := c.sql.query(ctx, fmt.Sprintf(typesQuery, strings.Join(list, ","), firstAssignedOID))
	if err != nil {
		return false, err
	}
	found := make(typeRows, len(rows))
	for _, row := range rows {
		if err := found.add(row); err != nil {
			return false, err
		}
	}
	for oid := range found {
		c.types[oid] = found.info(oid)
	}
	whole = true
	for _, oid := range oids {
		if _, ok := found[oid]; !ok {
			c.types[oid] = typeInfo{}
			whole = false
		}
	}
	return whole, nil
}

// typeRow is a type as the catalogue has it.
type typeRow struct {
	below     uint32 // of a domain, the type it is over; else 0
	element   uint32 // of an array; else 0
	delimiter byte
}

type typeRows map[uint32]typeRow

// add takes a row of typesQuery.
func (r typeRows) add(row []string) error {
	if len(row) != 4 {
		return fmt.Errorf("type has %d columns, want 4", len(row))
	}
	var numbers [3]uint32
	for i, cell := range row[:3] {
		if cell == "" {
			continue
		}
		n, err := strconv.ParseUint(cell, 10, 32)
		if err != nil {
			return fmt.Errorf("read OID: %w", err)
		}
		numbers[i] = uint32(n)
	}
	t := typeRow{below: numbers[1], element: numbers[2]}
	if row[3] != "" {
		t.delimiter = row[3][0]
	}
	r[numbers[0]] = t
	return nil
}

// bottom returns the type below all domains. No more are gone through than there
// are types.
func (r typeRows) bottom(oid uint32) uint32 {
	for range r {
		if below := r[oid].below; below != 0 {
			oid = below
		}
	}
	return oid
}

// info says what a type is made of.
func (r typeRows) info(oid uint32) typeInfo {
	base := r.bottom(oid)
	if base < firstAssignedOID {
		return typeInfo{base: base}
	}
	t := r[base]
	if t.element == 0 {
		return typeInfo{}
	}
	return typeInfo{element: r.bottom(t.element), delimiter: t.delimiter}
}

// keyQuery selects the names of the columns of a table's primary key, in order;
// one NULL if the table has none, and nothing if there is no such table.
const keyQuery = `SELECT a.attname FROM pg_catalog.pg_class AS c
  LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
  LEFT JOIN LATERAL pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k(attnum, place) ON k.place <= i.indnkeyatts
  LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
  WHERE c.oid = %d ORDER BY k.place`

// primaryKey reads the names of a table's key. visible is false if there is no
// such table.
func (c *catalogue) primaryKey(ctx context.Context, table uint32) (names []string, visible bool, err error) {
	rows, err := c.sql.query(ctx, fmt.Sprintf(keyQuery, table))
	if err != nil {
		return nil, false, err
	}
	for _, row := range rows {
		if len(row) == 1 && row[0] != "" {
			names = append(names, row[0])
		}
	}
	return names, len(rows) > 0, nil
}
