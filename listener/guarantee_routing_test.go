package listener

import (
	"testing"

	"github.com/walherald/walherald/config"
)

// guaranteeRoutedSteps executes statements and wants what becomes of them, each
// in the form of guaranteeRouted.
func guaranteeRoutedSteps(t *testing.T, s *pgSource, steps []pgStep) {
	t.Helper()
	sink := newGuaranteeSink()
	r := s.stream(sink)
	var want []string
	for _, step := range steps {
		s.exec(step.sql)
		want = append(want, step.want...)
	}
	end := s.lsn("pg_current_wal_lsn()")
	s.eventually("reading of the last statement", func() bool { return r.flush() >= end })
	messages := sink.messages()
	guaranteeOrdered(t, messages)
	guaranteeSame(t, guaranteeRoutes(t, messages), want)
}

func TestTopicsFollowRulesThenTheWayOfTheRest(t *testing.T) {
	rules := config.TopicsMap{{Match: "public_users", Topic: "people"}, {Match: `/^public_(\w+)_\d{4}$/`, Topic: "by-year.${1}"}}
	statements := []string{
		"INSERT INTO users VALUES (1)", "INSERT INTO orders_2024 VALUES (2)", "INSERT INTO other VALUES (3)",
		"UPDATE other SET id = 4", "DELETE FROM other", "TRUNCATE users, other",
	}
	for name, tt := range map[string]struct {
		set  func(cfg *config.Listener)
		want []string
	}{
		"none": {func(*config.Listener) {}, []string{
			"INSERT t.p-public_other key=3 map[id:3] map[]", "UPDATE t.p-public_other key=4 map[id:4] map[id:3]",
			"DELETE t.p-public_other key=4 map[] map[id:4]", "TRUNCATE t.p-people key= map[] map[]", "TRUNCATE t.p-public_other key= map[] map[]",
		}},
		"fallback": {func(cfg *config.Listener) { cfg.FallbackTopic = "rest" }, []string{
			"INSERT t.p-rest key=3 map[id:3] map[]", "UPDATE t.p-rest key=4 map[id:4] map[id:3]",
			"DELETE t.p-rest key=4 map[] map[id:4]", "TRUNCATE t.p-people key= map[] map[]", "TRUNCATE t.p-rest key= map[] map[]",
		}},
		"discard": {func(cfg *config.Listener) { cfg.DiscardUnmatched = true }, []string{
			"TRUNCATE t.p-people key= map[] map[]",
		}},
		"template": {func(cfg *config.Listener) { cfg.TopicTemplate = "{{.Schema}}.{{.Table}}.{{.Action}}" }, []string{
			"INSERT t.p-public.other.INSERT key=3 map[id:3] map[]", "UPDATE t.p-public.other.UPDATE key=4 map[id:4] map[id:3]",
			"DELETE t.p-public.other.DELETE key=4 map[] map[id:4]", "TRUNCATE t.p-people key= map[] map[]", "TRUNCATE t.p-public.other.TRUNCATE key= map[] map[]",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := pgShared(t)
			s.route.Topic, s.route.TopicPrefix = "t", "p-"
			s.cfg.TopicsMap = rules
			tt.set(&s.cfg)
			s.exec("CREATE TABLE users (id int PRIMARY KEY)", "CREATE TABLE orders_2024 (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)")
			all := step("", append([]string{"INSERT t.p-people key=1 map[id:1] map[]", "INSERT t.p-by-year.orders key=2 map[id:2] map[]"}, tt.want...)...)
			var steps []pgStep
			for _, sql := range statements {
				steps = append(steps, step(sql))
			}
			steps[len(steps)-1].want = all.want
			guaranteeRoutedSteps(t, s, steps)
		})
	}
}

func TestTemplateKnowsTheDatabase(t *testing.T) {
	s := pgShared(t)
	s.cfg.TopicTemplate = "{{.Database}}/{{.Table}}"
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	guaranteeRoutedSteps(t, s, []pgStep{step("INSERT INTO t VALUES (1)", "INSERT "+s.db.Name+"/t key=1 map[id:1] map[]")})
}

func TestTemplateWithoutATopicEndsTheListenerAndKeepsThePosition(t *testing.T) {
	s := pgShared(t)
	s.cfg.TopicTemplate = `{{if ne .Table "nameless"}}{{.Table}}{{end}}`
	s.exec("CREATE TABLE named (id int PRIMARY KEY)", "CREATE TABLE nameless (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.exec("INSERT INTO named VALUES (1)", "INSERT INTO nameless VALUES (2)")
	err := r.wait()
	if err == nil {
		t.Fatal("Run returned without an error")
	}
	guaranteeWords(t, err.Error(), "public.nameless", "topicTemplate gives nothing", "topicsMap")

	s.cfg.TopicsMap = config.TopicsMap{{Match: "public_nameless", Topic: "named.now"}}
	second := newGuaranteeSink()
	s.stream(second)
	second.await(s.ctx, t, "the change that had no topic", func() bool {
		n := len(second.accepted)
		return n > 0 && second.accepted[n-1].Topic == "named.now"
	})
}

func TestTablesAreSelectedByNameAndSchema(t *testing.T) {
	statements := []string{
		"INSERT INTO public.users VALUES (1)", "INSERT INTO audit.users VALUES (2)", `INSERT INTO public."Users" VALUES (3)`,
		"UPDATE public.users SET id = 4", "DELETE FROM audit.users", "TRUNCATE public.users",
		"INSERT INTO walherald.own VALUES (5)", "TRUNCATE walherald.own",
	}
	const (
		insert1  = "INSERT public_users key=1 map[id:1] map[]"
		insert2  = "INSERT audit_users key=2 map[id:2] map[]"
		insert3  = "INSERT public_Users key=3 map[id:3] map[]"
		update   = "UPDATE public_users key=4 map[id:4] map[id:1]"
		remove   = "DELETE audit_users key=2 map[] map[id:2]"
		truncate = "TRUNCATE public_users key= map[] map[]"
	)
	tables := func(name string, actions ...string) config.TableActions {
		return config.TableActions{Tables: map[string][]string{name: actions}}
	}
	for name, tt := range map[string]struct {
		set  func(cfg *config.Listener)
		want []string
	}{
		"everything but walherald's own": {func(*config.Listener) {}, []string{insert1, insert2, insert3, update, remove, truncate}},
		"filter by name":                 {func(cfg *config.Listener) { cfg.Filter = tables("users", "insert", "delete") }, []string{insert1, insert2, remove}},
		"filter by schema and name":      {func(cfg *config.Listener) { cfg.Filter = tables("public.users", "insert", "truncate") }, []string{insert1, truncate}},
		"filter by another case":         {func(cfg *config.Listener) { cfg.Filter = tables("Users", "insert") }, []string{insert3}},
		"include by schema and name":     {func(cfg *config.Listener) { cfg.Include = tables("public.users", "update") }, []string{insert2, insert3, update, remove}},
		"exclude by schema":              {func(cfg *config.Listener) { cfg.Exclude.Schemas = []string{"AUDIT"} }, []string{insert1, insert3, update, truncate}},
		"exclude by name in any case":    {func(cfg *config.Listener) { cfg.Exclude.Tables = []string{"USERS"} }, nil},
		"exclude by schema and name":     {func(cfg *config.Listener) { cfg.Exclude.Tables = []string{"audit.users"} }, []string{insert1, insert3, update, truncate}},
	} {
		t.Run(name, func(t *testing.T) {
			s := pgShared(t)
			tt.set(&s.cfg)
			s.exec("CREATE SCHEMA audit", "CREATE SCHEMA walherald", "CREATE TABLE users (id int PRIMARY KEY)", "CREATE TABLE audit.users (id int PRIMARY KEY)",
				`CREATE TABLE "Users" (id int PRIMARY KEY)`, "CREATE TABLE walherald.own (id int PRIMARY KEY)")
			var steps []pgStep
			for _, sql := range statements {
				steps = append(steps, step(sql))
			}
			steps[0].want = tt.want
			guaranteeRoutedSteps(t, s, steps)
		})
	}
}

func TestUpdatesThatChangeNothingVisibleCanBeLeftOut(t *testing.T) {
	s := pgShared(t)
	s.cfg.SkipUnchangedUpdates = true
	s.cfg.Exclude.Columns = []string{"full_row.touched"}
	s.cfg.Mask = config.Masks{{Table: "*", Column: "secret", With: config.MaskRedact}}
	s.exec("CREATE TABLE full_row (id int PRIMARY KEY, a text, secret text, touched int, large text)",
		"ALTER TABLE full_row REPLICA IDENTITY FULL, ALTER large SET STORAGE EXTERNAL",
		"INSERT INTO full_row VALUES (1, 'x', 's', 0, repeat('l', 5000))",
		"CREATE TABLE key_only (id int PRIMARY KEY, a text)", "INSERT INTO key_only VALUES (1, 'x')")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.exec(
		"UPDATE full_row SET a = a",
		"UPDATE full_row SET touched = touched + 1", // seen by nobody
		"UPDATE full_row SET secret = 't'",          // seen as a change, if not of what
		"UPDATE full_row SET a = NULL",
		"UPDATE full_row SET a = NULL",
		"UPDATE key_only SET a = a", // the log does not say that it changed nothing
	)
	end := s.lsn("pg_current_wal_lsn()")
	s.eventually("reading of the last statement", func() bool { return r.flush() >= end })
	var got []string
	for _, m := range sink.messages() {
		e := guaranteeParse(t, m)
		delete(e.Data, "large")
		delete(e.DataOld, "large")
		got = append(got, e.String())
	}
	guaranteeSame(t, got, []string{
		"UPDATE public.full_row map[a:x id:1 secret:***] map[a:x id:1 secret:***]",
		"UPDATE public.full_row map[a:<nil> id:1 secret:***] map[a:x id:1 secret:***]",
		"UPDATE public.key_only map[a:x id:1] map[]",
	})
}
