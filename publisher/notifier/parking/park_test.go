package parking

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

func TestWhatIsParkedIsReadBackAsItWas(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour)
	odd := delivery("hook", 1)
	odd.Key, odd.Payload, odd.Action = nil, []byte("\x00\xff\n"), publisher.Truncate
	odd.Reason, odd.Table = "Ünavailable \x00 \xff", `public."o'r\d"`
	p.park(table, delivery("hook", 0), odd)
	for _, want := range []notifier.Parked{delivery("hook", 0), odd} {
		all, err := table.Get(p.ctx(), want.ID, Filter{})
		if err != nil || len(all) != 1 {
			t.Fatalf("got %d deliveries: %v", len(all), err)
		}
		got := all[0]
		if wait := got.Next.Sub(got.ParkedAt); wait != time.Hour {
			t.Errorf("it is due after %v", wait)
		}
		if age := time.Since(got.ParkedAt); age < -time.Minute || age > patience {
			t.Errorf("it is %v old", age)
		}
		if got.Key == nil || got.Payload == nil {
			t.Error("an empty key or payload is nil")
		}
		got.ParkedAt, got.Next = time.Time{}, time.Time{}
		want.Reason = storable(want.Reason)
		if want.Key == nil {
			want.Key = []byte{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	if lsn := p.value("SELECT min(lsn)::text FROM walherald.parked"); lsn != "0/16B3748" {
		t.Errorf("the position is %s", lsn)
	}
}

func TestDeliveryIsOnDiskBeforeParkReturns(t *testing.T) {
	// A commit that is not waited for would reach the disk only 10 s later.
	s := pgserver.ForTest(t, pgserver.Options{Settings: map[string]string{"synchronous_commit": "off", "wal_writer_delay": "10s"}})
	p := &place{t: t, s: s, db: config.Database{Host: s.Host(), Port: s.Port(), Name: "postgres", User: s.User()}}
	p.exec("ALTER ROLE postgres SET synchronous_commit = off")
	table := p.table(hour)
	for n := range 20 {
		p.park(table, delivery("hook", n))
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := table.Park(p.ctx(), deliveries("hook", 1)); err == nil {
		t.Error("parked without a server")
	}
	if err := s.Restart(p.ctx()); err != nil {
		t.Fatal(err)
	}
	if n := len(p.list(p.table(hour), Filter{})); n != 20 {
		t.Errorf("%d of 20 deliveries survived", n)
	}
	p.park(table, delivery("hook", 20)) // by the connections from before, too
}

func TestSameDeliveryParkedTwiceIsOne(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour)
	first, again := delivery("hook", 0), delivery("hook", 0)
	again.Reason, again.Payload = "later", []byte("{}")
	p.park(table, first, first)
	p.park(table, again, delivery("hook", 1), delivery("mail", 0))
	all := p.list(table, Filter{Destination: "hook"})
	if len(all) != 2 || all[0].Reason != first.Reason || all[0].Size != len(first.Payload) {
		t.Errorf("parked are %+v", all)
	}
	if n := len(p.list(table, Filter{})); n != 3 {
		t.Errorf("%d are parked, want 3: one event can be parked for two destinations", n)
	}
}

func TestLargeDeliveriesAreParkedTogether(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour)
	ds := deliveries("hook", 12)
	for i := range ds {
		ds[i].Payload = bytes.Repeat([]byte{'x'}, 3<<20)
	}
	ds[5].Payload = bytes.Repeat([]byte{'y'}, maxStatement+1)
	p.park(table, ds...)
	for i, e := range p.list(table, Filter{}) {
		if e.Size != len(ds[i].Payload) || e.Payload != nil {
			t.Errorf("delivery %d has %d bytes, and %d in the list", i, e.Size, len(e.Payload))
		}
	}
	if n := p.value("SELECT count(DISTINCT xmin::text)::text FROM walherald.parked"); n != "1" {
		t.Errorf("they were parked in %s transactions", n)
	}
}

func TestNothingIsParkedIfOneCannotBe(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour)
	if err := table.Park(p.ctx(), []notifier.Parked{delivery("hook", 0), delivery("", 1)}); !errors.Is(err, errNoDestination) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(p.ctx())
	cancel()
	if err := table.Park(ctx, deliveries("hook", 3)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := table.Park(ctx, nil); err == nil {
		t.Error("a context that has ended is no error")
	}
	if n := len(p.list(table, Filter{})); n != 0 {
		t.Errorf("%d are parked", n)
	}
}

func TestStoresThatBeginAtOnceMakeOneTable(t *testing.T) {
	p := newPlace(t)
	var all sync.WaitGroup
	for n := range 6 {
		table := p.table(hour)
		all.Go(func() {
			if err := table.Park(p.ctx(), []notifier.Parked{delivery("hook", n)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(p.list(p.table(hour), Filter{})); n != 6 {
		t.Errorf("%d are parked", n)
	}
}

func TestTableThatWasDroppedIsMadeAgain(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour)
	p.park(table, delivery("hook", 0))
	p.exec("DROP SCHEMA walherald CASCADE")
	if all := p.list(table, Filter{}); len(all) != 0 {
		t.Errorf("parked are %v", all)
	}
	// The first attempt finds out, the next one mends it.
	if err := table.Park(p.ctx(), deliveries("hook", 1)); err != nil {
		p.park(table, delivery("hook", 0))
	}
	if n := len(p.list(table, Filter{})); n != 1 {
		t.Errorf("%d are parked", n)
	}
}

func TestLookingMakesNoTable(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour)
	stock, err := table.Stock(p.ctx())
	if err != nil || len(stock) != 0 {
		t.Errorf("stock %v, %v", stock, err)
	}
	if n, err := table.Drop(p.ctx(), Filter{}); n != 0 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	p.due(table, 10, nil)
	if n := p.value("SELECT count(*)::text FROM pg_namespace WHERE nspname = 'walherald'"); n != "0" {
		t.Error("the schema was made")
	}
	if err := table.Prepare(p.ctx()); err != nil {
		t.Fatal(err)
	}
	if got := p.value("SELECT obj_description('walherald.parked'::regclass)"); got != comment+"1" {
		t.Errorf("the table's comment is %q", got)
	}
}

func TestMissingRightIsNamedWithTheSQLThatGivesIt(t *testing.T) {
	p := newPlace(t)
	role := "parker_" + p.db.Name
	p.exec(`CREATE ROLE "` + role + `" LOGIN`)
	t.Cleanup(func() { p.exec(`DROP OWNED BY "` + role + `"; DROP ROLE "` + role + `"`) })
	p.db.User = role
	table := p.table(hour)
	err := table.Park(p.ctx(), deliveries("hook", 1))
	if err == nil || publisher.IsPermanent(err) {
		t.Fatalf("got %v, want an error that is worth another attempt", err)
	}
	_, sql, found := strings.Cut(err.Error(), "let a superuser run: ")
	if !found {
		t.Fatalf("no SQL in %v", err)
	}
	p.exec(sql)
	p.park(table, delivery("hook", 0))

	// The same with a table that another role has made.
	p.exec(`ALTER TABLE walherald.parked OWNER TO postgres; REVOKE ALL ON walherald.parked FROM "` + role + `"`)
	for what, do := range map[string]func() error{
		"park": func() error { return table.Park(p.ctx(), deliveries("hook", 2)) },
		"list": func() error { _, err := table.List(p.ctx(), Filter{}); return err },
		"drop": func() error { _, err := table.Drop(p.ctx(), Filter{}); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), sql) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	p.exec(sql)
	p.park(table, deliveries("hook", 2)...)
	if n := len(p.list(table, Filter{})); n != 2 {
		t.Errorf("%d are parked", n)
	}
}

func TestForeignOrNewerTableIsLeftAlone(t *testing.T) {
	for _, tt := range []struct{ sql, want string }{
		{"CREATE TABLE walherald.parked (id int)", "listener.schema"},
		{"CREATE SEQUENCE walherald.parked", "listener.schema"},
		{"CREATE TABLE walherald.parked (id int); COMMENT ON TABLE walherald.parked IS '" + comment + "2'", "newer walherald"},
	} {
		p := newPlace(t)
		p.exec("CREATE SCHEMA walherald; " + tt.sql)
		err := p.table(hour).Park(p.ctx(), deliveries("hook", 1))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.sql, err)
		}
	}
}

func TestStandbyParksNothingUntilItIsPromoted(t *testing.T) {
	primary := pgserver.ForTest(t, pgserver.Options{})
	standby := primary.StandbyForTest(t, nil)
	p := &place{t: t, s: primary, db: config.Database{Host: primary.Host(), Port: primary.Port(), Name: "postgres", User: primary.User()}}
	p.park(p.table(hour), delivery("hook", 0))
	if err := standby.CatchUp(p.ctx()); err != nil {
		t.Fatal(err)
	}
	p.db.Port = standby.Port()
	table := p.table(hour)
	err := table.Park(p.ctx(), deliveries("hook", 2))
	if err == nil || !strings.Contains(err.Error(), "the server is a standby") {
		t.Errorf("got %v", err)
	}
	if n := len(p.list(table, Filter{})); n != 1 {
		t.Errorf("the standby shows %d", n)
	}
	if err := standby.Promote(p.ctx()); err != nil {
		t.Fatal(err)
	}
	p.park(table, deliveries("hook", 2)...)
	if n := len(p.list(table, Filter{})); n != 2 {
		t.Errorf("the promoted server has %d", n)
	}
}

func TestDatabaseWithoutUnicodeTakesAnyReason(t *testing.T) {
	p := newPlace(t)
	name := p.db.Name + "_latin"
	p.exec(`CREATE DATABASE ` + name + ` ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
	t.Cleanup(func() { p.exec(`DROP DATABASE ` + name + ` WITH (FORCE)`) })
	own := *p
	own.db.Name = name
	table := own.table(hour)
	d := delivery("hook", 0)
	d.Reason = "не работает"
	own.park(table, d)
	if got := own.list(table, Filter{})[0].Reason; !strings.Contains(got, `\u043d\u0435`) {
		t.Errorf("the reason is %q", got)
	}
}

func TestTLSIsAsTheDatabaseSectionSays(t *testing.T) {
	roots := t.TempDir() + "/it's\\ca.pem"
	for _, tt := range []struct {
		db           config.Database
		tls, skip    bool
		name, failed string
	}{
		{db: config.Database{Host: "h"}},
		{db: config.Database{Host: "h", EnableTLS: true}, tls: true, name: "h"},
		{db: config.Database{Host: "10.0.0.1", SSL: config.SSL{ServerName: "pg"}}, tls: true, name: "pg"},
		{db: config.Database{Host: "h", SSL: config.SSL{SkipVerify: true, CACert: roots}}, tls: true, skip: true, name: "h"},
		{db: config.Database{Host: "h", SSLMode: config.SSLModeRequire}, tls: true, skip: true, name: "h"},
		{db: config.Database{Host: "h", SSL: config.SSL{CACert: roots}}, failed: "it's\\ca.pem"},
	} {
		t.Setenv("PGSSLMODE", "prefer")
		t.Setenv("PGSSLROOTCERT", "/nowhere")
		cfg, err := poolConfig(tt.db)
		if tt.failed != "" {
			if err == nil || !strings.Contains(fmt.Sprint(err), tt.failed) {
				t.Errorf("%+v: got %v", tt.db, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", tt.db, err)
			continue
		}
		c := cfg.ConnConfig
		if (c.TLSConfig != nil) != tt.tls || len(c.Fallbacks) != 0 || c.Host != tt.db.Host {
			t.Errorf("%+v: TLS %v, %d other ways", tt.db, c.TLSConfig, len(c.Fallbacks))
		}
		if c.TLSConfig != nil && (c.TLSConfig.InsecureSkipVerify != tt.skip || c.TLSConfig.ServerName != tt.name) {
			t.Errorf("%+v: verifies nothing: %v, name %q", tt.db, c.TLSConfig.InsecureSkipVerify, c.TLSConfig.ServerName)
		}
	}
}
