package listener

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// logLines is a log that can be read while it is written.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// with returns the lines that hold all of the words, as they would be read.
func (l *logLines) with(words ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for line := range strings.Lines(l.buf.String()) {
		line = strings.ReplaceAll(line, `\"`, `"`)
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			found = append(found, line)
		}
	}
	return found
}

// startLogged starts a listener whose log is kept.
func (s *pgSource) startLogged(d publisher.Deliverer) (*guaranteeRun, *logLines) {
	s.t.Helper()
	r, lines := s.newRun(d), &logLines{}
	r.log = slog.New(slog.NewTextHandler(lines, nil))
	r.begin()
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("log:\n%s", strings.Join(lines.with(), ""))
		}
	})
	return r, lines
}

// link makes a connection such as a start has.
func (s *pgSource) link() *link {
	s.t.Helper()
	l, err := connect(s.ctx, s.db, s.cfg.SlotName)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(l.close)
	return l
}

// published returns the tables a publication names, in order.
func (s *pgSource) published(name string) string {
	s.t.Helper()
	return s.value("SELECT string_agg(prrelid::regclass::text, ' ' ORDER BY prrelid::regclass::text) FROM pg_publication_rel r " +
		"JOIN pg_publication p ON p.oid = r.prpubid WHERE pubname = " + quoteLiteral(name))
}

func TestPublicationIsMadeViaPartitionRootWhereThatIsAskedFor(t *testing.T) {
	for _, viaRoot := range []bool{false, true} {
		s := pgShared(t)
		s.cfg.Publication = config.Publication{Tables: []string{"orders"}, ViaPartitionRoot: viaRoot}
		s.exec("CREATE TABLE orders (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE orders_low PARTITION OF orders FOR VALUES FROM (0) TO (100)")
		sink := newGuaranteeSink()
		s.stream(sink)
		s.exec("INSERT INTO orders VALUES (1)")
		want := "INSERT public.orders_low map[id:1] map[]"
		if viaRoot {
			want = "INSERT public.orders map[id:1] map[]"
		}
		guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 1)), []string{want})
	}
}

func TestPublicationIsAlteredToWhatIsConfigured(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE kept (id int PRIMARY KEY)", "CREATE TABLE gone (id int PRIMARY KEY)", `CREATE TABLE "New One" (id int PRIMARY KEY)`,
		"CREATE PUBLICATION shop FOR TABLE kept, gone")
	s.cfg.Publication = config.Publication{Name: "shop", Tables: []string{"public.kept", "New One", "missing"}, ViaPartitionRoot: true, Alter: true}
	sink := newGuaranteeSink()
	r, log := s.startLogged(sink)
	r.awaitReady()
	if got := s.published("shop"); got != `kept "New One"` && got != `"New One" kept` {
		t.Errorf("published is %s", got)
	}
	if got := s.value("SELECT pubviaroot FROM pg_publication"); got != "true" {
		t.Errorf("publish_via_partition_root is %s", got)
	}
	if lines := log.with("altered publication", "added public.New One", "removed public.gone", "publish_via_partition_root is true", "name=shop"); len(lines) != 1 {
		t.Errorf("what was altered is told %d times", len(lines))
	}
	// What does not exist cannot be added, and keeps nothing else from being read.
	if lines := log.with("level=WARN", "do not exist: missing"); len(lines) != 1 {
		t.Errorf("the table that is missing is told %d times", len(lines))
	}
	s.exec("INSERT INTO gone VALUES (1)", "INSERT INTO kept VALUES (2)", `INSERT INTO "New One" VALUES (3)`)
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 2)),
		[]string{"INSERT public.kept map[id:2] map[]", "INSERT public.New One map[id:3] map[]"})
}

func TestAlteringKeepsColumnListsAndRowFilters(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE a (id int PRIMARY KEY, secret text)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int PRIMARY KEY)")
	const made = "CREATE PUBLICATION shop FOR TABLE a (id) WHERE (id > 5), b"
	if s.server.Version() < 15 {
		if _, err := s.conn.Exec(s.ctx, made); err == nil {
			t.Error("a server older than 15 has column lists: nothing here knows of them")
		}
		return
	}
	s.exec(made)
	s.cfg.Publication = config.Publication{Name: "shop", Tables: []string{"a", "c"}, Alter: true}
	sink := newGuaranteeSink()
	s.stream(sink)
	if got := s.published("shop"); got != "a c" {
		t.Errorf("published is %s", got)
	}
	s.exec("INSERT INTO a VALUES (1, 'x')", "INSERT INTO a VALUES (6, 'y')")
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.a map[id:6] map[]"})
}

func TestAlteringTakesSchemasOutThatAreNotConfigured(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE SCHEMA audit", "CREATE TABLE audit.log (id int PRIMARY KEY)", "CREATE TABLE a (id int PRIMARY KEY)")
	const made = "CREATE PUBLICATION shop FOR TABLES IN SCHEMA audit"
	if s.server.Version() < 15 {
		if _, err := s.conn.Exec(s.ctx, made); err == nil {
			t.Error("a server older than 15 publishes schemas: nothing here knows of them")
		}
		return
	}
	s.exec(made)
	s.cfg.Publication = config.Publication{Name: "shop", Tables: []string{"a"}, Alter: true}
	_, log := s.startLogged(newGuaranteeSink())
	s.eventually("word of what was altered", func() bool { return len(log.with("added public.a", "removed schema audit")) == 1 })
	if got := s.value("SELECT count(*) FROM pg_publication_namespace"); got != "0" {
		t.Errorf("%s schemas are published", got)
	}
}

func TestPublicationThatDiffersIsWarnedOfAndTakenAsItIs(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE PUBLICATION shop FOR TABLE a")
	s.cfg.Publication = config.Publication{Name: "shop", Tables: []string{"b"}}
	r, log := s.startLogged(newGuaranteeSink())
	r.awaitReady()
	if got := s.published("shop"); got != "a" {
		t.Errorf("published is %s", got)
	}
	for _, words := range [][]string{
		{`publication "shop" does not publish public.b`, `ALTER PUBLICATION "shop" ADD TABLE "public"."b";`, "path=listener.publication.tables"},
		{`publication "shop" also publishes public.a`, `ALTER PUBLICATION "shop" DROP TABLE "public"."a";`},
	} {
		if lines := log.with(append(words, "level=WARN")...); len(lines) != 1 {
			t.Errorf("%q is told %d times", words, len(lines))
		}
	}
	r.stop()

	// The SQL that is named makes it so.
	info, err := ShowPublication(s.ctx, s.cfg, s.db)
	if err != nil || len(info.Differences) != 2 {
		t.Fatalf("differences: %v, %v", info.Differences, err)
	}
	for _, d := range info.Differences {
		_, sql, _ := strings.Cut(d.Remedy, ": ")
		sql, _, _ = strings.Cut(sql, "; ")
		s.exec(sql)
	}
	if info, err = ShowPublication(s.ctx, s.cfg, s.db); err != nil || len(info.Differences) != 0 {
		t.Errorf("after that: %v, %v", info.Differences, err)
	}
	if got := s.published("shop"); got != "b" {
		t.Errorf("published is %s", got)
	}
	// A list that is not configured is not compared.
	s.cfg.Publication.Tables = nil
	if info, err = ShowPublication(s.ctx, s.cfg, s.db); err != nil || len(info.Differences) != 0 {
		t.Errorf("without a list: %v, %v", info.Differences, err)
	}
}

func TestPublicationOfAllTablesCanBeMadeAnewWhileItIsRead(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE PUBLICATION shop FOR ALL TABLES")
	s.cfg.Publication = config.Publication{Name: "shop", Tables: []string{"a"}, Alter: true}
	sink := newGuaranteeSink()
	r, log := s.startLogged(sink)
	r.awaitReady()
	if lines := log.with("level=WARN", `publication "shop" is for all tables`, "an ALTER cannot do that"); len(lines) != 1 {
		t.Errorf("that it cannot be altered is told %d times", len(lines))
	}
	info, err := ShowPublication(s.ctx, s.cfg, s.db)
	if err != nil || len(info.Differences) != 1 {
		t.Fatalf("differences: %v, %v", info.Differences, err)
	}
	sql := info.Differences[0].Remedy
	sql = sql[strings.Index(sql, "BEGIN") : strings.Index(sql, "COMMIT")+len("COMMIT")]
	s.exec("INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1)", sql, "INSERT INTO b VALUES (2)", "INSERT INTO a VALUES (2)")
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 3)),
		[]string{"INSERT public.a map[id:1] map[]", "INSERT public.b map[id:1] map[]", "INSERT public.a map[id:2] map[]"})
}

func TestPublicationThatSomebodyElseMakesAtTheSameTimeIsTaken(t *testing.T) {
	s := pgShared(t)
	l := s.link()
	s.exec("BEGIN", "CREATE PUBLICATION walherald FOR ALL TABLES")
	told, prepared := make(chan string, 1), make(chan error, 1)
	go func() {
		prepared <- l.preparePublication(s.ctx, "walherald", false, s.cfg.Publication, func(what, _ string) { told <- what })
	}()
	watcher := s.connect()
	s.eventually("wait for the other", func() bool {
		var waiting bool
		err := watcher.QueryRow(s.ctx, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", int(l.pg.PID())).Scan(&waiting)
		return err == nil && waiting
	})
	s.exec("COMMIT")
	if err := <-prepared; err != nil {
		t.Errorf("committed meanwhile: %v", err)
	}
	if err := l.preparePublication(s.ctx, "walherald", false, s.cfg.Publication, func(what, _ string) { told <- what }); err != nil {
		t.Errorf("committed before: %v", err)
	}
	if len(told) > 0 {
		t.Errorf("told that it %s what somebody else has made", <-told)
	}
}

func TestTableThatSomebodyElseAddsAtTheSameTimeIsNoError(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE PUBLICATION shop FOR TABLE a")
	l := s.link()
	cfg := config.Publication{Name: "shop", Tables: []string{"a", "b"}, Alter: true}
	s.exec("BEGIN", "ALTER PUBLICATION shop ADD TABLE b")
	prepared := make(chan error, 1)
	go func() { prepared <- l.preparePublication(s.ctx, "shop", true, cfg, func(string, string) {}) }()
	watcher := s.connect()
	s.eventually("wait for the other", func() bool {
		var waiting bool
		err := watcher.QueryRow(s.ctx, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", int(l.pg.PID())).Scan(&waiting)
		return err == nil && waiting
	})
	s.exec("COMMIT")
	if err := <-prepared; err != nil {
		t.Error(err)
	}
	if got := s.published("shop"); got != "a b" {
		t.Errorf("published is %s", got)
	}
}

func TestRefusalToMakeThePublicationSaysWhichRightIsMissing(t *testing.T) {
	s := pgShared(t)
	role := "publisher_of_" + s.db.Name
	s.exec("CREATE TABLE theirs (id int PRIMARY KEY)", "CREATE TABLE ours (id int PRIMARY KEY)",
		"CREATE ROLE "+role+" LOGIN REPLICATION", "ALTER TABLE ours OWNER TO "+role)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(s.ctx)
		for _, sql := range []string{"DROP OWNED BY " + role + " CASCADE", "DROP ROLE " + role} {
			if _, err := s.conn.Exec(ctx, sql); err != nil {
				t.Error(err)
			}
		}
	})
	s.db.User = role
	grant := "GRANT CREATE ON DATABASE " + quoteIdent(s.db.Name) + " TO " + quoteIdent(role)
	for _, step := range []struct {
		tables []string
		grant  string // before it
		want   []string
	}{
		{nil, "", []string{"only a superuser can", `CREATE PUBLICATION "walherald" FOR ALL TABLES`}},
		{[]string{"ours"}, "", []string{"may not create it in this database", grant}},
		{[]string{"ours", "theirs"}, grant, []string{"does not own table theirs", `ALTER TABLE "theirs" OWNER TO`}},
		{[]string{"Ours"}, "", []string{"table Ours does not exist", "its case counts"}},
	} {
		if step.grant != "" {
			s.exec(step.grant)
		}
		s.cfg.Publication.Tables = step.tables
		err := s.newRun(newGuaranteeSink()).Run(s.ctx)
		if err == nil {
			t.Fatal("the publication was made")
		}
		guaranteeWords(t, err.Error(), append(step.want, "SQLSTATE 42")...)
		// The preflight says the same.
		for _, f := range Check(s.ctx, s.cfg, s.db) {
			if f.Severity == config.FindingError && !strings.Contains(err.Error(), f.What+"; "+f.Remedy) {
				t.Errorf("check says %q; %q, and the start %q", f.What, f.Remedy, err)
			}
		}
	}
	// Nor may it alter what it does not own.
	s.exec("CREATE PUBLICATION walherald FOR TABLE theirs")
	s.cfg.Publication = config.Publication{Tables: []string{"ours"}, Alter: true}
	err := s.newRun(newGuaranteeSink()).Run(s.ctx)
	if !isFatal(err) {
		t.Fatalf("altered what it does not own: %v", err)
	}
	guaranteeWords(t, err.Error(), `let its owner "postgres"`, `ALTER PUBLICATION "walherald" ADD TABLE "public"."ours"`)
}

func TestShowPublicationSaysThatThereIsNone(t *testing.T) {
	s := pgShared(t)
	s.cfg.Publication.ViaPartitionRoot = true
	info, err := ShowPublication(s.ctx, s.cfg, s.db)
	if !errors.Is(err, ErrNoPublication) || info.Name != "walherald" {
		t.Fatalf("got %+v, %v", info, err)
	}
	_, sql, found := strings.Cut(err.Error(), "or run: ")
	if !found {
		t.Fatalf("%v does not say how to make it", err)
	}
	s.exec(sql)
	info, err = ShowPublication(s.ctx, s.cfg, s.db)
	if err != nil || !info.AllTables || !info.ViaPartitionRoot || info.Owner != "postgres" || len(info.Actions) != 4 || len(info.Differences) != 0 {
		t.Errorf("got %+v, %v", info, err)
	}
}
