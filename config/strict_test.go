package config

import (
	"slices"
	"strings"
	"testing"
)

// checkProblems loads text and wants exactly these problems.
func checkProblems(t *testing.T, text string, want ...string) {
	t.Helper()
	if got := problemsOf(t, text); !slices.Equal(got, want) {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", text, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestUnknownKeyNamesItsLineAndTheNearestKnownOne(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"  adress: a", `config.yml:9: publisher.adress: unknown key; did you mean "address"?`},
		{"  Enable_TSL: true", `config.yml:9: publisher.Enable_TSL: unknown key; did you mean "enable_tls"?`},
		{"  slotName: a", `config.yml:9: publisher.slotName: unknown key; did you mean listener.slotName?`},
		{"logger: {colour: red}", `config.yml:9: logger.colour: unknown key; known here: level, fmt`},
		{"loger: {level: info}", `config.yml:9: loger: unknown key; did you mean "logger"?`},
		{"\n\nmonitoring:\n  # where\n  prom: x", `config.yml:13: monitoring.prom: unknown key; did you mean "promAddr"?`},
		{`"log\nger": {}`, `config.yml:9: "log\nger": unknown key; did you mean "logger"?`},
		{`"": 1`, `config.yml:9: "": unknown key; known here: listener, database, publisher, publishers, notifier, secrets, logger, monitoring, tags`},
	} {
		checkProblems(t, minimal+tt.text+"\n", tt.want)
	}
}

func TestKeySetTwiceIsAnError(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"  type: nats", `config.yml:9: publisher.type: the key is there twice (first on line 8)`},
		{"  Type: nats", `config.yml:9: publisher.Type: is the key type again (first on line 8)`},
		{"  caCert: a\n  ca_cert: a\n  enableTLS: true", `config.yml:10: publisher.ca_cert: is the key caCert again (first on line 9)`},
		{"listener: {}", `config.yml:9: listener: the key is there twice (first on line 1)`},
		{"tags:\n  a: b\n  A: b\n  a: c", `config.yml:12: tags[a]: the key is there twice (first on line 10)`},
	} {
		checkProblems(t, minimal+tt.text+"\n", tt.want)
	}
	checkProblems(t, strings.Replace(minimal, "slot\n", `slot
  topicsMap:
    public_users: a
    public_Users: b
    public_users: c
`, 1), `config.yml:6: listener.topicsMap[public_users]: the key is there twice (first on line 4)`)
}

func TestWrongTypeSaysWhatWasExpected(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"logger: info", `config.yml:9: logger: expected a mapping, not a single value`},
		{"logger:\n  - level", `config.yml:9: logger: expected a mapping, not a list`},
		{"  enableTLS: yes", `config.yml:9: publisher.enableTLS: expected true or false`},
		{"  enableTLS: {}", `config.yml:9: publisher.enableTLS: expected true or false, not a mapping`},
		{"  topic: [a]", `config.yml:9: publisher.topic: expected text, not a list`},
		{"  address: {a: b}", `config.yml:9: publisher.address: expected a list, not a mapping`},
		{"  address:\n  - a\n  - [b]", `config.yml:11: publisher.address[1]: expected text, not a list`},
		{"  address:\n  - a\n  -", `config.yml:11: publisher.address[1]: the list has an empty item; remove it`},
		{"  embedded: true", `config.yml:9: publisher.embedded: expected a mapping, not a single value`},
		{"tags: [a]", `config.yml:9: tags: expected a mapping, not a list`},
		{"tags:\n  a: {}", `config.yml:10: tags[a]: expected text, not a mapping`},
		{"tags: {[a]: b}", `config.yml:9: tags: expected a name as the key, not a list`},
		{"tags: {a: &x b, *x : c}", `config.yml:9: tags: expected a name as the key, not an alias`},
		{"tags: &t {a: b}\nmonitoring:\n  <<: *t", `config.yml:11: monitoring: merge keys (<<) are not supported; write the keys out`},
		{"tags: {a: !secret b}", `config.yml:9: tags[a]: has a YAML tag; quote a value that begins with !`},
		{"tags: {a: &b }", `config.yml:9: tags[a]: has an anchor and no value; quote a value that begins with &`},
	} {
		checkProblems(t, minimal+tt.text+"\n", tt.want)
	}
	const listener = "listener:\n  slotName: slot\n"
	for _, tt := range []struct{ text, want string }{
		{"serverPort: 8O", `serverPort: expected a whole number`},
		{"serverPort: 80.5", `serverPort: expected a whole number`},
		{"ackTimeout: 10 seconds", `ackTimeout: expected a duration such as "10s" or "1m30s"`},
		{"ackTimeout: 10000000000", `ackTimeout: expected a duration such as "10s" or "1m30s"; a number without a unit would be nanoseconds`},
		{"ackTimeout: [1s]", `ackTimeout: expected a duration such as "10s" or "1m30s", not a list`},
		{"window: many", `window: expected a size such as "16MiB", "64KB" or a number of bytes`},
		{"window: -1", `window: expected a size such as "16MiB", "64KB" or a number of bytes`},
		{"publication: [p]", `publication: expected a mapping, not a list`},
		{"topicsMap: [a]", `topicsMap: expected a mapping, not a list`},
	} {
		checkProblems(t, strings.Replace(minimal, listener, listener+"  "+tt.text+"\n", 1), "config.yml:3: listener."+tt.want)
	}
}

func TestAllProblemsAreToldAtOnceInTheOrderOfTheLines(t *testing.T) {
	t.Setenv("WAL_LISTENER_SERVERPORT", "eighty")
	checkProblems(t, `publisher:
  adress: a
  type: kafak
  topic: t
listener:
  slotName: Slot
  window: 1 KiB
  ackTimeout: soon
logger:
  level: loud
  fmt: text
  fmt: json
`,
		`config.yml:2: publisher.adress: unknown key; did you mean "address"?`,
		`config.yml:3: publisher.type: is none of nats, kafka, rabbitmq, google_pubsub, stdout, file, discard; did you mean "kafka"?`,
		`config.yml:6: listener.slotName: must be 1 to 63 of a-z, 0-9 and _, which is what PostgreSQL takes as a slot's name`,
		`config.yml:7: listener.window: must be at least 64KiB`,
		`config.yml:8: listener.ackTimeout: expected a duration such as "10s" or "1m30s"`,
		`config.yml:10: logger.level: is none of debug, info, warn, error`,
		`config.yml:12: logger.fmt: the key is there twice (first on line 11)`,
		`WAL_LISTENER_SERVERPORT: listener.serverPort: expected a whole number`,
		`config.yml: database.host: is required; set it in the file or as WAL_DATABASE_HOST`,
		`config.yml: database.name: is required; set it in the file or as WAL_DATABASE_NAME`,
		`config.yml: database.user: is required; set it in the file or as WAL_DATABASE_USER`,
	)
}

func TestMissingKeyNamesTheLineOfItsSection(t *testing.T) {
	checkProblems(t, "\n"+strings.Replace(minimal, "slotName: slot", "serverPort: 80", 1),
		`config.yml:2: listener.slotName: is required; set it in the file or as WAL_LISTENER_SLOTNAME`)
}

func TestBrokenYAMLIsTheOnlyProblemOfItsFile(t *testing.T) {
	checkProblems(t, "listener:\n  slotName: a: b\n",
		`config.yml:2: not valid YAML: mapping values are not allowed in this context`)
	checkProblems(t, "- listener\n", `config.yml: expected a mapping, not a list`)
	checkProblems(t, "database:\n  password: *hunter2\n",
		`config.yml: not valid YAML: a value begins with * and names no anchor; quote it`)
	checkProblems(t, minimal+"---\nlogger: {}\n", `config.yml:9: expected one YAML document, not several; remove the line ---`)
}

func TestProblemsUnwrapToEachProblem(t *testing.T) {
	_, err := Load(writeConfig(t, minimal+"loger: {}\nmonitorin: {}\n"))
	problems, ok := err.(Problems)
	if !ok || len(problems) != 2 {
		t.Fatalf("error is %T %v, want two Problems", err, err)
	}
	for i, line := range []int{9, 10} {
		p, ok := problems.Unwrap()[i].(*Problem)
		if !ok || p.Line != line || p.Source != "config.yml" {
			t.Errorf("problem %d is %#v, want line %d", i, p, line)
		}
	}
	if got := strings.Count(err.Error(), "\n"); got != 1 {
		t.Errorf("%d line breaks in %q, want 1", got, err)
	}
}

func TestMaskMaySayNullWithoutQuotes(t *testing.T) {
	cfg := mustLoad(t, writeConfig(t, `listener:
  slotName: slot
  mask:
    - {table: users, column: email, With: null}
    - {table: "*", column: phone, with: "Redact"}
database: {host: localhost, name: shop, user: postgres}
publisher: {type: discard}
`))
	want := Masks{{"users", "email", MaskNull}, {"*", "phone", MaskRedact}}
	if !slices.Equal(cfg.Listener.Mask, want) {
		t.Errorf("masks are %+v, want %+v", cfg.Listener.Mask, want)
	}
}
