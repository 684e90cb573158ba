package listener

import (
	"fmt"
	"testing"

	"github.com/walherald/walherald/config"
)

func TestCheckWarnsOfTablesWithoutAReplicaIdentity(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "CREATE TABLE keyed (id int PRIMARY KEY)", "CREATE TABLE full_rows (id int)", "ALTER TABLE full_rows REPLICA IDENTITY FULL",
		`CREATE TABLE "Bare" (id int)`)
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "listener.publication", "(1): public.Bare", "REPLICA IDENTITY FULL")
	c.cfg.Publication.Tables = []string{"keyed", "full_rows"}
	expectOnly(t, c.check(t), 0, 0)

	// It is right: the table can be written to only as long as it is not published.
	const update = `UPDATE "Bare" SET id = 1`
	c.exec(t, update, "CREATE PUBLICATION walherald FOR ALL TABLES")
	if _, err := c.admin.Exec(t.Context(), update); err == nil {
		t.Error("a table without a replica identity took an UPDATE while published")
	}
}

func TestCheckCutsLongListsOfTables(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, `DO $$ BEGIN FOR i IN 10..99 LOOP EXECUTE 'CREATE TABLE t' || i || ' (id int)'; END LOOP; END $$`)
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "listener.publication", "(90): public.t10, public.t11, public.t12, public.t13, public.t14 and 85 more")
}

func TestCheckWarnsOfIdentitiesOfWhatIsPublishedAlone(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "CREATE TABLE parted (id int) PARTITION BY RANGE (id)", "CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9)",
		"CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE)", "CREATE TABLE nothing (id int PRIMARY KEY)", "ALTER TABLE nothing REPLICA IDENTITY NOTHING",
		"CREATE TABLE fine (id int PRIMARY KEY)", "CREATE TABLE elsewhere (id int)", "CREATE UNLOGGED TABLE unlogged (id int)",
		"CREATE PUBLICATION walherald FOR TABLE parted, deferred, nothing, fine WITH (publish_via_partition_root = true)")
	c.cfg.Publication.ViaPartitionRoot = true
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "listener.publication", "(3): public.deferred, public.nothing, public.part")
	// It is right of each.
	for _, table := range []string{"deferred", "nothing", "part"} {
		if _, err := c.admin.Exec(t.Context(), "DELETE FROM "+table); err == nil {
			t.Errorf("table %s took a DELETE", table)
		}
	}
	c.exec(t, "DELETE FROM fine", "DELETE FROM elsewhere", "ALTER PUBLICATION walherald SET (publish = 'insert, truncate')", "DELETE FROM nothing")
	expectOnly(t, c.check(t), 0, 0)
}

func TestCheckWarnsWhereUnchangedUpdatesCannotBeTold(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "CREATE TABLE keyed (id int PRIMARY KEY)", "CREATE TABLE whole (id int)", "ALTER TABLE whole REPLICA IDENTITY FULL",
		"CREATE TABLE out (id int PRIMARY KEY)")
	c.cfg.SkipUnchangedUpdates, c.cfg.Exclude.Tables = true, []string{"out"}
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "listener.skipUnchangedUpdates", "(1): public.keyed", "REPLICA IDENTITY FULL")
	c.exec(t, "ALTER TABLE keyed REPLICA IDENTITY FULL")
	expectOnly(t, c.check(t), 0, 0)
}

func TestCheckWarnsOfNamesThatNoTableHas(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, `CREATE TABLE "Users" (id int PRIMARY KEY, email text)`, "CREATE SCHEMA shop", "CREATE TABLE shop.orders (id int PRIMARY KEY)",
		`CREATE TABLE "Größe" (id int PRIMARY KEY)`)
	c.cfg.Filter.Tables = map[string][]string{"users": {"insert"}, "public.orders": {"insert"}, "nothing": {"insert"}, "shop.orders": {"insert"}, "Users": {"insert"}}
	c.cfg.Include.Tables = map[string][]string{"orderz": {"insert"}}
	c.cfg.Exclude = config.Exclude{Schemas: []string{"SHOP", "shopp"}, Tables: []string{"ORDERS", "größe", "public.orders"}}
	c.cfg.Mask = config.Masks{{Table: "USERS", Column: "EMAIL"}, {Table: "orderz", Column: "id"}}
	found := c.check(t)
	expectOnly(t, found, 0, 7)
	for path, words := range map[string][]string{
		"listener.filter.tables[users]":         {"no table has the name users", "did you mean public.Users?"},
		"listener.filter.tables[public.orders]": {"no table has the name public.orders", "did you mean shop.orders?"},
		"listener.filter.tables[nothing]":       {"no table has the name nothing", "correct or remove it"},
		"listener.include.tables[orderz]":       {"orderz"},
		"listener.exclude.schemas[1]":           {"no schema has the name shopp"},
		"listener.exclude.tables[2]":            {"no table has the name public.orders", "did you mean shop.orders?"},
		"listener.mask[1].table":                {"no table has the name orderz"},
	} {
		expectFinding(t, found, config.FindingWarning, path, words...)
	}
}

func TestCheckWarnsOfFilteredTablesThatAreNotPublished(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE UNLOGGED TABLE u (id int PRIMARY KEY)",
		"CREATE PUBLICATION walherald FOR TABLE a WITH (publish = 'insert, update')")
	c.cfg.Filter.Tables = map[string][]string{"a": {"insert", "delete", "truncate"}, "b": {"insert"}, "u": {"insert"}}
	found := c.check(t)
	expectOnly(t, found, 0, 4)
	expectFinding(t, found, config.FindingWarning, "listener.filter.tables[b]", `"walherald" does not publish table public.b`, `ADD TABLE "public"."b"`)
	expectFinding(t, found, config.FindingWarning, "listener.filter.tables[u]", "unlogged", `ALTER TABLE "public"."u" SET LOGGED`)
	for _, action := range []string{"delete", "truncate"} {
		expectFinding(t, found, config.FindingWarning, "listener.filter.tables", "asks for "+action, `SET (publish = 'insert, update, `+action+`')`)
	}
	// One that would be altered is judged by what it will be.
	c.cfg.Publication = config.Publication{Tables: []string{"a", "b"}, Alter: true}
	c.cfg.Filter.Tables = map[string][]string{"a": {"insert"}, "b": {"insert"}}
	found = c.check(t)
	expectOnly(t, found, 0, 0)
	expectFinding(t, found, config.FindingOK, "listener.publication.tables", "would be altered", `ADD TABLE "public"."b"`)
}

// The names of partitioned tables are a trap: a mask on the name that no change
// comes under masks nothing.
func TestCheckWarnsOfNamesThatChangesOfPartitionsDoNotComeUnder(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "CREATE TABLE whole (id int PRIMARY KEY, email text) PARTITION BY RANGE (id)", "CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (9)")
	for _, viaRoot := range []bool{false, true} {
		c.cfg.Publication.ViaPartitionRoot = viaRoot
		right, wrong, words := "part", "whole", []string{"published as those of its partitions: public.part", "viaPartitionRoot"}
		if viaRoot {
			right, wrong, words = "whole", "part", []string{"published as those of public.whole", "name public.whole"}
		}
		for _, exists := range []bool{false, true} {
			if exists {
				c.exec(t, fmt.Sprintf("CREATE PUBLICATION walherald FOR TABLE whole WITH (publish_via_partition_root = %t)", viaRoot))
			}
			c.cfg.Filter.Tables = map[string][]string{right: {"insert"}}
			c.cfg.Mask, c.cfg.Exclude.Tables = config.Masks{{Table: right, Column: "email"}}, []string{right}
			expectOnly(t, c.check(t), 0, 0)
			c.cfg.Filter.Tables = map[string][]string{wrong: {"insert"}}
			c.cfg.Mask, c.cfg.Exclude.Tables = config.Masks{{Table: wrong, Column: "email"}}, []string{wrong}
			found := c.check(t)
			expectOnly(t, found, 0, 3)
			for _, path := range []string{"listener.filter.tables[" + wrong + "]", "listener.mask[0].table", "listener.exclude.tables[0]"} {
				expectFinding(t, found, config.FindingWarning, path, words...)
			}
		}
		c.exec(t, "DROP PUBLICATION walherald")
	}
}

func TestCheckWarnsOfColumnsThatDoNotExist(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, `CREATE TABLE users (id int PRIMARY KEY, "E-Mail" text, "ÄRA" text, gone text)`, "ALTER TABLE users DROP COLUMN gone")
	c.cfg.Exclude.Columns = []string{"e-mail", "USERS.e-mail", "public.users.ära", "gone", "orders.id", "private.users.id"}
	c.cfg.Mask = config.Masks{{Table: "*", Column: "e-mail"}, {Table: "public.users", Column: "ära"}, {Table: "users", Column: "gone"}, {Table: "*", Column: "phone"}}
	found := c.check(t)
	expectOnly(t, found, 0, 5)
	for path, words := range map[string]string{
		"listener.exclude.columns[3]": "no table has the column gone", "listener.exclude.columns[4]": "orders.id", "listener.exclude.columns[5]": "private.users.id",
		"listener.mask[2].column": "table users has no column gone", "listener.mask[3].column": "no table has the column phone",
	} {
		expectFinding(t, found, config.FindingWarning, path, words)
	}
}

func TestCheckWarnsOfTablesThatTheMessageKeyDoesNotFit(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "CREATE TABLE good (tenant int, id int, PRIMARY KEY (tenant, id))", "CREATE TABLE silent (tenant int, id int PRIMARY KEY)",
		"CREATE TABLE whole (tenant int, id int)", "ALTER TABLE whole REPLICA IDENTITY FULL", "CREATE TABLE lacks (id int PRIMARY KEY)",
		"CREATE TABLE indexed (tenant int NOT NULL, id int NOT NULL, n int PRIMARY KEY)", "CREATE UNIQUE INDEX ti ON indexed (tenant, id)",
		"ALTER TABLE indexed REPLICA IDENTITY USING INDEX ti", "CREATE TABLE out (id int PRIMARY KEY)")
	c.cfg.Exclude.Tables = []string{"out"}
	route := Route{Section: "publisher", KeyFrom: []string{"tenant", "id"}}
	found := Check(t.Context(), c.cfg, c.db, route)
	expectOnly(t, found, 0, 2)
	expectFinding(t, found, config.FindingWarning, "publisher.messageKeyFrom", "lack one of the columns tenant, id (1): public.lacks")
	expectFinding(t, found, config.FindingWarning, "publisher.messageKeyFrom", "DELETE has no message key", "(1): public.silent")
	// Tables whose deletes do not leave need no key for them.
	c.cfg.Filter.Tables = map[string][]string{"good": {"delete"}, "silent": {"insert", "update"}}
	expectOnly(t, Check(t.Context(), c.cfg, c.db, route), 0, 0)
}
