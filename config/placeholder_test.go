package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// writeFiles writes files into a folder of the test and makes that the working
// directory.
func writeFiles(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// withPassword is minimal with this password, on line 5.
func withPassword(password string) string {
	return strings.Replace(minimal, "database:\n", "database:\n  password: "+password+"\n", 1)
}

// everyPlaceholder has a placeholder wherever one is replaced.
const everyPlaceholder = `listener:
  slotName: slot
  mask: [{table: users, column: email, with: hash}]
  maskKey: ${pw}
database:
  host: ${host}.example.org
  port: ${port}
  name: ${word}
  user: ${word}
  password: a-${pw}-b-${word}
  sslMode: ${mode}
  ssl: {serverName: "${word}", caCert: "/etc/${word}.pem"}
publishers:
  - name: one
    type: rabbitmq
    topic: cdc
    user: ${word}
    password: ${pw}
    address: ["amqp://${word}:${pw}@mq1", "${brokers}"]
  - {name: two, type: nats, topic: cdc, address: "${brokers}, nats://u:${pw}@c", nats: {token: "${pw}"}}
monitoring:
  sentryDSN: https://${pw}@sentry.example.org/1
notifier:
  destinations:
    - name: hook
      type: webhook
      url: https://example.org/?k=${word}
      headers: {Authorization: "Bearer ${pw}"}
      signingSecrets: ["${signing}"]
      caCert: ${word}.pem
      clientCert: ${word}.crt
      clientKey: ${word}.key
  rules:
    - {destinations: [hook]}
    - destination: {type: slack, token: "${pw}", channel: "#${word}"}
    - destination: {type: telegram, token: "${pw}", chatId: "${port}"}
`

const secretsOfAll = `pw: "hunter2, [x]: *y ${word} #"
word: wonder
host: db
port: 05433
mode: verify-full
brokers: "nats://a:1, nats://b:2"
signing: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz
`

func TestPlaceholdersAreReplacedWhereverSecretsStand(t *testing.T) {
	const pw = "hunter2, [x]: *y ${word} #"
	writeFiles(t, map[string]string{"config.yml": everyPlaceholder, "channels-env.yml": secretsOfAll})
	cfg := mustLoad(t, "config.yml")
	db := Database{
		Host: "db.example.org", Port: 5433, Name: "wonder", User: "wonder", Password: Secret("a-" + pw + "-b-wonder"),
		SSLMode: "verify-full", SSL: SSL{ServerName: "wonder", CACert: "/etc/wonder.pem"},
	}
	hook := cfg.Notifier.Destinations[0]
	for name, tt := range map[string]struct{ got, want any }{
		"database":       {cfg.Database, db},
		"maskKey":        {cfg.Listener.MaskKey, Secret(pw)},
		"sentryDSN":      {cfg.Monitoring.SentryDSN, Secret("https://" + pw + "@sentry.example.org/1")},
		"user":           {cfg.Publishers[0].User, "wonder"},
		"password":       {cfg.Publishers[0].Password, Secret(pw)},
		"addresses":      {[]string(cfg.Publishers[0].Address), []string{"amqp://wonder:" + pw + "@mq1", "nats://a:1", "nats://b:2"}},
		"address":        {[]string(cfg.Publishers[1].Address), []string{"nats://a:1", "nats://b:2", "nats://u:" + pw + "@c"}},
		"token":          {cfg.Publishers[1].NATS.Token, Secret(pw)},
		"url":            {hook.URL, Secret("https://example.org/?k=wonder")},
		"headers":        {hook.Headers, map[string]Secret{"Authorization": "Bearer " + pw}},
		"signingSecrets": {hook.SigningSecrets, []Secret{"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}},
		"certificates":   {[]string{hook.CACert, hook.ClientCert, hook.ClientKey}, []string{"wonder.pem", "wonder.crt", "wonder.key"}},
		"slack":          {cfg.Notifier.Rules[1].Destination.Token, Secret(pw)},
		"channel":        {cfg.Notifier.Rules[1].Destination.Channel, "#wonder"},
		"telegram":       {cfg.Notifier.Rules[2].Destination.Token, Secret(pw)},
		"chatId":         {cfg.Notifier.Rules[2].Destination.ChatID, "05433"},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s is not what its placeholders stand for", name)
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		checkHidden(t, "the configuration with "+format, fmt.Sprintf(format, *cfg))
		for _, n := range cfg.Notifications() {
			checkHidden(t, "a destination with "+format, fmt.Sprintf(format, n))
		}
	}
}

func TestPlaceholdersAreLeftAloneElsewhere(t *testing.T) {
	t.Setenv("name", "hunter2")
	cfg := mustLoad(t, writeConfig(t, `listener:
  slotName: slot
  topicsMap: {"/^public_(?P<name>.*)$/": "${1}.${name}"}
  topicTemplate: "${name}"
database: {host: localhost, name: shop, user: postgres}
tags: {a: "${name}"}
notifier:
  rules:
    - table: ${name}
      conditions: [{field: "${name}", new_value: "${name}"}]
      destination: {type: webhook, url: "https://example.org", template: "${name}"}
    - when: new.a == "${name}"
      destination: {type: webhook, url: "https://example.org"}
`))
	rule := cfg.Notifier.Rules[0]
	for _, got := range []string{
		cfg.Listener.TopicTemplate, cfg.Tags["a"], rule.Table, rule.Conditions[0].Field, *rule.Conditions[0].NewValue, rule.Destination.Template,
	} {
		if got != "${name}" {
			t.Errorf("${name} became %q", got)
		}
	}
	if topic := cfg.Listener.TopicsMap[0].Topic; topic != "${1}.${name}" {
		t.Errorf("the topic became %q", topic)
	}
	if when := cfg.Notifier.Rules[1].When; when != `new.a == "${name}"` {
		t.Errorf("when became %q", when)
	}
}

func TestNamesAreLookedUpInTheSecretsFileAndThenInTheEnvironment(t *testing.T) {
	t.Setenv("both", "environment")
	t.Setenv("variable", "environment")
	t.Setenv("void", "")
	for _, tt := range []struct{ password, want string }{
		{"${both}", "file"},
		{"${env:both}", "environment"},
		{"${variable}", "environment"},
		{"${digits}", "007"},
		{"${yes}", "yes"},
		{"${empty}x", "x"},
		{"${dotted.name-1}", "file"},
		{"${file:pw}", "line one\nline two"},
		{"${file:sub/crlf}", "windows"},
		{"${file:bare}", "no end"},
		{"${file:blank}", "\n"},
		{"x${both}y${variable}z", "xfileyenvironmentz"},
		{"$${both}", "${both}"},
		{"a$${b", "a${b"},
		{"$$${both}", "$${both}"},
		{"$both ${both} $", "$both file $"},
		{"'{${digits}}'", "{007}"},
	} {
		writeFiles(t, map[string]string{
			"config.yml":       withPassword(tt.password),
			"channels-env.yml": "# names\nboth: file\ndigits: 007\nyes: yes\nempty: ''\ndotted.name-1: file\n",
			"pw":               "line one\nline two\n", "sub/crlf": "windows\r\n", "bare": "no end", "blank": "\n\n",
		})
		if got := mustLoad(t, "config.yml").Database.Password.Reveal(); got != tt.want {
			t.Errorf("%s is %q, want %q", tt.password, got, tt.want)
		}
	}
}

func TestFilesAreFoundFromTheFolderOfTheConfiguration(t *testing.T) {
	writeFiles(t, map[string]string{
		"etc/config.yml":      withPassword("${a}${file:secret}") + "secrets: {file: ../keys/names.yml}\n",
		"keys/names.yml":      "a: A\n",
		"etc/secret":          "B\n",
		"secret":              "wrong\n",
		"channels-env.yml":    "a: wrong\n",
		"other/names.yml":     "a: C\n",
		"etc/empty/names.yml": "",
	})
	if got := mustLoad(t, "etc/config.yml").Database.Password.Reveal(); got != "AB" {
		t.Errorf("the password is %q, want AB", got)
	}
	t.Setenv("WAL_SECRETS_FILE", "../other/names.yml")
	if got := mustLoad(t, "etc/config.yml").Database.Password.Reveal(); got != "CB" {
		t.Errorf("with WAL_SECRETS_FILE the password is %q, want CB", got)
	}
	t.Setenv("WAL_SECRETS_FILE", "empty/names.yml")
	t.Setenv("a", "D")
	if got := mustLoad(t, "etc/config.yml").Database.Password.Reveal(); got != "DB" {
		t.Errorf("with an empty file the password is %q, want DB", got)
	}
}

func TestVariablesCanHoldPlaceholders(t *testing.T) {
	writeFiles(t, map[string]string{"config.yml": withPassword("${nowhere}"), "channels-env.yml": "a: '1'\n"})
	t.Setenv("WAL_LISTENER_DB_PASSWORD", "x${a}")
	t.Setenv("WAL_DATABASE_PORT", "${a}")
	t.Setenv("WAL_NOTIFIER_RULES", `[{destination: {type: webhook, url: "http://h/${a}"}}]`)
	cfg := mustLoad(t, "config.yml")
	if got := cfg.Database.Password.Reveal(); got != "x1" {
		t.Errorf("the password is %q, want x1", got)
	}
	if got := cfg.Notifier.Rules[0].Destination.URL.Reveal(); got != "http://h/1" || cfg.Database.Port != 1 {
		t.Errorf("the URL is %q and the port %d", got, cfg.Database.Port)
	}
	t.Setenv("WAL_LISTENER_DB_PASSWORD", "${gone}")
	_, err := Load("config.yml")
	want := []string{"WAL_LISTENER_DB_PASSWORD: database.password: ${gone} is not known; put gone into channels-env.yml, set the variable of that name, or write $${ for a literal ${"}
	if got := messages(t, err); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestUnresolvedPlaceholderNamesItsPlaceAndWhatToDo(t *testing.T) {
	const end = ", or write $${ for a literal ${"
	for password, want := range map[string][]string{
		"${gone}":             {"${gone} is not known; put gone into channels-env.yml, set the variable of that name" + end},
		"${env:GONE}":         {"${env:GONE} is not known; set the variable GONE" + end},
		"${file:gone}":        {"${file:gone} cannot be read: no such file or directory; correct the path" + end},
		"${file:.}":           {"${file:.} cannot be read: is a directory; correct the path" + end},
		"${file:large}":       {"${file:large} cannot be read: it is larger than 1 MiB; correct the path" + end},
		"hunter2${":           {"has a ${ without its }; close it" + end},
		"${":                  {"has a ${ without its }; close it" + end},
		"${}":                 {"has a ${ with no name behind it; write ${name} with letters, digits, _, . and -" + end},
		"${hunter2!}":         {"has a ${ with no name behind it; write ${name} with letters, digits, _, . and -" + end},
		"${env:hunter2!}":     {"has a ${ with no name behind it; write ${name} with letters, digits, _, . and -" + end},
		"${a}${b}${a}hunter2": {"${a} is not known; put a into channels-env.yml, set the variable of that name" + end, "${b} is not known; put b into channels-env.yml, set the variable of that name" + end},
	} {
		writeFiles(t, map[string]string{"config.yml": withPassword("'" + password + "'"), "large": strings.Repeat("x", maxSecret+1)})
		_, err := Load("config.yml")
		for i := range want {
			want[i] = "config.yml:4: database.password: " + want[i]
		}
		if got := messages(t, err); !slices.Equal(got, want) {
			t.Errorf("%s\ngot  %q\nwant %q", password, got, want)
		}
		checkHidden(t, "the error about "+password, fmt.Sprint(err))
	}
}

func TestUnresolvedPlaceholderIsTheOnlyProblemOfItsKey(t *testing.T) {
	writeFiles(t, map[string]string{"config.yml": `listener: {slotName: slot}
database: {host: h, name: n, user: u, port: "${port}", sslMode: "${mode}"}
notifier:
  rules:
    - destination:
        type: webhook
        url: ${url}
        signingSecrets:
          - ${signing}
    - destination: {type: telegram, token: t, headers: {chat_id: "${chat}"}}
`})
	_, err := Load("config.yml")
	got := messages(t, err)
	for i, at := range []string{
		"config.yml:2: database.port: ${port}", "config.yml:2: database.sslMode: ${mode}",
		"config.yml:7: notifier.rules[0].destination.url: ${url}",
		"config.yml:9: notifier.rules[0].destination.signingSecrets[0]: ${signing}",
		"config.yml:10: notifier.rules[1].destination.headers[chat_id]: ${chat}",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], at+" is not known;") {
			t.Fatalf("problem %d is not %q...:\n%s", i, at, strings.Join(got, "\n"))
		}
	}
	if len(got) != 5 {
		t.Errorf("got %d problems, want 5:\n%s", len(got), strings.Join(got, "\n"))
	}
}

func TestLenientLeavesWhatNothingResolvesAndWarns(t *testing.T) {
	for _, how := range []string{"file", "variable"} {
		text := withPassword("hunter2-${gone}")
		if how == "file" {
			text += "secrets: {lenient: true}\n"
		} else {
			t.Setenv("WAL_SECRETS_LENIENT", "true")
		}
		writeFiles(t, map[string]string{"config.yml": text})
		cfg := mustLoad(t, "config.yml")
		if got := cfg.Database.Password.Reveal(); got != "hunter2-${gone}" {
			t.Errorf("by %s the password is %q", how, got)
		}
		want := []string{"config.yml:4: database.password: ${gone} is not known; put gone into channels-env.yml, set the variable of that name, or write $${ for a literal ${"}
		if got := cfg.Warnings(); !slices.Equal(got, want) {
			t.Errorf("by %s the warnings are %q, want %q", how, got, want)
		}
	}
	writeFiles(t, map[string]string{"config.yml": strings.Replace(minimal, "database:\n", "database:\n  port: ${gone}\n", 1)})
	_, err := Load("config.yml")
	if got, want := messages(t, err), "config.yml:4: database.port: expected a whole number"; !slices.Equal(got, []string{want}) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSecretsFileIsReadStrictlyAndItsProblemsShowNoValues(t *testing.T) {
	for text, want := range map[string]string{
		"- hunter2":                        "channels-env.yml: expected a mapping, not a list",
		"hunter2":                          "channels-env.yml: expected a mapping, not a single value",
		"a: A\nb: [hunter2]":               "channels-env.yml:2: b: expected a single value, not a list",
		"b: {hunter2: x}":                  "channels-env.yml:1: b: expected a single value, not a mapping",
		"b:":                               `channels-env.yml:1: b: has no value; write "" for an empty one`,
		"b: !hunter2 x":                    "channels-env.yml:1: b: has a YAML tag; quote a value that begins with !",
		"b: &hunter2 x":                    "channels-env.yml:1: b: has an anchor; quote a value that begins with &",
		"a: A\nb: hunter2\nb: hunter2":     "channels-env.yml:3: b: the key is there twice (first on line 2)",
		"a: A\nb: hunter2: x":              "channels-env.yml:2: not valid YAML: mapping values are not allowed in this context",
		"b: *hunter2":                      "channels-env.yml: not valid YAML: a value begins with * and names no anchor; quote it",
		"b: x\n---\nb: hunter2":            "channels-env.yml:2: expected one YAML document, not several; remove the line ---",
		"[b]: hunter2":                     "channels-env.yml:1: expected a name as the key, not a list",
		"b: " + strings.Repeat("x", 1<<20): "channels-env.yml: the file with secrets cannot be read: it is larger than 1 MiB",
	} {
		writeFiles(t, map[string]string{"config.yml": withPassword("${b}"), "channels-env.yml": text})
		_, err := Load("config.yml")
		if got := messages(t, err); !slices.Equal(got, []string{want}) {
			t.Errorf("%.40s\ngot  %q\nwant %q", text, got, want)
		}
		checkHidden(t, "the error", fmt.Sprint(err))
	}
}

func TestSecretsFileThatIsNamedMustBeThere(t *testing.T) {
	writeFiles(t, map[string]string{"config.yml": minimal + "secrets: {file: keys.yml}\n"})
	_, err := Load("config.yml")
	want := "keys.yml: the file with secrets cannot be read: no such file or directory; correct secrets.file"
	if got := messages(t, err); !slices.Equal(got, []string{want}) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzExpand wants every text to be taken apart, what stands for a name to be
// taken as it is, and escape to be what it says.
func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"", "${a}", "${a", "$${a}", "$$${a}", "${${a}}", "${b}${a}}", "${file:x}", "$", "}{$", "${}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		asked := 0
		value := func(name string) (string, error) {
			asked++
			if strings.HasPrefix(name, "b") {
				return "", errors.New("unknown")
			}
			return "${a}$${a}${", nil
		}
		expand(text, value)
		if asked > strings.Count(text, "${") {
			t.Errorf("%q has asked for %d names", text, asked)
		}
		got, missed := expand(escape(text), func(string) (string, error) { return "", errors.New("asked") })
		if got != text || len(missed) > 0 {
			t.Errorf("%q escaped is %q, which becomes %q (%q)", text, escape(text), got, missed)
		}
	})
}
