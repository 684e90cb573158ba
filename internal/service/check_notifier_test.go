package service

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher/notifier"
)

// checked returns what a check finds of the notifier, but for what is as it should be.
func checked(t *testing.T, cfg *config.Config) (wrong []config.Finding) {
	t.Helper()
	for _, f := range Check(t.Context(), cfg) {
		if f.Severity != config.FindingOK && f.Remedy == "" {
			t.Errorf("no remedy for %+v", f)
		}
		if f.Severity != config.FindingOK && (strings.HasPrefix(f.Path, "notifier") || f.Path == "listener.schema") {
			wrong = append(wrong, f)
		}
	}
	return wrong
}

// expectWrong wants one finding for each of the texts: each is the severity, the path,
// and words of what was found or of the remedy, with | between.
func expectWrong(t *testing.T, found []config.Finding, want ...string) {
	t.Helper()
	if len(found) != len(want) {
		t.Errorf("%d findings, want %d", len(found), len(want))
	}
	for _, w := range want {
		words := strings.Split(w, "|")
		if !slices.ContainsFunc(found, func(f config.Finding) bool {
			lacks := func(word string) bool { return !strings.Contains(f.What+"\n"+f.Remedy, word) }
			return f.Severity.String() == words[0] && f.Path == words[1] && !slices.ContainsFunc(words[2:], lacks)
		}) {
			t.Errorf("no finding %s", w)
		}
	}
	if t.Failed() {
		for _, f := range found {
			t.Logf("%s %s: %s\n\t%s", f.Severity, f.Path, f.What, f.Remedy)
		}
	}
}

func TestCheckOfANotifierThatCouldRunFindsNothingAndSendsNothing(t *testing.T) {
	authority := testcert.New(t)
	cert, _ := authority.Issue("receiver")
	plain, secure := receiver.New(t, receiver.Options{}), receiver.New(t, receiver.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  destinations:
    - {name: plain, type: webhook, url: "%s/hunter2", allowPrivate: true}
    - {name: secure, type: webhook, url: "%s/hunter2", allowPrivate: true, caCert: %s}
  rules:
    - {name: changed, table: t, conditions: [{field: v, changed: true}], destinations: [plain, secure]}
    - {name: any, topic: "public_*", when: 'old.v == "x" or new.id > 3', destination: plain}
`, plain.URL(), secure.URL(), authority.File()))
	found := Check(t.Context(), cfg)
	for _, f := range found {
		if f.Severity != config.FindingOK || strings.Contains(f.What, "hunter2") {
			t.Errorf("%+v", f)
		}
	}
	for _, want := range []string{"rules: 2, which send to destinations: 2", "plain: connected to " + plain.Addr() + " without TLS", "secure: connected to " + secure.Addr() + " with TLS", `table walherald.parked does not exist and would be made`} {
		if !slices.ContainsFunc(found, func(f config.Finding) bool { return strings.Contains(f.What, want) }) {
			t.Errorf("no finding says %q: %+v", want, found)
		}
	}
	if n := plain.Count() + secure.Count(); n > 0 {
		t.Errorf("%d requests were made", n)
	}
	if n := query(t, dsn, "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'walherald'"); n != "0" {
		t.Error("a check made the schema of the parking")
	}
}

func TestCheckNamesWhatKeepsDestinationsFromBeingCalled(t *testing.T) {
	hook := receiver.New(t, receiver.Options{})
	port := func(address string) string { _, p, _ := net.SplitHostPort(address); return p }(hook.Addr())
	cfg, _ := notifying(t, fmt.Sprintf(`
notifier:
  destinations:
    - {name: private, type: webhook, url: "http://u:hunter2@127.0.0.1:%[1]s/hunter2?hunter2"}
    - {name: unknown, type: webhook, url: "https://walherald.invalid/hunter2"}
    - {name: dead, type: webhook, url: "%[2]s/hunter2", allowPrivate: true}
    - {name: held, type: webhook, url: "%[2]s/hunter3", allowPrivate: true, onFailure: hold}
    - {name: plain, type: webhook, url: "https://127.0.0.1:%[1]s/hunter2", allowPrivate: true}
    - {name: files, type: webhook, url: "https://127.0.0.1:%[1]s/", allowPrivate: true, caCert: /nonexistent/ca.pem}
    - {name: pair, type: webhook, url: "https://127.0.0.1:%[1]s/", allowPrivate: true, clientCert: /nonexistent/c.pem, clientKey: /nonexistent/k.pem}
    - {name: template, type: webhook, url: "http://127.0.0.1:%[1]s/", allowPrivate: true, template: "{{.New.v"}
    - {name: forgotten, type: webhook, url: "http://127.0.0.1:%[1]s/"}
  rules: [{table: t, destinations: [private, unknown, dead, held, plain, files, pair, template]}]
`, port, nowhere(t)))
	found := checked(t, cfg)
	expectWrong(t, found,
		"error|notifier.destinations[0]|private: call 127.0.0.1:|which is loopback|allowPrivate: true",
		"warning|notifier.destinations[1]|unknown: call walherald.invalid|are parked",
		"warning|notifier.destinations[2]|dead: |connection refused|are parked",
		"error|notifier.destinations[3]|held: |connection refused|hold the position",
		"warning|notifier.destinations[4]|plain: |does not speak TLS",
		"error|notifier.destinations[5].caCert|files|/nonexistent/ca.pem|PEM files",
		"error|notifier.destinations[6].clientCert|pair|/nonexistent/c.pem|PEM files",
		"error|notifier.destinations[7].template|template|docs/messages.md",
		"warning|notifier.destinations[8]|no rule sends to destination forgotten|remove it")
	for _, f := range found {
		if strings.Contains(f.What+f.Remedy, "hunter") {
			t.Errorf("shows a secret: %+v", f)
		}
	}
	if hook.Count() > 0 {
		t.Error("a request was made")
	}
}

func TestCheckAsksPlacesThatCanTellWhetherTheyKnowUs(t *testing.T) {
	for _, tt := range []struct{ body, severity, says string }{
		{`{"ok":true,"user":"herald","result":{"username":"herald_bot"}}`, "ok", "knows us as herald"},
		{`{"ok":false,"error":"invalid_auth","error_code":401,"description":"Unauthorized"}`, "error", "set token"},
	} {
		place := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Body(200, "application/json", tt.body))})
		cfg, _ := notifying(t, fmt.Sprintf(`
notifier:
  destinations:
    - {name: chat, type: telegram, url: "%[1]s", token: hunter2, chatId: "-7", allowPrivate: true}
    - {name: team, type: slack, url: "%[1]s/chat.postMessage", token: hunter2, channel: C1, allowPrivate: true}
  rules: [{table: t, destinations: [chat, team]}]
`, place.URL()))
		for i := range 2 {
			path := fmt.Sprintf("notifier.destinations[%d]", i)
			if !slices.ContainsFunc(Check(t.Context(), cfg), func(f config.Finding) bool {
				return f.Severity.String() == tt.severity && f.Path == path && strings.Contains(f.What, tt.says) && !strings.Contains(f.What, "hunter2")
			}) {
				t.Errorf("no %s of %s says %q", tt.severity, path, tt.says)
			}
		}
		for _, r := range place.Requests() {
			if strings.HasSuffix(r.Path, "Message") {
				t.Errorf("%s was called", r.Path)
			}
		}
	}
}

func TestCheckComparesRulesWithTheTables(t *testing.T) {
	hook := receiver.New(t, receiver.Options{})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  destinations: [{name: hook, type: webhook, url: "%s", allowPrivate: true}]
  rules:
    - {name: old, table: orders, op_type: update, conditions: [{field: id, new_value: "1"}, {field: status, old_value: open}], destination: hook}
    - {name: old-when, table: orders, when: 'action == "UPDATE" && old.status != new.status && old.note != "x"', destination: hook}
    - {name: two, conditions: [{field: note, changed: true}], op_type: update, destination: hook}
    - {name: fine, table: orders, op_type: update, conditions: [{field: status, in: [open]}, {field: id, changed: true}], destination: hook}
    - {name: column, table: orders, conditions: [{field: Status, new_value: open}], destination: hook}
    - {name: column-when, table: orders, when: 'new.price > 3', destination: hook}
    - {name: hidden, table: orders, conditions: [{field: secret, new_value: x}], destination: hook}
    - {name: anywhere, conditions: [{field: amount, new_value: x}], destination: hook}
    - {name: nowhere, conditions: [{field: amuont, new_value: x}], destination: hook}
    - {name: table, table: order, destination: hook}
    - {name: schema, table: shop.orders, destination: hook}
    - {name: no-table, table: xyz, destination: hook}
    - {name: topic, topic: "shop_*", destination: hook}
    - {name: action, table: inserts, op_type: delete, destination: hook}
    - {name: broken, table: orders, when: 'new.status == ', destination: hook}
`, hook.URL()))
	execute(t, dsn, `CREATE TABLE orders (id int PRIMARY KEY, status text, note text, secret text);
		CREATE TABLE bills (id int PRIMARY KEY, note text, amount int); CREATE TABLE inserts (id int PRIMARY KEY)`)
	cfg.Listener.Exclude.Columns = []string{"orders.secret"}
	cfg.Listener.Include.Tables = map[string][]string{"inserts": {"insert"}}
	const rule = "notifier.rules"
	want := []string{
		"warning|" + rule + "[0].conditions[1].field|rule old looks at old values of column status|does not hold of public.orders|ALTER TABLE public.orders REPLICA IDENTITY FULL",
		"warning|" + rule + "[1].when|rule old-when|column note, status",
		"warning|" + rule + "[2].conditions[0].field|rule two|public.bills, public.orders|ALTER TABLE ... REPLICA",
		"warning|" + rule + "[4].conditions[0].field|column Status, which public.orders does not have|did you mean status?",
		"warning|" + rule + "[5].when|column price|the columns are id, status, note",
		"warning|" + rule + "[6].conditions[0].field|column secret|exclude.columns leaves it out",
		"warning|" + rule + "[8].conditions[0].field|amuont, which the 4 tables",
		"warning|" + rule + "[9].table|has the name order|did you mean public.orders?",
		"warning|" + rule + "[10].table|has the name shop.orders|did you mean public.orders?",
		"warning|" + rule + "[11].table|has the name xyz|there are public.bills, public.inserts, public.orders, public.t",
		"warning|" + rule + "[12].topic|no topic of its tables|public_bills, public_inserts, public_orders, public_t",
		"warning|" + rule + "[13].op_type|no such change is published",
		"error|" + rule + "[14].when|rule broken: cannot be compiled|docs/notifier.md",
	}
	expectWrong(t, checked(t, cfg), want...)

	// With the whole row in the log nothing is to be said of old values.
	execute(t, dsn, "ALTER TABLE orders REPLICA IDENTITY FULL; ALTER TABLE bills REPLICA IDENTITY FULL")
	expectWrong(t, checked(t, cfg), want[3:]...)

	// Where the tables are not known, nothing is said of them.
	cfg.Database.Name = "nowhere"
	expectWrong(t, checked(t, cfg), want[len(want)-1], "error|notifier.parking|nowhere")
}

func TestCheckOfRulesForLogicalMessagesExpectsNoTable(t *testing.T) {
	hook := receiver.New(t, receiver.Options{})
	cfg, _ := notifying(t, fmt.Sprintf(`
notifier:
  rules: [{topic: orders, destination: {type: webhook, url: "%s", allowPrivate: true}}]
`, hook.URL()))
	expectWrong(t, checked(t, cfg), "warning|notifier.rules[0].topic|selects nothing")
	cfg.Listener.Messages = []string{config.AnyPrefix}
	expectWrong(t, checked(t, cfg))
}

func TestCheckLooksAtWhatIsParked(t *testing.T) {
	hook := receiver.New(t, receiver.Options{})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  parking: {schedule: []}
  rules: [{table: t, destination: {name: crm, type: webhook, url: "%s", allowPrivate: true}}]
`, hook.URL()))
	execute(t, dsn, "CREATE SCHEMA walherald; CREATE TABLE walherald.parked (something int)")
	expectWrong(t, checked(t, cfg), "error|listener.schema|something else has this name")
	execute(t, dsn, "DROP TABLE walherald.parked")
	park(t, cfg, "crm", "gone")
	expectWrong(t, checked(t, cfg), "warning|notifier.parking|1 parked for crm|1 wait for somebody|walherald parked list",
		"warning|notifier.parking|1 parked for gone|no rule sends")
	// What is parked matters only to who parks.
	cfg.Notifier.Rules[0].Destination.OnFailure = config.OnFailureDrop
	expectWrong(t, checked(t, cfg))
}

// park parks one delivery for each destination.
func park(t *testing.T, cfg *config.Config, destinations ...string) {
	t.Helper()
	table, err := openTable(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for _, name := range destinations {
		if err := table.Park(t.Context(), []notifier.Parked{parkedDelivery(t, name, 1)}); err != nil {
			t.Fatal(err)
		}
	}
}
