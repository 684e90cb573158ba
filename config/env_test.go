package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func setenv(t *testing.T, vars map[string]string) {
	t.Helper()
	for name, value := range vars {
		t.Setenv(name, value)
	}
}

func TestEnvironmentAloneIsEnough(t *testing.T) {
	setenv(t, map[string]string{
		"WAL_LISTENER_SLOTNAME":               "slot",
		"WAL_LISTENER_ACKTIMEOUT":             "1m",
		"WAL_LISTENER_WINDOW":                 "1MiB",
		"WAL_LISTENER_DROPFOREIGNORIGIN":      "true",
		"WAL_LISTENER_EXCLUDE_TABLES":         "a, b",
		"WAL_LISTENER_PUBLICATION_NAME":       "p",
		"WAL_LISTENER_PUBLICATION_TABLES":     "users",
		"WAL_LISTENER_FILTER_TABLES":          "{Users: [INSERT]}",
		"WAL_LISTENER_TOPICSMAP":              `{"/^b_(.*)/": "b.${1}", a: c}`,
		"WAL_DATABASE_HOST":                   "db",
		"WAL_DATABASE_PORT":                   "5433",
		"WAL_DATABASE_NAME":                   "shop",
		"WAL_DATABASE_USER":                   "me",
		"WAL_DATABASE_PASSWORD":               "{a: *b}",
		"WAL_DATABASE_SSL_SERVERNAME":         "db.internal",
		"WAL_PUBLISHER_TYPE":                  "nats",
		"WAL_PUBLISHER_TOPIC":                 "shop",
		"WAL_PUBLISHER_EMBEDDED_LISTEN":       ":4222",
		"WAL_PUBLISHER_EMBEDDED_STOREDIR":     "/js",
		"WAL_MONITORING_SENTRYDSN":            "https://k@s/1",
		"WAL_TAGS":                            "{Region: eu}",
		"WAL_LOGGER_LEVEL":                    "debug",
		"WAL_LISTENER_HEARTBEATINTERVAL":      "",
		"WAL_PUBLISHER_EMBEDDED_SYNCINTERVAL": "",
	})
	got := mustLoad(t, "")
	want := Default()
	want.Listener.SlotName, want.Listener.AckTimeout, want.Listener.Window = "slot", time.Minute, 1<<20
	want.Listener.DropForeignOrigin = true
	want.Listener.Exclude.Tables = []string{"a", "b"}
	want.Listener.Publication = Publication{Name: "p", Tables: []string{"users"}}
	want.Listener.Filter.Tables = map[string][]string{"Users": {"insert"}}
	want.Listener.TopicsMap = TopicsMap{{"/^b_(.*)/", "b.${1}"}, {"a", "c"}}
	want.Database = Database{Host: "db", Port: 5433, Name: "shop", User: "me", Password: "{a: *b}", SSL: SSL{ServerName: "db.internal"}}
	want.Publisher.Type, want.Publisher.Topic = PublisherNATS, "shop"
	want.Publisher.Embedded = &Embedded{":4222", "/js", time.Second}
	want.Monitoring.SentryDSN = "https://k@s/1"
	want.Tags = map[string]string{"Region": "eu"}
	want.Logger.Level = "debug"
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

func TestEveryKeyCanBeSetByItsVariable(t *testing.T) {
	// A text that each type takes, and that no default equals.
	texts := map[string]string{
		"string": "x", "config.Secret": "x", "bool": "true", "int": "7", "time.Duration": "7s", "config.ByteSize": "7",
		"[]string": "x", "config.Addresses": "x", "map[string]string": "{x: y}",
		"map[string][]string": "{x: [y]}", "config.TopicsMap": "{x: y}", "config.Masks": "[{table: t, column: c, with: null}]",
		"config.Publishers": "[{type: discard}]", "config.Destinations": "[{type: slack}]", "config.Rules": "[{table: t}]",
		"[]time.Duration": "7s", "float64": "0.5",
	}
	for _, k := range schema {
		for _, name := range k.env {
			t.Run(name, func(t *testing.T) {
				cfg, was := Default(), Default()
				typ := k.in(&was).Type().String()
				text, ok := texts[typ]
				if b, isBool := k.in(&was).Interface().(bool); isBool && b {
					text = "false"
				}
				if !ok {
					t.Fatalf("%s: the test knows no text for type %s", k.path, typ)
				}
				t.Setenv(name, text)
				d := &decoder{origins: origins{}}
				d.environment(&cfg)
				if len(d.problems) > 0 {
					t.Fatal(d.problems)
				}
				if reflect.DeepEqual(k.in(&cfg).Interface(), k.in(&was).Interface()) {
					t.Errorf("%s is as before", k.path)
				}
			})
		}
	}
}

func TestEnvironmentWinsOverTheFile(t *testing.T) {
	setenv(t, map[string]string{
		"WAL_DATABASE_HOST":            "other",
		"WAL_LISTENER_DB_PASSWORD":     "legacy",
		"WAL_LISTENER_PUBLICATION":     "short",
		"WAL_PUBLISHER_ENABLE_TLS":     "true",
		"WAL_LISTENER_EXCLUDE_SCHEMAS": "one",
		"WAL_LISTENER_FILTER_TABLES":   "{b: insert}",
	})
	cfg := mustLoad(t, writeConfig(t, `listener:
  slotName: slot
  publication: {name: p, tables: [t]}
  exclude: {schemas: [two, three]}
  filter: {tables: {a: [insert]}}
database: {host: localhost, name: shop, user: postgres, password: file}
publisher: {type: kafka, topic: t, address: "a:1"}
`))
	for _, tt := range []struct{ got, want any }{
		{cfg.Database.Host, "other"},
		{cfg.Database.Name, "shop"},
		{cfg.Database.Password, Secret("legacy")},
		{cfg.Listener.Publication, Publication{Name: "short", Tables: []string{"t"}}},
		{cfg.Listener.Exclude.Schemas, []string{"one"}},
		{cfg.Listener.Filter.Tables, map[string][]string{"b": {"insert"}}},
		{cfg.Publisher.EnableTLS, true},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("got %+v, want %+v", tt.got, tt.want)
		}
	}
}

func TestVariableThatDoesNotParseIsNamedWithoutItsValue(t *testing.T) {
	setenv(t, map[string]string{
		"WAL_LISTENER_SERVERPORT":     "hunter2",
		"WAL_LISTENER_ACKTIMEOUT":     "hunter2",
		"WAL_LISTENER_WINDOW":         "hunter2",
		"WAL_PUBLISHER_ENABLE_TLS":    "hunter2",
		"WAL_PUBLISHER_TYPE":          "hunter2",
		"WAL_LISTENER_SLOTNAME":       "Hunter2",
		"WAL_LISTENER_TOPICSMAP":      "hunter2",
		"WAL_LISTENER_INCLUDE_TABLES": "{[hunter2",
		"WAL_TAGS":                    "# hunter2",
	})
	_, err := Load(writeConfig(t, minimal))
	if strings.Contains(strings.ToLower(err.Error()), "hunter2") {
		t.Errorf("the value is shown:\n%v", err)
	}
	got := messages(t, err)
	slices.Sort(got)
	want := []string{
		`WAL_LISTENER_ACKTIMEOUT: listener.ackTimeout: expected a duration such as "10s" or "1m30s"`,
		`WAL_LISTENER_INCLUDE_TABLES: listener.include.tables: expected YAML in one line, such as {a: b} for a mapping`,
		`WAL_LISTENER_SERVERPORT: listener.serverPort: expected a whole number`,
		`WAL_LISTENER_SLOTNAME: listener.slotName: must be 1 to 63 of a-z, 0-9 and _, which is what PostgreSQL takes as a slot's name`,
		`WAL_LISTENER_TOPICSMAP: listener.topicsMap: expected a mapping, not a single value`,
		`WAL_LISTENER_WINDOW: listener.window: expected a size such as "16MiB", "64KB" or a number of bytes`,
		`WAL_PUBLISHER_ENABLE_TLS: publisher.enableTLS: expected true or false`,
		`WAL_PUBLISHER_TYPE: publisher.type: is none of nats, kafka, rabbitmq, google_pubsub, stdout, file, discard`,
		`WAL_TAGS: tags: expected YAML in one line, such as {a: b} for a mapping`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestProblemInAMapFromTheEnvironmentNamesTheVariable(t *testing.T) {
	t.Setenv("WAL_LISTENER_FILTER_TABLES", "{users: [insert, upsert]}")
	got := problemsOf(t, strings.Replace(minimal, "slotName: slot\n", "slotName: slot\n  filter:\n    tables:\n      users: [insert, delete]\n", 1))
	want := `WAL_LISTENER_FILTER_TABLES: listener.filter.tables[users][1]: is none of insert, update, delete, truncate; did you mean "insert"?`
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNameTwiceInAVariableIsAnError(t *testing.T) {
	t.Setenv("WAL_TAGS", "{a: b, a: c}")
	checkProblems(t, minimal, "WAL_TAGS: tags[a]: the key is there twice")
}

func TestStrayVariableIsAWarningNotAnError(t *testing.T) {
	setenv(t, map[string]string{
		"WAL_SERVICE_HOST":         "10.0.0.1",
		"WAL_DATABASE_PASSWROD":    "hunter2",
		"WAL_DATABASE_PASSWORD":    "new",
		"WAL_LISTENER_DB_PASSWORD": "old",
		"WAL_EMPTY":                "",
		"WALG_LEVEL":               "1",
	})
	cfg := mustLoad(t, writeConfig(t, minimal))
	want := []string{
		"WAL_DATABASE_PASSWROD sets no key; did you mean WAL_DATABASE_PASSWORD?",
		"WAL_LISTENER_DB_PASSWORD has no effect: WAL_DATABASE_PASSWORD is set too",
		"WAL_SERVICE_HOST sets no key",
	}
	if !slices.Equal(cfg.Warnings(), want) {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(cfg.Warnings(), "\n"), strings.Join(want, "\n"))
	}
	if got := cfg.Database.Password.Reveal(); got != "new" {
		t.Errorf("password = %q, want that of WAL_DATABASE_PASSWORD", got)
	}
}
