package listener

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// inspected describes what a route that inspects is handed: of each table its
// columns, * before those of which the log has the old value, and the topics of
// INSERT and DELETE.
func (c *checked) inspected(t *testing.T, route Route) (all []string) {
	t.Helper()
	calls := 0
	route.Inspect = func(tables []Published) {
		calls++
		for _, p := range tables {
			var columns []string
			for _, col := range p.Columns {
				columns = append(columns, map[bool]string{true: "*"}[col.Key]+col.Name)
			}
			all = append(all, fmt.Sprintf("%s.%s(%s) %s %s", p.Schema, p.Name, strings.Join(columns, " "), p.Topic(publisher.Insert), p.Topic(publisher.Delete)))
		}
	}
	expectOnly(t, Check(t.Context(), c.cfg, c.db, route), 0, 0)
	if calls != 1 {
		t.Errorf("the tables were handed over %d times", calls)
	}
	return all
}

func (c *checked) expectInspected(t *testing.T, route Route, want ...string) {
	t.Helper()
	if got := c.inspected(t, route); !slices.Equal(got, want) {
		t.Errorf("tables are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCheckHandsOverWhatTheLogWillHold(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "CREATE TABLE keyed (id int PRIMARY KEY, v text)", "CREATE TABLE whole (v text, w text)", "ALTER TABLE whole REPLICA IDENTITY FULL",
		"CREATE TABLE indexed (a int NOT NULL, b int NOT NULL, c int PRIMARY KEY)", "CREATE UNIQUE INDEX ab ON indexed (a, b)",
		"ALTER TABLE indexed REPLICA IDENTITY USING INDEX ab", "CREATE TABLE odd (id int PRIMARY KEY, gone int, secret text, made int GENERATED ALWAYS AS (id + 1) STORED)",
		"ALTER TABLE odd DROP COLUMN gone", "CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY)", "CREATE TABLE left_out (id int PRIMARY KEY)",
		"CREATE TABLE inserts (id int PRIMARY KEY)")
	c.cfg.Exclude = config.Exclude{Tables: []string{"left_out"}, Columns: []string{"odd.SECRET"}}
	c.cfg.Include.Tables = map[string][]string{"inserts": {"insert"}}
	c.expectInspected(t, Route{TopicPrefix: "p."},
		"public.indexed(*a *b c) p.public_indexed p.public_indexed", "public.inserts(*id) p.public_inserts ",
		"public.keyed(*id v) p.public_keyed p.public_keyed", "public.odd(*id) p.public_odd p.public_odd",
		"public.whole(*v *w) p.public_whole p.public_whole")

	// What a publication or a filter leaves out does not reach the output.
	c.cfg.Include.Tables = nil
	c.exec(t, "CREATE PUBLICATION walherald FOR TABLE keyed, whole WITH (publish = 'insert, update')")
	route := Route{Section: "publisher", Filter: config.TableActions{Tables: map[string][]string{"keyed": {"insert", "update"}}}}
	c.expectInspected(t, route, "public.keyed(*id v) public_keyed ")
	if c.Version() >= 15 {
		c.exec(t, "ALTER PUBLICATION walherald SET TABLE keyed (id), whole")
		c.expectInspected(t, Route{}, "public.keyed(*id) public_keyed ", "public.whole(*v *w) public_whole ")
	}
	route = Route{Rules: config.TopicRules{Map: []config.TopicRule{{Match: "public_whole", Topic: "all"}}, DiscardUnmatched: true}}
	c.expectInspected(t, route, "public.whole(*v *w) all ")
}

func TestCheckHandsOverPartitionsAsTheyArePublished(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "CREATE TABLE whole (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)", "CREATE TABLE a PARTITION OF whole FOR VALUES FROM (0) TO (9)",
		"CREATE TABLE b PARTITION OF whole FOR VALUES FROM (10) TO (19)", "ALTER TABLE a REPLICA IDENTITY FULL")
	c.expectInspected(t, Route{}, "public.a(*id *v) public_a public_a", "public.b(*id v) public_b public_b")
	c.cfg.Publication.ViaPartitionRoot = true
	c.expectInspected(t, Route{}, "public.whole(*id v) public_whole public_whole")
	c.exec(t, "ALTER TABLE b REPLICA IDENTITY FULL")
	c.expectInspected(t, Route{}, "public.whole(*id *v) public_whole public_whole")
}

func TestCheckThatGetsNowhereHandsNothingOver(t *testing.T) {
	db := config.Database{Host: t.TempDir(), Port: 1, Name: "none", User: "none"}
	Check(t.Context(), config.Listener{SlotName: "wh"}, db, Route{Inspect: func([]Published) { t.Error("tables that nobody knows were handed over") }})
}
