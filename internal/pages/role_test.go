package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/pgserver/child"
	"github.com/walherald/walherald/internal/service"
)

// The blocks of SQL on docs/role.md, in their order.
const (
	sqlRole = iota
	sqlDatabase
	sqlOwner
	sqlGrants
	sqlBlocks
)

// rolePage is the page, with a server that asks for passwords and has the
// database that the page speaks of.
type rolePage struct {
	server *pgserver.Server
	sql    []string
}

func newRolePage(t *testing.T) *rolePage {
	t.Helper()
	p := &rolePage{server: pgserver.ForTest(t, pgserver.Options{Password: "of the superuser"}), sql: statements(t, "docs/role.md")}
	if len(p.sql) != sqlBlocks {
		t.Fatalf("the page has %d blocks of SQL, want %d", len(p.sql), sqlBlocks)
	}
	if err := p.server.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	execute(t, p.dsn(), `CREATE ROLE shop_owner;
CREATE TABLE users (id int PRIMARY KEY, name text);
CREATE TABLE orders (id int PRIMARY KEY);
ALTER TABLE users OWNER TO shop_owner;
ALTER TABLE orders OWNER TO shop_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE CONNECT ON DATABASE shop FROM PUBLIC`)
	return p
}

func (p *rolePage) dsn() string { return p.server.DSN("shop") }

// config is one with a file as its output and a destination that does not answer,
// so that what is for it is parked; more is added to the section listener.
func (p *rolePage) config(t *testing.T, more string) *config.Config {
	t.Helper()
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return load(t, fmt.Sprintf(`
listener: {slotName: herald%s}
database: {host: %s, port: %d, name: shop, user: walherald, password: change-me}
monitoring: {address: "off"}
publisher: {type: file, path: %s}
notifier:
  rules:
    - table: users
      op_type: insert
      destination: {name: dead, type: webhook, url: "http://127.0.0.1:%d/", allowPrivate: true, maxAttempts: 1}
`, more, p.server.Host(), p.server.Port(), filepath.Join(t.TempDir(), "events.jsonl"), port))
}

// works runs walherald and wants every change in the file, the position
// remembered and what cannot be delivered parked.
func (p *rolePage) works(t *testing.T, cfg *config.Config) {
	t.Helper()
	stop := run(t, cfg)
	awaitStreaming(t, p.dsn(), "herald")
	execute(t, p.dsn(), "INSERT INTO users VALUES (1, 'Anna');\nUPDATE users SET name = 'Ada';\nDELETE FROM users;\nINSERT INTO orders VALUES (7)")
	end := value(t, p.dsn(), "SELECT pg_current_wal_insert_lsn()::text")
	awaitTrue(t, p.dsn(), "SELECT confirmed_flush_lsn >= '"+end+"' FROM pg_replication_slots WHERE slot_name = 'herald'")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	events, err := os.ReadFile(cfg.Publisher.Path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(events), "\n"); n != 4 {
		t.Errorf("%d events came, want 4:\n%s", n, events)
	}
	if n := value(t, p.dsn(), "SELECT count(*)::text FROM walherald.parked"); n != "1" {
		t.Errorf("%s notifications are parked, want 1", n)
	}
	if kept := value(t, p.dsn(), "SELECT (last_value > 0)::text FROM walherald.herald"); kept != "true" {
		t.Error("the position is not remembered")
	}
}

// expectNothingWrong wants a check to find nothing but the dead destination.
func expectNothingWrong(t *testing.T, cfg *config.Config) {
	t.Helper()
	for _, f := range service.Check(t.Context(), cfg) {
		if f.Severity != config.FindingOK && !strings.HasPrefix(f.Path, "notifier.rules") {
			t.Errorf("%v %s: %s; %s", f.Severity, f.Path, f.What, f.Remedy)
		}
	}
}

func TestRoleOfThePageRunsWithNoOtherRight(t *testing.T) {
	p := newRolePage(t)
	execute(t, p.dsn(), p.sql[sqlRole]+p.sql[sqlDatabase])
	cfg := p.config(t, "")
	expectNothingWrong(t, cfg)
	p.works(t, cfg)
	for _, table := range []string{"users", "orders"} {
		if may := value(t, p.dsn(), "SELECT has_table_privilege('walherald', 'public."+table+"', 'SELECT')::text"); may != "false" {
			t.Errorf("the role may read %s", table)
		}
	}
}

func TestRoleThatOwnsTheTablesMakesItsPublication(t *testing.T) {
	p := newRolePage(t)
	execute(t, p.dsn(), p.sql[sqlRole]+p.sql[sqlOwner])
	cfg := p.config(t, ", publication: {tables: [public.users, public.orders]}")
	expectNothingWrong(t, cfg)
	p.works(t, cfg)
}

func TestRoleWithoutASchemaOfItsOwnRunsByTheGrantsOfThePage(t *testing.T) {
	p := newRolePage(t)
	publication, _, _ := strings.Cut(p.sql[sqlDatabase], "\n")
	execute(t, p.dsn(), p.sql[sqlRole]+publication+"\n"+p.sql[sqlGrants])
	cfg := p.config(t, "")
	expectNothingWrong(t, cfg)
	p.works(t, cfg)
}

func TestCheckNamesEveryRightOfThePageThatIsMissing(t *testing.T) {
	p, page := newRolePage(t), read(t, "docs/role.md")
	execute(t, p.dsn(), p.sql[sqlRole]+p.sql[sqlDatabase])
	cfg := p.config(t, "")
	for _, test := range []struct{ take, back, path, want string }{
		{"ALTER ROLE walherald NOLOGIN", "ALTER ROLE walherald LOGIN", "database.user", "cannot connect to PostgreSQL"},
		{
			"REVOKE CONNECT ON DATABASE shop FROM walherald", "GRANT CONNECT ON DATABASE shop TO walherald", "database.user",
			"permission denied for database",
		},
		{
			"ALTER ROLE walherald NOREPLICATION", "ALTER ROLE walherald REPLICATION", "database.user",
			"may not replicate: it is no superuser and lacks REPLICATION",
		},
		{
			"DROP PUBLICATION walherald", "CREATE PUBLICATION walherald FOR ALL TABLES", "listener.publication",
			"does not exist, and role walherald may not create it",
		},
		{
			"ALTER SCHEMA walherald OWNER TO postgres", "ALTER SCHEMA walherald OWNER TO walherald", "listener.slotMemory",
			"slot memory cannot be kept",
		},
		{
			"ALTER SCHEMA walherald OWNER TO postgres", "ALTER SCHEMA walherald OWNER TO walherald", "notifier.parking",
			"nothing can be parked",
		},
	} {
		expectNothingWrong(t, cfg)
		execute(t, p.dsn(), test.take)
		var named bool
		found := service.Check(t.Context(), cfg)
		for _, f := range found {
			named = named || f.Severity != config.FindingOK && f.Path == test.path && strings.Contains(f.What, test.want) && f.Remedy != ""
		}
		if !named {
			t.Errorf("after %s nothing says %q of %s: %+v", test.take, test.want, test.path, found)
		}
		if !strings.Contains(page, "`"+test.want+"`") {
			t.Errorf("the page does not say %q", test.want)
		}
		execute(t, p.dsn(), test.back)
	}
}
