package listener

import (
	"slices"
	"testing"
)

// publish makes the publication that the source's listeners read through.
func (s *pgSource) publish(what string) {
	s.t.Helper()
	s.exec("CREATE PUBLICATION walherald " + what)
}

// guaranteeSteps executes statements one after the other, each in a transaction
// of its own, and wants their events in order. Where a statement has several
// events they stand in one string each.
func guaranteeSteps(t *testing.T, s *pgSource, steps []pgStep) {
	t.Helper()
	sink := newGuaranteeSink()
	s.stream(sink)
	var want []string
	for _, step := range steps {
		s.exec(step.sql)
		want = append(want, step.want...)
	}
	s.exec("CREATE TABLE the_end (id int PRIMARY KEY)")
	if s.value("SELECT puballtables FROM pg_publication WHERE pubname = 'walherald'") == "false" {
		s.exec("ALTER PUBLICATION walherald ADD TABLE the_end")
	}
	s.exec("INSERT INTO the_end VALUES (1)") // so that a step without events is seen to have none
	want = append(want, "INSERT public.the_end map[id:1] map[]")
	sink.await(s.ctx, t, "the last event", func() bool {
		n := len(sink.accepted)
		return n > 0 && sink.accepted[n-1].Table == "public.the_end"
	})
	messages := sink.messages()
	guaranteeOrdered(t, messages)
	guaranteeSame(t, guaranteeLines(t, messages), want)
}

// pgStep is what a statement leads to.
type pgStep struct {
	sql  string
	want []string
}

func step(sql string, want ...string) pgStep { return pgStep{sql, want} }

// partitioned makes a table with two partitions. A third one, whose columns
// stand in another order, is not attached.
func (s *pgSource) partitioned() {
	s.t.Helper()
	s.exec("CREATE TABLE root (id int, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part)",
		"CREATE TABLE p1 PARTITION OF root FOR VALUES IN (1)",
		"CREATE TABLE p2 PARTITION OF root FOR VALUES IN (2)",
		"CREATE TABLE p3 (part int, note text, id int, PRIMARY KEY (id, part))", "ALTER TABLE p3 DROP note")
}

func TestPartitionsAreTablesOfTheirOwnByDefault(t *testing.T) {
	s := pgShared(t)
	s.partitioned()
	guaranteeSteps(t, s, []pgStep{
		step("INSERT INTO root VALUES (1, 1), (2, 2)", "INSERT public.p1 map[id:1 part:1] map[]", "INSERT public.p2 map[id:2 part:2] map[]"),
		step("UPDATE root SET id = 3 WHERE id = 1", "UPDATE public.p1 map[id:3 part:1] map[id:1 part:1]"),
		step("UPDATE root SET part = 2 WHERE id = 3", "DELETE public.p1 map[] map[id:3 part:1]", "INSERT public.p2 map[id:3 part:2] map[]"),
		step("INSERT INTO p3 (id, part) VALUES (4, 3)", "INSERT public.p3 map[id:4 part:3] map[]"),
		step("ALTER TABLE root ATTACH PARTITION p3 FOR VALUES IN (3)"),
		step("INSERT INTO root VALUES (5, 3)", "INSERT public.p3 map[id:5 part:3] map[]"),
		step("ALTER TABLE root DETACH PARTITION p3; INSERT INTO p3 (id, part) VALUES (6, 7)", "INSERT public.p3 map[id:6 part:7] map[]"),
		step("DELETE FROM root WHERE part = 2", "DELETE public.p2 map[] map[id:2 part:2]", "DELETE public.p2 map[] map[id:3 part:2]"),
		step("TRUNCATE p1", "TRUNCATE public.p1 map[] map[]"),
		step("TRUNCATE root", "TRUNCATE public.p1 map[] map[]", "TRUNCATE public.p2 map[] map[]"),
	})
}

// Failure 24 of docs/failures.md.
func TestPartitionsAreTheirRootWhereThePublicationSaysSo(t *testing.T) {
	s := pgShared(t)
	s.partitioned()
	s.publish("FOR ALL TABLES WITH (publish_via_partition_root = true)")
	attached := "root"
	if s.server.Version() < 15 {
		attached = "p3" // the server stays with what it knew when it first sent the table, until the next connection
	}
	guaranteeSteps(t, s, []pgStep{
		step("INSERT INTO root VALUES (1, 1), (2, 2)", "INSERT public.root map[id:1 part:1] map[]", "INSERT public.root map[id:2 part:2] map[]"),
		step("UPDATE p1 SET id = 3 WHERE id = 1", "UPDATE public.root map[id:3 part:1] map[id:1 part:1]"),
		step("UPDATE root SET part = 2 WHERE id = 3", "DELETE public.root map[] map[id:3 part:1]", "INSERT public.root map[id:3 part:2] map[]"),
		step("INSERT INTO p3 (id, part) VALUES (4, 3)", "INSERT public.p3 map[id:4 part:3] map[]"),
		// From here on its columns are brought into the root's order.
		step("ALTER TABLE root ATTACH PARTITION p3 FOR VALUES IN (3); INSERT INTO p3 (id, part) VALUES (5, 3)", "INSERT public."+attached+" map[id:5 part:3] map[]"),
		step("DELETE FROM p3 WHERE id = 4", "DELETE public."+attached+" map[] map[id:4 part:3]"),
		step("ALTER TABLE root DETACH PARTITION p3"),
		step("INSERT INTO p3 (id, part) VALUES (6, 7)", "INSERT public.p3 map[id:6 part:7] map[]"),
		step("TRUNCATE p1"), // the server tells nothing of a part
		step("TRUNCATE root", "TRUNCATE public.root map[] map[]"),
	})
}

func TestTruncateOfSeveralTablesTellsOfEach(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE a (id serial PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a)",
		"CREATE TABLE c (id int PRIMARY KEY)", "CREATE TABLE d (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	s.stream(sink)
	s.exec("INSERT INTO a DEFAULT VALUES", "TRUNCATE a, c RESTART IDENTITY CASCADE", "INSERT INTO a DEFAULT VALUES")
	messages := sink.awaitAccepted(s.ctx, t, 5)
	guaranteeOrdered(t, messages)
	lines := guaranteeLines(t, messages)
	slices.Sort(lines[1:4]) // in which order is the server's affair
	guaranteeSame(t, lines, []string{
		"INSERT public.a map[id:1] map[]",
		"TRUNCATE public.a map[] map[]", "TRUNCATE public.b map[] map[]", "TRUNCATE public.c map[] map[]",
		"INSERT public.a map[id:1] map[]",
	})
	for _, m := range messages[1:4] {
		if m.Key != "" || m.ID.LSN() != messages[1].ID.LSN() {
			t.Errorf("%s has the key %q and the position %X", m.ID, m.Key, m.ID.LSN())
		}
	}
}

func TestGeneratedColumnsComeWhereTheServerPublishesThem(t *testing.T) {
	const table = "CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, a text)"
	without := []pgStep{
		step("INSERT INTO g VALUES (1, DEFAULT, 'x')", "INSERT public.g map[a:x id:1] map[]"),
		step("UPDATE g SET a = 'y'", "UPDATE public.g map[a:y id:1] map[]"),
	}
	t.Run("default", func(t *testing.T) {
		s := pgShared(t)
		s.exec(table)
		guaranteeSteps(t, s, without)
	})
	t.Run("published", func(t *testing.T) {
		s := pgShared(t)
		s.exec(table)
		const publish = "CREATE PUBLICATION walherald FOR ALL TABLES WITH (publish_generated_columns = stored)"
		if s.server.Version() < 18 {
			s.refuses(publish, "42601")
			return
		}
		s.exec(publish)
		guaranteeSteps(t, s, []pgStep{
			step("INSERT INTO g VALUES (1, DEFAULT, 'x')", "INSERT public.g map[a:x id:1 twice:2] map[]"),
			step("UPDATE g SET id = 4", "UPDATE public.g map[a:x id:4 twice:8] map[id:1]"),
		})
	})
}

// refuses wants the server to refuse a statement with an error code.
func (s *pgSource) refuses(sql, code string) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.ctx, sql); sqlState(err) != code {
		s.t.Errorf("%s: got %v, want the error %s", sql, err, code)
	}
}

func TestColumnListLeavesOutColumns(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY, a text, secret text)")
	const publish = "CREATE PUBLICATION walherald FOR TABLE t (id, a)"
	if s.server.Version() < 15 {
		s.refuses(publish, "42601")
		return
	}
	s.exec(publish)
	guaranteeSteps(t, s, []pgStep{
		step("INSERT INTO t VALUES (1, 'x', 's')", "INSERT public.t map[a:x id:1] map[]"),
		step("UPDATE t SET secret = 't'", "UPDATE public.t map[a:x id:1] map[]"),
		step("ALTER PUBLICATION walherald SET TABLE t (id)"),
		step("UPDATE t SET a = 'y'", "UPDATE public.t map[id:1] map[]"),
		step("DELETE FROM t", "DELETE public.t map[] map[id:1]"),
	})
}

func TestRowFilterMakesInsertsAndDeletesOfUpdates(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY, a int)", "ALTER TABLE t REPLICA IDENTITY FULL")
	const publish = "CREATE PUBLICATION walherald FOR TABLE t WHERE (a > 10)"
	if s.server.Version() < 15 {
		s.refuses(publish, "42601")
		return
	}
	s.exec(publish)
	guaranteeSteps(t, s, []pgStep{
		step("INSERT INTO t VALUES (1, 1), (2, 20)", "INSERT public.t map[a:20 id:2] map[]"),
		step("UPDATE t SET a = 21 WHERE id = 2", "UPDATE public.t map[a:21 id:2] map[a:20 id:2]"),
		step("UPDATE t SET a = 11 WHERE id = 1", "INSERT public.t map[a:11 id:1] map[]"),
		step("UPDATE t SET a = 2 WHERE id = 2", "DELETE public.t map[] map[a:21 id:2]"),
		step("UPDATE t SET a = 3 WHERE id = 2"),
		step("DELETE FROM t WHERE id = 2"),
		step("DELETE FROM t WHERE id = 1", "DELETE public.t map[] map[a:11 id:1]"),
	})
}

func TestPublicationForOneTableSendsNoOther(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE u (id int PRIMARY KEY)", "CREATE SCHEMA other", "CREATE TABLE other.t (id int PRIMARY KEY)")
	s.publish("FOR TABLE t")
	guaranteeSteps(t, s, []pgStep{
		step("INSERT INTO t VALUES (1); INSERT INTO u VALUES (2); INSERT INTO other.t VALUES (3)", "INSERT public.t map[id:1] map[]"),
		step("INSERT INTO u VALUES (4)"),
		step("ALTER PUBLICATION walherald ADD TABLE u"),
		step("INSERT INTO u VALUES (5)", "INSERT public.u map[id:5] map[]"),
		step("ALTER PUBLICATION walherald DROP TABLE t"),
		step("INSERT INTO t VALUES (6)"),
	})
}
