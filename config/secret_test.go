package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const leak = "hunter2"

// disguises are the forms in which the secret would still be one.
var disguises = []string{leak, fmt.Sprintf("%x", leak), fmt.Sprintf("%X", leak), fmt.Sprintf("% x", leak), fmt.Sprintf("%v", []byte(leak))}

func checkHidden(t *testing.T, how, shown string) {
	t.Helper()
	for _, d := range disguises {
		if strings.Contains(shown, d) {
			t.Errorf("%s shows the secret: %s", how, shown)
		}
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	cfg := valid()
	cfg.Database.Password = leak
	cfg.Monitoring.SentryDSN = "https://" + leak + "@sentry.example.org/1"
	cfg.Publisher.Address = Addresses{"amqp://guest:" + leak + "@mq:5672/v@1", leak + "@mq2", "guest:" + leak + "://@mq3"}
	for name, v := range map[string]any{
		"secret": cfg.Database.Password, "pointer": &cfg.Database.Password, "database": cfg.Database,
		"config": *cfg, "pointer to config": cfg, "list": []Secret{leak}, "map": map[string]Secret{"k": leak},
		"addresses": cfg.Publisher.Address, "publisher": cfg.Publisher,
	} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%#q", "%x", "%X", "% x", "%#x", "%d", "%t", "%10.20s", "%U", "no verb"} {
			checkHidden(t, name+" with "+format, fmt.Sprintf(format, v))
		}
		checkHidden(t, name+" in Sprint", fmt.Sprint(v))
		checkHidden(t, name+" in an error", fmt.Errorf("connect: %w: %v", errors.New("refused"), v).Error())

		if text, err := json.Marshal(v); err != nil {
			t.Errorf("%s in JSON: %v", name, err)
		} else {
			checkHidden(t, name+" in JSON", string(text))
		}
		text, err := yaml.Marshal(v)
		if err != nil {
			t.Errorf("%s in YAML: %v", name, err)
		}
		checkHidden(t, name+" in YAML", string(text))

		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "k", v, slog.Group("g", "k", v))
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "k", v, slog.Group("g", "k", v))
		checkHidden(t, name+" in slog", log.String())
	}
	checkHidden(t, "String", cfg.Database.Password.String())
	checkHidden(t, "GoString", cfg.Database.Password.GoString())
}

func TestSecretShowsWhetherItIsSet(t *testing.T) {
	for _, tt := range []struct {
		secret Secret
		format string
		want   string
	}{
		{leak, "%v", "<secret>"},
		{leak, "%q", `"<secret>"`},
		{leak, "%#v", `config.Secret("<secret>")`},
		{"", "%v", ""},
		{"", "%#v", `config.Secret("")`},
	} {
		if got := fmt.Sprintf(tt.format, tt.secret); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.format, got, tt.want)
		}
	}
	if got := Secret(leak).Reveal(); got != leak {
		t.Errorf("Reveal = %q", got)
	}
}

func TestAddressesShowHostsOnly(t *testing.T) {
	a := Addresses{"amqp://guest:hunter2@mq:5672", "nats://host:4222", "user@host", "host:9092"}
	want := "[amqp://<secret>@mq:5672 nats://host:4222 <secret>@host host:9092]"
	if got := fmt.Sprint(a); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSecretIsReadFromYAMLAsItWasTyped(t *testing.T) {
	for text, want := range map[string]string{
		"hunter2": leak, `"hun\x74er2"`: leak, "0123": "0123", "1e3": "1e3", "yes": "yes", "2001-01-01": "2001-01-01",
		`"#a: *b"`: "#a: *b", "|-\n  a\n  b": "a\nb",
	} {
		var direct struct{ Password Secret }
		if err := yaml.Unmarshal([]byte("password: "+text), &direct); err != nil || direct.Password.Reveal() != want {
			t.Errorf("%s: yaml.Unmarshal gives %q, %v; want %q", text, direct.Password.Reveal(), err, want)
		}
		indented := strings.ReplaceAll(text, "\n", "\n  ")
		cfg, err := Load(writeConfig(t, strings.Replace(minimal, "database:", "database:\n  password: "+indented, 1)))
		if err != nil || cfg.Database.Password.Reveal() != want {
			t.Errorf("%s: Load gives %v, want %q", text, err, want)
		}
	}
}

func TestBadPasswordIsRefusedUnseen(t *testing.T) {
	for _, text := range []string{
		"[hunter2]", "{hunter2: x}", "{x: hunter2}", "*hunter2", "&hunter2", "!hunter2", "!!binary hunter2", "!hunter2 hunter2",
		"%hunter2", "@hunter2", "`hunter2", "a: hunter2", "- hunter2", "'hunter2", `"hunter2\q"`, "hunter2\n    x: hunter2",
		"hunter2\n  password: hunter2", "hunter2\n  Password: hunter2", ">hunter2", "|hunter2", "\thunter2: b", "hunter2\x00",
	} {
		_, err := Load(writeConfig(t, strings.Replace(minimal, "database:", "database:\n  password: "+text, 1)))
		if err == nil {
			t.Errorf("%q loads, want an error", text)
			continue
		}
		checkHidden(t, fmt.Sprintf("the error about %q", text), err.Error())
	}
}
