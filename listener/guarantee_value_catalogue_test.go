package listener

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/walherald/walherald/listener/pgoutput"
)

// catalogueOf returns a describer of the source's database.
func catalogueOf(s *pgSource) *catalogue {
	s.t.Helper()
	sql := &sqlConn{db: s.db}
	s.t.Cleanup(sql.close)
	return newCatalogue(sql)
}

func TestPrimaryKeyOfAWholeRowIdentityIsTheCatalogues(t *testing.T) {
	s := pgShared(t)
	c := catalogueOf(s)
	for ddl, want := range map[string][]string{
		`CREATE TABLE one (a int, "B ""b""" text PRIMARY KEY)`:                                             {`B "b"`},
		`CREATE TABLE two (a int, b int, c int, PRIMARY KEY (c, a))`:                                       {"c", "a"},
		`CREATE TABLE extra (a int, b int, c int, PRIMARY KEY (b) INCLUDE (a, c))`:                         {"b"},
		`CREATE TABLE uniq (a int NOT NULL UNIQUE)`:                                                        nil,
		`CREATE TABLE bare (a int)`:                                                                        nil,
		`CREATE TABLE parted (a int, b int, PRIMARY KEY (b, a)) PARTITION BY HASH (a)`:                     {"b", "a"},
		`CREATE TABLE dropped (gone int, b int, a int, PRIMARY KEY (a, b)); ALTER TABLE dropped DROP gone`: {"a", "b"},
	} {
		s.exec(ddl)
		var table string
		if _, err := fmt.Sscanf(ddl, "CREATE TABLE %s", &table); err != nil {
			t.Fatal(err)
		}
		rel := &pgoutput.Relation{ID: s.oid(fmt.Sprintf("SELECT '%s'::regclass::oid", table)), Identity: pgoutput.IdentityFull}
		if got := mustDescribe(t, c, rel).primaryKey; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", table, got, want)
		}
	}
}

func TestTypesDroppedSinceStayReadable(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE DOMAIN price AS numeric(10,2)", "CREATE DOMAIN net_price AS price", "CREATE DOMAIN prices AS int[]", "CREATE TYPE mood AS ENUM ('ok', 'sad')",
		"CREATE TABLE t (id int PRIMARY KEY, d price, dd net_price, da prices, ad price[], e mood, ea mood[])")
	sink := newGuaranteeSink()
	s.stream(sink).stop()
	const insert = "INSERT INTO t VALUES (%d, 1, 2.5, '{1,2}', '{1,2}', 'ok', '{ok,sad}')"
	s.exec(fmt.Sprintf(insert, 1), "DROP TABLE t", "DROP DOMAIN net_price, prices", "DROP DOMAIN price", "DROP TYPE mood")
	s.stream(sink)
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 1)), []string{
		"INSERT public.t map[ad:{1.00,2.00} d:1.00 da:[1 2] dd:2.50 e:ok ea:{ok,sad} id:1] map[]",
	})
}

func TestTypesMadeInTheTransactionThatUsesThemAreKnown(t *testing.T) {
	s := pgShared(t)
	sink := newGuaranteeSink()
	s.stream(sink)
	for n := range 20 {
		s.transaction(
			fmt.Sprintf("CREATE TYPE mood%d AS ENUM ('ok', 'sad')", n),
			fmt.Sprintf("CREATE TABLE t%d (id int, m mood%[1]d[])", n),
			fmt.Sprintf("INSERT INTO t%d VALUES (1, '{ok,sad}')", n),
		)
		if got := guaranteeParse(t, sink.awaitAccepted(s.ctx, t, n+1)[n]).Data; !reflect.DeepEqual(got["m"], []any{"ok", "sad"}) {
			t.Fatalf("array of an enum is %v", got["m"])
		}
	}
}

// commitsAfter is a connection that makes a transaction visible after the first
// question that it was asked.
type commitsAfter struct {
	querier
	commit func()
}

func (c *commitsAfter) query(ctx context.Context, sql string) ([][]string, error) {
	defer func() {
		c.commit()
		c.commit = func() {}
	}()
	return c.querier.query(ctx, sql)
}

// A commit is in the log before other sessions see it.
func TestWhatIsNotVisibleYetIsWaitedFor(t *testing.T) {
	s := pgShared(t)
	for what, ddl := range map[string]string{
		"type":  "CREATE DOMAIN price AS numeric; CREATE TABLE a (p price[])",
		"table": "CREATE TABLE b (id int PRIMARY KEY)",
	} {
		c := catalogueOf(s)
		s.exec("BEGIN", ddl)
		c.sql = &commitsAfter{c.sql, func() { s.exec("COMMIT") }}
		rel := &pgoutput.Relation{Identity: pgoutput.IdentityFull, ID: s.oid("(SELECT max(oid) FROM pg_class WHERE relkind = 'r')")}
		if what == "type" {
			rel.Identity = pgoutput.IdentityDefault
			rel.Columns = []pgoutput.RelationColumn{{Name: "p", TypeOID: s.oid("'price[]'::regtype::oid")}}
		}
		d := mustDescribe(t, c, rel)
		if what == "type" && d.types[rel.Columns[0].TypeOID].element != oidNumeric || what == "table" && !slices.Equal(d.primaryKey, []string{"id"}) {
			t.Errorf("%s: got %+v", what, d)
		}
	}
}

// oid returns what sql says as an OID.
func (s *pgSource) oid(sql string) uint32 {
	s.t.Helper()
	oid, err := strconv.ParseUint(s.value(sql), 10, 32)
	if err != nil {
		s.t.Fatal(err)
	}
	return uint32(oid)
}

func TestConnectionForTheCatalogueEndsWithTheListener(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TYPE mood AS ENUM ('ok', 'sad')", "CREATE TABLE t (id int PRIMARY KEY, m mood)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.exec("INSERT INTO t VALUES (1, 'ok')")
	sink.awaitAccepted(s.ctx, t, 1)
	r.stop()
	s.eventually("the end of every connection", func() bool {
		return s.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'walherald' AND datname = current_database()") == "0"
	})
}
