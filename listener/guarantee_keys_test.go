package listener

import "testing"

// identities makes a table for each replica identity.
func (s *pgSource) identities() {
	s.t.Helper()
	for _, name := range []string{"by_default", "by_index", "full_row", "full_without_key", "by_nothing", "without_key"} {
		s.exec("CREATE TABLE " + name + " (b int NOT NULL, a int NOT NULL, tenant text)")
	}
	s.exec("ALTER TABLE by_default ADD PRIMARY KEY (a, b)",
		"ALTER TABLE by_index ADD PRIMARY KEY (a)", "CREATE UNIQUE INDEX by_index_b ON by_index (b)", "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_b",
		"ALTER TABLE full_row ADD PRIMARY KEY (a, b)", "ALTER TABLE full_row REPLICA IDENTITY FULL", "ALTER TABLE full_without_key REPLICA IDENTITY FULL",
		"ALTER TABLE by_nothing ADD PRIMARY KEY (a)", "ALTER TABLE by_nothing REPLICA IDENTITY NOTHING")
}

func TestKeyIsThatOfTheReplicaIdentity(t *testing.T) {
	s := pgShared(t)
	s.identities()
	guaranteeRoutedSteps(t, s, []pgStep{
		// The columns stand in the order of the table.
		step("INSERT INTO by_default VALUES (2, 1, 'x')", `INSERT public_by_default key=["2","1"] map[a:1 b:2 tenant:x] map[]`),
		step("UPDATE by_default SET tenant = NULL", `UPDATE public_by_default key=["2","1"] map[a:1 b:2 tenant:<nil>] map[]`),
		// A new key is an event under the new key; its old row has the old one.
		step("UPDATE by_default SET a = 3", `UPDATE public_by_default key=["2","3"] map[a:3 b:2 tenant:<nil>] map[a:1 b:2]`),
		step("DELETE FROM by_default", `DELETE public_by_default key=["2","3"] map[] map[a:3 b:2]`),

		step("INSERT INTO by_index VALUES (2, 1, 'x')", "INSERT public_by_index key=2 map[a:1 b:2 tenant:x] map[]"),
		step("UPDATE by_index SET a = 3", "UPDATE public_by_index key=2 map[a:3 b:2 tenant:x] map[]"),
		step("UPDATE by_index SET b = 4", "UPDATE public_by_index key=4 map[a:3 b:4 tenant:x] map[b:2]"),
		step("DELETE FROM by_index", "DELETE public_by_index key=4 map[] map[b:4]"),

		// The whole row is no key, the primary key below it is, in its order.
		step("INSERT INTO full_row VALUES (2, 1, 'x')", `INSERT public_full_row key=["1","2"] map[a:1 b:2 tenant:x] map[]`),
		step("UPDATE full_row SET a = 3", `UPDATE public_full_row key=["3","2"] map[a:3 b:2 tenant:x] map[a:1 b:2 tenant:x]`),
		step("DELETE FROM full_row", `DELETE public_full_row key=["3","2"] map[] map[a:3 b:2 tenant:x]`),

		step("INSERT INTO full_without_key VALUES (2, 1, 'x')", "INSERT public_full_without_key key= map[a:1 b:2 tenant:x] map[]"),
		step("UPDATE full_without_key SET a = 3", "UPDATE public_full_without_key key= map[a:3 b:2 tenant:x] map[a:1 b:2 tenant:x]"),
		step("DELETE FROM full_without_key", "DELETE public_full_without_key key= map[] map[a:3 b:2 tenant:x]"),

		step("INSERT INTO by_nothing VALUES (2, 1, 'x')", "INSERT public_by_nothing key= map[a:1 b:2 tenant:x] map[]"),
		step("TRUNCATE by_nothing", "TRUNCATE public_by_nothing key= map[] map[]"),
		step("INSERT INTO without_key VALUES (2, 1, 'x')", "INSERT public_without_key key= map[a:1 b:2 tenant:x] map[]"),
	})
	// What the log could not name, the server does not let happen.
	for _, table := range []string{"by_nothing", "without_key"} {
		s.exec("INSERT INTO " + table + " VALUES (5, 5, 'x')")
		s.refuses("UPDATE "+table+" SET a = 6", "55000")
		s.refuses("DELETE FROM "+table, "55000")
	}
}

func TestKeyIsThatOfTheNamedColumnsWhereTheLogHasThem(t *testing.T) {
	s := pgShared(t)
	s.route.KeyFrom = []string{"tenant", "a"}
	s.identities()
	s.exec("CREATE TABLE other (a int PRIMARY KEY)")
	guaranteeRoutedSteps(t, s, []pgStep{
		step("INSERT INTO by_default VALUES (2, 1, 'x')", `INSERT public_by_default key=["x","1"] map[a:1 b:2 tenant:x] map[]`),
		step("UPDATE by_default SET tenant = NULL", `UPDATE public_by_default key=[null,"1"] map[a:1 b:2 tenant:<nil>] map[]`),
		step("DELETE FROM by_default", "DELETE public_by_default key= map[] map[a:1 b:2]"), // the log holds no tenant
		step("INSERT INTO full_row VALUES (2, 1, 'x')", `INSERT public_full_row key=["x","1"] map[a:1 b:2 tenant:x] map[]`),
		step("DELETE FROM full_row", `DELETE public_full_row key=["x","1"] map[] map[a:1 b:2 tenant:x]`),
		step("INSERT INTO without_key VALUES (2, 1, 'x')", `INSERT public_without_key key=["x","1"] map[a:1 b:2 tenant:x] map[]`),
		step("INSERT INTO other VALUES (1)", "INSERT public_other key=1 map[a:1] map[]"), // it has no tenant
		step("ALTER TABLE other ADD tenant text; INSERT INTO other VALUES (2, 'y')", `INSERT public_other key=["y","2"] map[a:2 tenant:y] map[]`),
	})
}
