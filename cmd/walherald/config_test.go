package main

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
)

// unreachable is a valid configuration whose database and destinations nobody can reach.
const unreachable = `listener: {slotName: wh}
database: {host: 203.0.113.1, name: shop, user: walherald, password: hunter2}
publisher: {type: nats, name: stream, topic: shop, address: "nats://203.0.113.1:4222"}
notifier:
  destinations:
    - {name: billing, type: webhook, url: "https://203.0.113.1/hunter2"}
    - {name: sales, type: slack, token: hunter2, channel: "#sales"}
    - {name: on-call, type: telegram, token: hunter2, chatId: 1}
  rules:
    - {name: paid, table: orders, when: new.status == "paid", destinations: [billing, sales, on-call]}
    - {name: seen, table: orders, destination: billing}
`

func TestValidConfigurationIsValidAlthoughNobodyCanBeReached(t *testing.T) {
	inFolder(t, map[string]string{"config.yml": unreachable})
	code, stdout, stderr := of(t, "config", "validate")
	if code != exitOK || stdout != "ok  config.yml  configuration is valid\n0 errors, 0 warnings, 1 ok\n" || stderr != "" {
		t.Errorf("exit code %d, printed %q and %q", code, stdout, stderr)
	}
}

func TestValidateTellsEverythingAtOnceAndNoSecret(t *testing.T) {
	for name, test := range map[string]struct {
		old, changed string
		want         []string
	}{
		"keys": {
			"listener: {slotName: wh}", "listener: {slotName: W, windw: hunter2}\nloger: {}",
			[]string{"config.yml:1: listener.slotName ", "config.yml:1: listener.windw ", "config.yml:2: loger ", "3 errors"},
		},
		"expression, once": {
			`new.status == "paid"`, "new.status ==", []string{"notifier.rules[0].when ", "1 error,"},
		},
		"templates": {
			`channel: "#sales"`, `channel: "#sales", template: "{{.Nwe}}", blocks: "{{"`, []string{"notifier.destinations[1].", "1 error,"},
		},
		"file of a destination": {
			"type: webhook", "type: webhook, caCert: missing.pem", []string{"notifier.destinations[0].caCert", "missing.pem"},
		},
	} {
		inFolder(t, map[string]string{"config.yml": strings.Replace(unreachable, test.old, test.changed, 1)})
		code, stdout, stderr := of(t, "config", "validate")
		if code != exitError || stderr != "" || strings.Contains(stdout, "hunter2") || strings.Contains(stdout, "is valid") {
			t.Errorf("%s: exit code %d, printed %q and %q", name, code, stdout, stderr)
		}
		for _, want := range test.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, stdout)
			}
		}
	}
}

func TestValidateWarnsWithoutFailing(t *testing.T) {
	inFolder(t, map[string]string{"config.yml": unreachable})
	t.Setenv("WAL_LISTENER_SLOTNAM", "hunter2")
	code, stdout, _ := of(t, "config", "validate", "-c", "config.yml")
	if code != exitOK || !strings.Contains(stdout, "did you mean WAL_LISTENER_SLOTNAME?") || !strings.Contains(stdout, "0 errors, 1 warning, 1 ok") {
		t.Errorf("exit code %d, printed\n%s", code, stdout)
	}
}

func TestValidateOfAMissingFileFails(t *testing.T) {
	inFolder(t, nil)
	if code, stdout, _ := of(t, "config", "validate"); code != exitError || !strings.Contains(stdout, "no such file") {
		t.Errorf("exit code %d, printed %q", code, stdout)
	}
}

func TestConfigurationIsShownWithoutSecrets(t *testing.T) {
	inFolder(t, map[string]string{"config.yml": unreachable, "wrong.yml": "loger: {}\n"})
	code, stdout, stderr := of(t, "config", "show")
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "password: <secret> # config.yml:2") || strings.Contains(stdout, "hunter2") {
		t.Errorf("exit code %d, printed %q and\n%s", code, stderr, stdout)
	}
	code, stdout, stderr = of(t, "config", "show", "-c", "wrong.yml")
	if code != exitError || stdout != "" || !strings.Contains(stderr, "wrong.yml:1: loger: unknown key") {
		t.Errorf("exit code %d, printed %q and %q", code, stdout, stderr)
	}
}

func TestVariablesAreListedWithoutTheirValues(t *testing.T) {
	t.Setenv("WAL_DATABASE_PASSWORD", "hunter2")
	t.Setenv("WAL_LOGGER_LEVEL", "hunter2")
	code, stdout, _ := of(t, "config", "env")
	if code != exitOK || strings.Contains(stdout, "hunter2") {
		t.Errorf("exit code %d, printed\n%s", code, stdout)
	}
	for _, want := range []string{
		`WAL_DATABASE_PASSWORD +secret +- +set +Its password`,
		`WAL_DATABASE_PORT +number +5432 +- +The port\n`,
		`WAL_LISTENER_DB_PASSWORD +secret +- +- +The same as WAL_DATABASE_PASSWORD\n`,
	} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("%s is not in\n%s", want, stdout)
		}
	}
	if lines := strings.Count(stdout, "\n"); lines != len(config.Variables())+1 {
		t.Errorf("%d lines", lines)
	}
}

func TestSchemaNeedsNoConfiguration(t *testing.T) {
	inFolder(t, nil)
	want, err := config.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := of(t, "config", "schema"); code != exitOK || stdout != string(want) || stderr != "" {
		t.Errorf("exit code %d, printed %d bytes and %q", code, len(stdout), stderr)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWhatCannotBePrintedIsAnError(t *testing.T) {
	inFolder(t, map[string]string{"config.yml": unreachable})
	for _, args := range []string{"config schema", "config env", "config show", "config validate", "completion bash"} {
		var stderr strings.Builder
		if code := run(t.Context(), strings.Fields(args), full{}, &stderr); code != exitError || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%s: exit code %d, printed %q", args, code, stderr.String())
		}
	}
}
