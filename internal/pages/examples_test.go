package pages

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/receiver"
)

const examples = root + "/deploy/examples"

// fromEnvironment is a name that an example leaves to the environment.
var fromEnvironment = regexp.MustCompile(`\$\{env:(\w+)\}`)

// loadExample loads an example with the environment that it asks for. Its URLs lead
// to paths of hooks, which are called like the variables.
func loadExample(t *testing.T, name, hooks string) *config.Config {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range fromEnvironment.FindAllSubmatch(text, -1) {
		t.Setenv(string(match[1]), madeUp(string(match[1]), hooks))
	}
	cfg, err := config.Load(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// madeUp is what a variable of this name holds: a URL below hooks, or a secret that
// is long enough for every purpose.
func madeUp(variable, hooks string) string {
	if name, found := strings.CutSuffix(variable, "_URL"); found {
		return hooks + "/" + strings.ToLower(name)
	}
	return base64.StdEncoding.EncodeToString([]byte("32 bytes, as the signatures want"))
}

func TestEveryExampleLoadsWithoutAWarningAndIsInTheCookbook(t *testing.T) {
	files, err := filepath.Glob(examples + "/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("the examples are not found: %v", err)
	}
	cookbook := read(t, "docs/cookbook.md")
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			cfg := loadExample(t, name, "https://example.org")
			if warnings := cfg.Warnings(); len(warnings) > 0 {
				t.Errorf("it is warned of: %q", warnings)
			}
			if !strings.Contains(cookbook, "(../deploy/examples/"+name+")") {
				t.Error("the cookbook has no link to it")
			}
		})
	}
}

// notified is an example of rules, what happens, and what then arrives: for each path
// a word of each request.
type notified struct {
	example, sql string
	want         map[string][]string
}

var notifiedExamples = []notified{
	{
		"webhook-signup.yml", "INSERT INTO users VALUES (1, 'ada@example.org', 'Ada');\nUPDATE users SET name = 'A.'",
		map[string][]string{"/signup": {`"email":"ada@example.org"`}},
	},
	{
		"slack-orders.yml", "INSERT INTO orders VALUES (7, 'Ada', 12.50);\nDELETE FROM orders",
		map[string][]string{"/slack": {"Order 7 of Ada: 12.50"}},
	},
	{
		"several-destinations.yml", "INSERT INTO invoices VALUES (3, 'Ada', 99)",
		map[string][]string{"/crm": {`"amount":99.00`}, "/slack": {"invoices"}},
	},
	{
		"state-machine.yml", `INSERT INTO users (id, email, status) VALUES (1, 'a', 'active'), (2, 'b', 'active'), (3, 'c', 'premium');
UPDATE users SET status = 'premium' WHERE id IN (1, 3);
UPDATE users SET status = 'inactive' WHERE id IN (2, 3);
INSERT INTO orders VALUES (1, 'Ada', 1000), (2, 'Grace', 1000.01)`,
		map[string][]string{"/crm": {`"status":"premium"`}, "/engagement": {`"status":"inactive"`}, "/slack": {"Grace"}},
	},
	{
		"delete-guard.yml", `INSERT INTO users VALUES (1, 'a');
INSERT INTO payments VALUES (5, 1);
DELETE FROM users;
DELETE FROM payments;
TRUNCATE users`,
		map[string][]string{"/slack": {"user 1 was deleted", "all users were deleted"}, "/security": {`"order_id":1`}},
	},
	{
		"audit-trail.yml", `INSERT INTO roles VALUES (1, 'admin');
INSERT INTO api_keys VALUES (1, 'Ada', 'geheim');
UPDATE users SET plan = 'none'`,
		map[string][]string{"/audit": {`"subject":"public.roles"`, `"owner":"Ada"`}, "/slack": {"admin"}},
	},
	{
		"production.yml", `INSERT INTO users VALUES (1, 'a');
UPDATE users SET plan = 'premium';
INSERT INTO orders VALUES (1, 'Ada', 1000.01), (2, 'Grace', 10);
INSERT INTO payments VALUES (5, 1);
UPDATE payments SET status = 'failed';
INSERT INTO inventory VALUES ('lamp', 11);
UPDATE inventory SET quantity = 10;
UPDATE inventory SET quantity = 9;
UPDATE inventory SET quantity = 8;
INSERT INTO api_keys VALUES (1, 'Ada', 'geheim')`,
		map[string][]string{
			"/crm": {`"plan":"premium"`}, "/analytics": {"Ada"}, "/slack_sales": {"Ada"}, "/slack_emergency": {"Payment 5 of order 1 failed"},
			"/slack_warehouse": {"lamp"}, "/audit": {`"owner":"Ada"`},
		},
	},
	{
		"shop.yml", `INSERT INTO users VALUES (1, 'a');
UPDATE users SET plan = 'premium';
INSERT INTO orders VALUES (1, 'Ada', 5);
INSERT INTO inventory VALUES ('lamp', 6);
UPDATE inventory SET quantity = 5;
UPDATE orders SET status = 'shipped';
UPDATE orders SET total = 6;
DELETE FROM users`,
		map[string][]string{
			"/shop":  {`"plan":"premium"`, `"status":"pending"`, `"quantity":5`, `"status":"shipped"`, `"action":"DELETE"`},
			"/phone": {"orders", "inventory", "shipped"},
		},
	},
}

// reachable lets the example's destinations call the receiver, and as often as they
// like. A telephone's address is not in an example: it is Telegram's.
func reachable(cfg *config.Config, hooks string) {
	mend := func(d *config.Destination) {
		d.AllowPrivate, d.Rate = true, 1000
		if d.Type == config.DestinationTelegram {
			d.URL = config.Secret(hooks + "/phone")
		}
	}
	for i := range cfg.Notifier.Destinations {
		mend(&cfg.Notifier.Destinations[i])
	}
	for i := range cfg.Notifier.Rules {
		if d := cfg.Notifier.Rules[i].Destination; d != nil {
			mend(&d.Destination)
		}
	}
}

// places answers as those do whose paths are asked.
func places(r *receiver.Request) receiver.Reply {
	switch {
	case strings.HasPrefix(r.Path, "/slack"):
		return receiver.Body(http.StatusOK, "text/plain", "ok")
	case strings.HasPrefix(r.Path, "/phone"):
		return receiver.Body(http.StatusOK, "application/json", `{"ok":true,"result":{}}`)
	}
	return receiver.Status(http.StatusNoContent)
}

func TestExamplesSendWhatTheCookbookSays(t *testing.T) {
	for _, test := range notifiedExamples {
		t.Run(test.example, func(t *testing.T) { test.run(t) })
	}
}

func (n notified) run(t *testing.T) {
	s := pgserver.Shared(t)
	database := s.TestDatabase(t)
	for variable, value := range map[string]string{
		"HOST": s.Host(), "PORT": fmt.Sprint(s.Port()), "NAME": database, "USER": s.User(), "SSLMODE": config.SSLModeDisable,
	} {
		t.Setenv("WAL_DATABASE_"+variable, value)
	}
	t.Setenv("WAL_MONITORING_ADDRESS", "off")
	t.Setenv("WAL_MONITORING_PROMADDR", "127.0.0.1:0")
	t.Setenv("WAL_LISTENER_SERVERPORT", "0")
	hooks := receiver.New(t, receiver.Options{Answer: places})
	cfg := loadExample(t, n.example, hooks.URL())
	reachable(cfg, hooks.URL())
	execute(t, s.DSN(database), read(t, "deploy/examples/shop.sql"))

	stop := run(t, cfg)
	awaitStreaming(t, s.DSN(database), cfg.Listener.SlotName)
	execute(t, s.DSN(database), n.sql)
	end := value(t, s.DSN(database), "SELECT pg_current_wal_insert_lsn()::text")
	awaitTrue(t, s.DSN(database), "SELECT confirmed_flush_lsn >= '"+end+"' FROM pg_replication_slots WHERE slot_name = '"+cfg.Listener.SlotName+"'")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	n.arrived(t, hooks.Requests())
}

// arrived compares the requests with what is wanted, for each path in any order.
func (n notified) arrived(t *testing.T, requests []receiver.Request) {
	t.Helper()
	got := make(map[string][]string)
	for _, r := range requests {
		path, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
		got["/"+path] = append(got["/"+path], string(r.Body))
		if strings.Contains(string(r.Body), "geheim") {
			t.Errorf("a value that is masked or left out came: %s", r.Body)
		}
	}
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(n.want))) {
		t.Errorf("requests came to %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(n.want)))
	}
	for path, words := range n.want {
		if len(got[path]) != len(words) {
			t.Errorf("%d requests came to %s, want %d: %q", len(got[path]), path, len(words), got[path])
		}
		for _, word := range words {
			if !slices.ContainsFunc(got[path], func(body string) bool { return strings.Contains(body, word) }) {
				t.Errorf("no request to %s has %s: %q", path, word, got[path])
			}
		}
	}
}
