package listener

import (
	"fmt"
	"strings"
	"testing"
)

// schemaChanges change a table and then a row of it.
var schemaChanges = []struct{ ddl, dml, want string }{
	{"ALTER TABLE t ADD b text DEFAULT 'new'", "UPDATE t SET a = 2 WHERE id = 1", "UPDATE public.t map[a:2 b:new id:1] map[]"},
	{"ALTER TABLE t ADD c int[] NOT NULL DEFAULT '{}'", "INSERT INTO t VALUES (2, 2, NULL, '{1,NULL}')", "INSERT public.t map[a:2 b:<nil> c:[1 <nil>] id:2] map[]"},
	{"ALTER TABLE t DROP c", "INSERT INTO t VALUES (3, 3, 'x')", "INSERT public.t map[a:3 b:x id:3] map[]"},
	{"ALTER TABLE t RENAME b TO \"B.c\"", "UPDATE t SET a = 4 WHERE id = 3", "UPDATE public.t map[B.c:x a:4 id:3] map[]"},
	{"ALTER TABLE t ALTER a TYPE text USING 'n' || a", "UPDATE t SET \"B.c\" = 'y' WHERE id = 3", "UPDATE public.t map[B.c:y a:n4 id:3] map[]"},
	{"ALTER TABLE t ALTER a TYPE numeric(9,2) USING 1.5", "INSERT INTO t VALUES (5, 2.25)", "INSERT public.t map[B.c:new a:2.25 id:5] map[]"},
	{"ALTER TABLE t RENAME id TO nr", "DELETE FROM t WHERE nr = 5", "DELETE public.t map[] map[nr:5]"},
	{"ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a, nr)", "DELETE FROM t WHERE nr = 3", "DELETE public.t map[] map[a:1.50 nr:3]"},
	{"ALTER TABLE t RENAME TO u", "INSERT INTO u VALUES (6, 1, 'z')", "INSERT public.u map[B.c:z a:1.00 nr:6] map[]"},
	{"CREATE TABLE t (id int PRIMARY KEY, other bool)", "INSERT INTO t VALUES (1, true)", "INSERT public.t map[id:1 other:true] map[]"},
	{"ALTER TABLE u SET SCHEMA elsewhere", "INSERT INTO elsewhere.u VALUES (7, 1, 'z')", "INSERT elsewhere.u map[B.c:z a:1.00 nr:7] map[]"},
	{"DROP TABLE t; CREATE TABLE t (k text PRIMARY KEY)", "INSERT INTO t VALUES ('k')", "INSERT public.t map[k:k] map[]"},
	{"ALTER TABLE t REPLICA IDENTITY FULL", "UPDATE t SET k = 'l'", "UPDATE public.t map[k:l] map[k:k]"},
	{"ALTER TABLE t REPLICA IDENTITY DEFAULT", "UPDATE t SET k = k", "UPDATE public.t map[k:l] map[]"},
	{"ALTER TABLE t DROP k, ADD l int", "INSERT INTO t VALUES (1)", "INSERT public.t map[l:1] map[]"},
}

// Failure 25 of docs/failures.md.
func TestEveryRowComesWithTheColumnsOfItsTime(t *testing.T) {
	for name, form := range map[string]func(ddl, dml string) []string{
		"between transactions":  func(ddl, dml string) []string { return []string{ddl, dml} },
		"inside a transaction":  func(ddl, dml string) []string { return []string{"BEGIN; " + ddl + "; " + dml + "; COMMIT"} },
		"undone by a savepoint": nil, // below
	} {
		t.Run(name, func(t *testing.T) {
			s := pgShared(t)
			s.exec("CREATE SCHEMA elsewhere", "CREATE TABLE t (id int PRIMARY KEY, a int)")
			steps := []pgStep{step("INSERT INTO t VALUES (1, 1)", "INSERT public.t map[a:1 id:1] map[]")}
			if form == nil {
				steps = append(steps, step("BEGIN; SAVEPOINT s; ALTER TABLE t ADD b int; INSERT INTO t VALUES (2, 2, 2); ROLLBACK TO s; "+
					"INSERT INTO t VALUES (3, 3); ALTER TABLE t RENAME a TO c; INSERT INTO t VALUES (4, 4); COMMIT",
					"INSERT public.t map[a:3 id:3] map[]", "INSERT public.t map[c:4 id:4] map[]"))
			} else {
				for _, c := range schemaChanges {
					all := form(c.ddl, c.dml)
					for _, sql := range all[:len(all)-1] {
						steps = append(steps, step(sql))
					}
					steps = append(steps, step(all[len(all)-1], c.want))
				}
			}
			guaranteeSteps(t, s, steps)
		})
	}
}

// All in one transaction, so that the log is decoded when the last of them
// already holds.
func TestSeveralSchemaChangesInOneTransaction(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE SCHEMA elsewhere", "CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 1)")
	all := step("BEGIN")
	for _, c := range schemaChanges {
		all.sql += "; " + c.ddl + "; " + c.dml
		all.want = append(all.want, c.want)
	}
	all.sql += "; COMMIT"
	guaranteeSteps(t, s, []pgStep{all})
}

func TestLogIsReadWithTheSchemaOfItsTimeAfterAStop(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE SCHEMA elsewhere", "CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 1)")
	s.stream(newGuaranteeSink()).stop()
	var want []string
	for _, c := range schemaChanges {
		s.exec(c.ddl, c.dml)
		want = append(want, c.want)
	}
	s.exec("DROP TABLE t", "DROP SCHEMA elsewhere CASCADE")
	sink := newGuaranteeSink()
	s.stream(sink)
	messages := sink.awaitAccepted(s.ctx, t, len(want))
	guaranteeOrdered(t, messages)
	guaranteeSame(t, guaranteeLines(t, messages), want)
}

func TestOddNamesGoThroughEveryStage(t *testing.T) {
	s := pgShared(t)
	long := strings.Repeat("ä", 31) + "x" // 63 bytes
	names := []string{"plain", "Mixed", "dotted.name", "with space", "🚀", long, `quo"te`, `back\slash`, "select", "*", "{{.Table}}", "${1}"}
	s.exec(`CREATE SCHEMA "other.schema"`)
	var steps []pgStep
	s.cfg.TopicTemplate = "{{.Schema}}|{{.Table}}"
	for i, name := range names {
		for _, schema := range []string{"public", "other.schema"} {
			table := quoteIdent(schema) + "." + quoteIdent(name)
			s.exec(fmt.Sprintf("CREATE TABLE %s (%s int PRIMARY KEY)", table, quoteIdent(name)))
			steps = append(steps, step(fmt.Sprintf("INSERT INTO %s VALUES (%d)", table, i),
				fmt.Sprintf("INSERT %s|%s key=%d map[%s:%d] map[]", schema, name, i, name, i)))
		}
	}
	sink := newGuaranteeSink()
	s.stream(sink)
	var want []string
	for _, st := range steps {
		s.exec(st.sql)
		want = append(want, st.want...)
	}
	guaranteeSame(t, guaranteeRoutes(t, sink.awaitAccepted(s.ctx, t, len(want))), want)
}
