package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// password is in testdata/activation/channels-env.yml.
const shopPassword = "p@ss/w ord'Q7"

// setuWebhook is what a webhook of setu is here.
func setuWebhook(url Secret, headers map[string]Secret) *DestinationRef {
	d := setuDestination(DestinationWebhook, url, headers)
	d.Envelope = EnvelopeSetu
	return d
}

func setuDestination(kind string, url Secret, headers map[string]Secret) *DestinationRef {
	d := defaultDestination()
	d.Type, d.URL, d.Headers = kind, url, headers
	d.AllowPrivate, d.Timeout = true, 30*time.Second
	return &DestinationRef{Destination: d}
}

func ptr(text string) *string { return &text }

func TestFlatActivationFileLoadsAsItIs(t *testing.T) {
	got := mustLoad(t, "testdata/activation/flat.yaml")
	want := Default()
	want.Listener.SlotName, want.Listener.Publication.Name = "shop_slot", "shop_pub"
	want.Database = Database{Host: "db.example.org", Port: 5433, Name: "shop", User: "walherald", Password: shopPassword}
	const token = "7700:not-a-real-token-Q7"
	const receiver = "http://receiver:8080/events"
	slack := setuDestination(DestinationSlack, "https://hooks.slack.com/services/T00/B00/not-real-Q7", nil)
	slack.Channel = "#farewell"
	telegram := setuDestination(DestinationTelegram, "https://api.telegram.org/bot"+token+"/sendMessage", map[string]Secret{"chat_id": "0123456789"})
	want.Notifier.Rules = Rules{
		{
			Table: "users", OpType: []string{"update"},
			Conditions:  Conditions{{Field: "plan", OldValue: ptr("free"), NewValue: ptr("premium")}},
			Destination: setuWebhook(receiver, map[string]Secret{"X-Event-Type": "user.upgraded", "Authorization": "Bearer " + token}),
		},
		{Table: "orders", OpType: []string{"insert"}, Conditions: Conditions{}, Destination: setuWebhook(receiver, map[string]Secret{"X-Event-Type": "order.created"})},
		{Table: "inventory", OpType: []string{"update"}, Conditions: Conditions{{Field: "quantity", NewValue: ptr("5")}}, Destination: setuWebhook(receiver, nil)},
		{Table: "orders", OpType: []string{"update"}, Conditions: Conditions{}, Destination: setuWebhook(receiver, nil)},
		{Table: "users", OpType: []string{"delete"}, Conditions: Conditions{}, Destination: slack},
		{Table: "*", OpType: []string{"*"}, Conditions: Conditions{}, Destination: telegram},
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

func TestActivationFileWithASourceLoadsAsItIs(t *testing.T) {
	got := mustLoad(t, "testdata/activation/source.yaml")
	db := Database{Host: "db.example.org", Port: 5433, Name: "shop", User: "walherald", Password: shopPassword, SSLMode: SSLModeVerifyFull}
	if got.Database != db || got.Listener.SlotName != "shop_slot" || got.Listener.Publication.Name != "shop_pub" || got.Logger.Level != "debug" {
		t.Errorf("database %+v, slot %q, publication %q, logger %+v", got.Database, got.Listener.SlotName, got.Listener.Publication.Name, got.Logger)
	}
	crm := setuWebhook("https://crm.example.com/orders?key=7700:not-a-real-token-Q7", nil)
	wantRule := Rule{
		Table: "public.orders", OpType: []string{"insert"}, Destination: crm,
		Conditions: Conditions{{Field: "paid", NewValue: ptr("t")}, {Field: "note", NewValue: ptr("1.50")}},
	}
	if rules := got.Notifier.Rules; !reflect.DeepEqual(rules[1], wantRule) || !reflect.DeepEqual(rules[2].Destination, crm) || rules[0].Destination.Type != DestinationTelegram {
		t.Errorf("the rules are %+v", rules)
	}
	const file = "testdata/activation/source.yaml"
	want := []string{file + ":7: pg_connection: has no effect: source is there too", file + ":8: replication_slot: has no effect: source is there too"}
	if !slices.Equal(got.Warnings(), want) {
		t.Errorf("warnings are %q, want %q", got.Warnings(), want)
	}
}

func TestWholeConnectionCanBeAPlaceholder(t *testing.T) {
	want := Database{Host: "db.example.org", Port: 5433, Name: "shop", User: "walherald", Password: shopPassword}
	if got := mustLoad(t, "testdata/activation/whole.yaml").Database; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	t.Setenv("dsn", "postgres://u:${x}$@h/$${y}?connect_timeout=3")
	cfg := mustLoad(t, writeConfig(t, activationOf("${env:dsn}")))
	if db := cfg.Database; db.Password != "${x}$" || db.Name != "$${y}" || db.Host != "h" {
		t.Errorf("what the placeholder stands for was resolved again: %q %q %q", db.Password.Reveal(), db.Name, db.Host)
	}
	if want := []string{"config.yml:1: pg_connection: connect_timeout has no effect here"}; !slices.Equal(cfg.Warnings(), want) {
		t.Errorf("warnings are %q, want %q", cfg.Warnings(), want)
	}
}

func TestConnectionDefaultsAreSetus(t *testing.T) {
	for text, want := range map[string]Database{
		`""`:                 {Host: "localhost", Port: 5432, Name: "postgres", User: "postgres"},
		"sslmode=prefer":     {Host: "localhost", Port: 5432, Name: "postgres", User: "postgres", SSLMode: SSLModeDisable},
		"sslmode=allow":      {Host: "localhost", Port: 5432, Name: "postgres", User: "postgres", SSLMode: SSLModeDisable},
		"sslmode=require":    {Host: "localhost", Port: 5432, Name: "postgres", User: "postgres", SSLMode: SSLModeRequire},
		"sslrootcert=/c.pem": {Host: "localhost", Port: 5432, Name: "postgres", User: "postgres", SSL: SSL{CACert: "/c.pem"}},
	} {
		if got := mustLoad(t, writeConfig(t, activationOf(text))).Database; got != want {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

// activationOf is a small activation file with this connection.
func activationOf(connection string) string {
	return "pg_connection: " + connection + `
replication_slot: slot
publication: pub
rules:
  - table: users
    op_type: Insert
    conditions: []
    destination:
      type: webhook
      url: http://localhost:8080
`
}

func TestVariablesOverrideAnActivationFile(t *testing.T) {
	t.Setenv("WAL_DATABASE_HOST", "other")
	t.Setenv("WAL_DATABASE_PASSWORD", "hunter2")
	t.Setenv("WAL_LISTENER_SLOTNAME", "mine")
	cfg := mustLoad(t, writeConfig(t, activationOf("host=db password=${nowhere}")))
	if cfg.Database.Host != "other" || cfg.Database.Password.Reveal() != "hunter2" || cfg.Listener.SlotName != "mine" {
		t.Errorf("got %+v and slot %q", cfg.Database, cfg.Listener.SlotName)
	}
}

func TestRulesOfAnActivationFileTakeAllThatRulesTake(t *testing.T) {
	cfg := mustLoad(t, writeConfig(t, activationOf("host=db")+"      onFailure: hold\n      envelope: cloudevents\n      timeout: 5s\n      allowPrivate: false\n"))
	d := cfg.Notifier.Rules[0].Destination
	if d.OnFailure != OnFailureHold || d.Envelope != EnvelopeCloudEvents || d.Timeout != 5*time.Second || d.AllowPrivate {
		t.Errorf("got %+v", d)
	}
}

func TestEveryDestinationOfAnActivationFileDoesAsSetuDoes(t *testing.T) {
	text := strings.Replace(activationOf("host=db"), "destination:\n      type: webhook\n      url: http://localhost:8080", "destinations:\n    - {type: webhook, url: \"http://a\"}\n    - {type: Slack, url: \"http://b\"}", 1)
	refs := mustLoad(t, writeConfig(t, text)).Notifier.Rules[0].Destinations
	want := DestinationRefs{*setuWebhook("http://a", nil), *setuDestination(DestinationSlack, "http://b", nil)}
	if !reflect.DeepEqual(refs, want) {
		t.Errorf("got %+v, want %+v", refs, want)
	}
}

func TestWhatSetuTakesWithoutMeaningIsTakenWithAWarning(t *testing.T) {
	writeFiles(t, map[string]string{"activation.yaml": `pg_connection: "host=db"
replication_slot: s
publication: p
rules:
  - table: users
    op_type: Update
    conditions: [{field: plan}, {field: email, new_value: x}, {field: name, old_value: null}]
    destination: {type: webhook, url: "http://localhost", channel: "#crm"}
  - table: users
    op_type: "*"
    conditions: []
    destination: {type: telegram, url: "http://localhost/sendMessage", channel: "#crm", headers: {chat_id: 7}}
`})
	cfg := mustLoad(t, "activation.yaml")
	first, second := cfg.Notifier.Rules[0], cfg.Notifier.Rules[1]
	if len(first.Conditions) != 1 || first.Conditions[0].Field != "email" {
		t.Errorf("the conditions are %+v", first.Conditions)
	}
	if got := first.Destination.Headers["channel"].Reveal(); got != "#crm" || first.Destination.Channel != "" || second.Destination.Channel != "" {
		t.Errorf("the channel became %q, %q and %q", got, first.Destination.Channel, second.Destination.Channel)
	}
	want := []string{
		"activation.yaml:7: rules[0].conditions: has a condition without a value, which always holds and is left out",
		"activation.yaml:7: rules[0].conditions: has a condition without a value, which always holds and is left out",
		"activation.yaml:12: rules[1].destination.channel: has no effect for type telegram",
	}
	if got := cfg.Warnings(); !slices.Equal(got, want) {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestProblemsOfAnActivationFileNameItsOwnKeysAndLines(t *testing.T) {
	whole := activationOf("host=db")
	for _, tt := range []struct{ old, text, want string }{
		{"publication: pub", "publicaton: pub", `config.yml:3: publicaton: unknown key; did you mean "publication"?`},
		{"publication: pub", "publisher: {}", "config.yml:3: publisher: unknown key; known here: pg_connection, replication_slot, publication, source, rules, secrets, logger, monitoring; walherald convert makes a file that takes all other keys"},
		{"publication: pub", "tags: {}", "config.yml:3: tags: unknown key; known here: pg_connection, replication_slot, publication, source, rules, secrets, logger, monitoring; walherald convert makes a file that takes all other keys"},
		{"op_type:", "op_typ:", `config.yml:6: rules[0].op_typ: unknown key; did you mean "op_type"?`},
		{"      url:", "      urll:", `config.yml:10: rules[0].destination.urll: unknown key; did you mean "url"?` + "\nconfig.yml:8: rules[0].destination.url: is required for type webhook"},
		{"conditions: []", "conditions: [{field: a, newvalu: b, old_value: c}]", `config.yml:7: rules[0].conditions[0].newvalu: unknown key; did you mean "newValue"?`},
		{"conditions: []", "conditions: [{field: a, new_value: [b]}]", "config.yml:7: rules[0].conditions[0].new_value: expected text, not a list"},
		{"Insert", "Upsert", `config.yml:6: rules[0].op_type[0]: is none of insert, update, delete, truncate, *; did you mean "insert"?`},
		{"webhook", "email", "config.yml:9: rules[0].destination.type: is none of webhook, slack, telegram; setu takes any other for webhook, so write that if it is meant"},
		{"http://", "ftp://", "config.yml:10: rules[0].destination.url: must be an http or https URL with a host"},
		{"replication_slot: slot", "replication_slot: Slot", "config.yml:2: replication_slot: must be 1 to 63 of a-z, 0-9 and _, which is what PostgreSQL takes as a slot's name"},
		{"replication_slot: slot", "", "config.yml:1: replication_slot: is required; set it in the file or as WAL_LISTENER_SLOTNAME"},
		{"host=db", "host=db port=x", "config.yml:1: pg_connection[port]: expected a whole number"},
		{"host=db", "host=db port=0", "config.yml:1: pg_connection[port]: must be a port from 1 to 65535"},
		{"host=db", "sslmode=always", "config.yml:1: pg_connection[sslmode]: is none of disable, require, verify-ca, verify-full"},
		{"host=db", "host=db passfile=hunter2", "config.yml:1: pg_connection: the keyword passfile means nothing here; remove it"},
		{"host=db", "[hunter2]", "config.yml:1: pg_connection: expected text, not a list"},
		{"host=db", "password=hunter2${gone}", "config.yml:1: pg_connection[password]: ${gone} is not known; put gone into channels-env.yml, set the variable of that name, or write $${ for a literal ${"},
		{"host=db", "${gone}", "config.yml:1: pg_connection: ${gone} is not known; put gone into channels-env.yml, set the variable of that name, or write $${ for a literal ${"},
		{"http://localhost", "http://${gone}", "config.yml:10: rules[0].destination.url: ${gone} is not known; put gone into channels-env.yml, set the variable of that name, or write $${ for a literal ${"},
		{"rules:\n", "rules: {}\nlogger:\n", "config.yml:4: rules: expected a list, not a mapping"},
	} {
		got := problemsOf(t, strings.Replace(whole, tt.old, tt.text, 1))
		if len(got) == 0 || !slices.Contains(got, strings.Split(tt.want, "\n")[0]) || tt.old != "rules:\n" && len(got) != strings.Count(tt.want, "\n")+1 {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", tt.text, strings.Join(got, "\n"), tt.want)
		}
		checkHidden(t, "the problems of "+tt.text, strings.Join(got, "\n"))
	}
}

func TestProblemsOfASourceNameItsOwnKeysAndLines(t *testing.T) {
	const rules = `rules:
  - {table: a, op_type: Insert, conditions: [], destination: {type: webhook, url: "http://h"}}
`
	for text, want := range map[string]string{
		"source: {type: mysql, connection: host=db, replication_slot: s}\n":         `config.yml:1: source.type: must be "postgres"`,
		"source:\n  connection: host=db\n  replication_slot: s\n":                   `config.yml:1: source.type: must be "postgres"`,
		"source:\n  type: postgres\n  conection: host=db\n  replication_slot: s\n":  `config.yml:3: source.conection: unknown key; did you mean "connection"?`,
		"source:\n  type: postgres\n  connection: port=x\n  replication_slot: s\n":  "config.yml:3: source.connection[port]: expected a whole number",
		"source:\n  type: postgres\n  connection: host=db\n  replication_slot: S\n": "config.yml:4: source.replication_slot: must be 1 to 63 of a-z, 0-9 and _, which is what PostgreSQL takes as a slot's name",
		"source:\n  type: postgres\n  replication_slot: s\n":                        "config.yml:1: source.connection[user]: is required; set it in the file or as WAL_DATABASE_USER",
		"source: postgres\n": "config.yml:1: source: expected a mapping, not a single value",
		"source:\n  type: postgres\n  connection: host=db\n  replication_slot: s\n  x: y\n": "config.yml:5: source.x: unknown key; known here: type, connection, replication_slot, publication; walherald convert makes a file that takes all other keys",
	} {
		if got := problemsOf(t, text+rules); !slices.Contains(got, want) {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", text, strings.Join(got, "\n"), want)
		}
	}
}

func TestActivationFileWithoutValuesIsRefusedForWhatIsMissing(t *testing.T) {
	got := problemsOf(t, "pg_connection:\nrules:\nreplication_slot:\nsource:\npublication: *a\n")
	if len(got) != 1 {
		t.Errorf("got %q", got)
	}
	got = problemsOf(t, "pg_connection:\nrules:\nreplication_slot:\nsource:\n")
	for _, want := range []string{
		"config.yml:1: replication_slot: is required; set it in the file or as WAL_LISTENER_SLOTNAME",
		"config.yml: pg_connection[host]: is required; set it in the file or as WAL_DATABASE_HOST",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, strings.Join(got, "\n"))
		}
	}
}

func TestOnlyAnActivationFileIsTakenForOne(t *testing.T) {
	for text, want := range map[string]bool{
		"pg_connection: a\nrules: []":               true,
		"source: {}\nrules: []":                     true,
		"pg_connection: a":                          false,
		"rules: []":                                 false,
		"pg_connection: a\nrules: []\nlistener: {}": false,
		"source: {}\nrules: []\nDatabase: {}":       false,
		"[pg_connection, rules]":                    false,
		"notifier: {rules: []}\npg_connection: a":   false,
		minimal: false,
		"# nothing\n{pg_connection: a, rules: null}": true,
	} {
		if got := isActivation(newDecoder("f").document([]byte(text)).Content[0]); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// convertible are the test files, and some in which a placeholder, a quote or a
// comment stands in the way.
func convertible(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{
		"backslash.yaml": []byte(activationOf(`'host=db password=''a b\''c'' user="x"'`)),
		"digits.yaml":    []byte(activationOf("host=0 dbname=007 user=yes password=1e3")),
		"literal.yaml":   []byte(activationOf("password=a$${b}c$$${d host=${shop_host}")),
		"url.yaml":       []byte(activationOf("postgres://${shop_host}:%24%7Bx%7D@h/d%20b?sslmode=verify-ca&sslrootcert=/c")),
		"lines.yaml":     []byte(activationOf(`"password='a\nb\n'"`)),
		"odd.yaml":       []byte(activationOf(`"password='#a: *b, [&c]' user='- '"`)),
		"extra.yaml":     []byte(activationOf("host=db") + "      onFailure: drop # or park\nmonitoring: {promAddr: ':2112'}\nsecrets: {lenient: true}\n"),
		"document.yaml":  []byte("%YAML 1.1\n---\n# first\n" + activationOf("host=db # last")),
	}
	paths, err := filepath.Glob("testdata/activation/*.yaml")
	if err != nil || len(paths) < 4 {
		t.Fatalf("test files: %q, %v", paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = text
	}
	return files
}

func TestConvertedActivationFileLoadsToTheSameConfiguration(t *testing.T) {
	secrets := read(t, "testdata/activation/channels-env.yml")
	files := convertible(t)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		writeFiles(t, map[string]string{name: string(files[name]), "channels-env.yml": secrets})
		text, err := ConvertActivation(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := os.WriteFile("config.yml", text, 0o600); err != nil {
			t.Fatal(err)
		}
		got, want := mustLoad(t, "config.yml"), mustLoad(t, name)
		// Keys that have no effect are not taken over.
		got.warnings, want.warnings = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v\nconverted:\n%s", name, got, want, text)
		}
		again, err := ConvertActivation(name)
		if err != nil || !bytes.Equal(again, text) {
			t.Errorf("%s is converted to something else the second time", name)
		}
	}
}

func TestConversionKeepsPlaceholdersAndComments(t *testing.T) {
	text, err := ConvertActivation("testdata/activation/flat.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Made by \"walherald convert\" from flat.yaml.", "# The rules of the shop.\n",
		"# Where the changes come from.\ndatabase:\n  # read only\n  host: ${shop_host}\n  port: 5433\n",
		"  password: ${shop_password}\n", "    # Somebody pays from now on.\n    - table: \"users\"\n",
		"\"free\" # not from a trial\n", "chat_id: \"${telegram_chat_id}\"\n", "# That is all.\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "Q7") {
		t.Errorf("a secret is in\n%s", text)
	}
	if text, err = ConvertActivation("testdata/activation/whole.yaml"); err != nil || !strings.Contains(string(text), "# - database: ${shop_dsn} stood for all of it.") {
		t.Errorf("that the connection was resolved is not told in\n%s\n%v", text, err)
	}
	if text, err = ConvertActivation("testdata/activation/source.yaml"); err != nil || !strings.Contains(string(text), "source.yaml:7: pg_connection: has no effect") {
		t.Errorf("what was left out is not told in\n%s\n%v", text, err)
	}
}

func TestConversionNeedsNoSecrets(t *testing.T) {
	writeFiles(t, map[string]string{"activation.yaml": activationOf("host=${gone}")})
	if text, err := ConvertActivation("activation.yaml"); err != nil || !strings.Contains(string(text), "host: ${gone}\n") {
		t.Errorf("got %v and\n%s", err, text)
	}
}

func TestWhatIsNoActivationFileIsNotConverted(t *testing.T) {
	for text, want := range map[string]string{
		minimal:                     "convert a.yaml: it is no activation file of setu, which has rules beside pg_connection or source, and neither listener nor database",
		"":                          "convert a.yaml: it is empty",
		"- a":                       "convert a.yaml: it is no activation file of setu, which has rules beside pg_connection or source, and neither listener nor database",
		"a: b: c":                   "a.yaml: not valid YAML: mapping values are not allowed in this context",
		activationOf("${gone}"):     "a.yaml:1: pg_connection: ${gone} is not known; put gone into channels-env.yml, set the variable of that name, or write $${ for a literal ${",
		activationOf("a") + "x: y":  "a.yaml:1: pg_connection: has a word that is no keyword=value; write password='...' if a value has blanks",
		activationOf("''") + "x: y": "a.yaml:11: x: unknown key; known here: pg_connection, replication_slot, publication, source, rules, secrets, logger, monitoring; walherald convert makes a file that takes all other keys",
	} {
		writeFiles(t, map[string]string{"a.yaml": text})
		out, err := ConvertActivation("a.yaml")
		if out != nil || !slices.Contains(strings.Split(fmt.Sprint(err), "\n"), want) {
			t.Errorf("%q\ngot  %v and %q\nwant %s", text, err, out, want)
		}
	}
	if _, err := ConvertActivation("none.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a missing file: %v, want fs.ErrNotExist", err)
	}
}

func TestManualOfSetuShowsWhatLoads(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "../docs/setu.md"), "```yaml\n")
	text, _, found := strings.Cut(text, "```\n")
	writeFiles(t, map[string]string{"activation.yaml": text, "channels-env.yml": "shop_password: hunter2\ntelegram_bot_token: a\ntelegram_chat_id: 1\n"})
	if cfg := mustLoad(t, "activation.yaml"); !found || cfg.Database.Password.Reveal() != "hunter2" || len(cfg.Notifier.Rules) != 2 {
		t.Errorf("the example is not what it was: %+v", cfg)
	}
}
