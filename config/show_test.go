package config

import (
	"regexp"
	"strings"
	"testing"
)

// shown is a configuration with a value of every form.
const shown = `listener:
  slotName: slot
  ackTimeout: 90s
  publication: shop
  messages: [a, "b, c"]
  filter: {tables: {public.orders: [insert, update], "a: b": [delete]}}
  topicsMap:
    z: last
    /^a(.*)$/: first.${1}
  mask: [{table: a, column: b, with: null}]
database: {host: localhost, name: "0123", user: "yes", password: hunter2}
publishers:
  - {name: one, type: nats, topic: t, address: "nats://u:hunter2@h:1,b:2"}
  - {name: two, type: nats, topic: t, embedded: {listen: "127.0.0.1:0", storeDir: /js}}
notifier:
  destinations:
    - {name: d, type: webhook, url: "https://x/hunter2", headers: {Authorization: hunter2}, maxWait: 5m}
  rules:
    - table: orders
      conditions: [{field: a, new_value: 5, in: [1], is_null: false}]
      destinations: [d, {type: slack, url: "https://x/hunter2"}]
    - {when: "true", destination: d}
tags: {a: "yes", b: "5", c: "#"}
`

// setAt is the remark on where a value was set.
var setAt = regexp.MustCompile(`(?m) # config\.yml:\d+$`)

func mustShow(t *testing.T, path string) string {
	t.Helper()
	text, err := Show(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatIsShownLoadsAsTheSame(t *testing.T) {
	for name, text := range map[string]string{
		"every form": strings.ReplaceAll(strings.ReplaceAll(shown, "hunter2", "<secret>"), "u:<secret>@", ""),
		"minimal":    minimal,
	} {
		before := mustShow(t, writeConfig(t, text))
		// A placeholder for a secret is no URL.
		again := strings.ReplaceAll(before, "url: <secret>", "url: https://x/<secret>")
		after := mustShow(t, writeConfig(t, again))
		if got, want := setAt.ReplaceAllString(after, ""), setAt.ReplaceAllString(before, ""); got != want {
			t.Errorf("%s: what was shown loads as\n%s, and was\n%s", name, got, want)
		}
	}
}

func TestNoSecretIsShown(t *testing.T) {
	t.Setenv("WAL_MONITORING_SENTRYDSN", "https://hunter2@sentry.example.org/1")
	text := mustShow(t, writeConfig(t, shown))
	if strings.Contains(text, "hunter2") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	for _, want := range []string{"password: <secret>", "Authorization: <secret>", "sentryDSN: <secret>", "nats://<secret>@h:1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestShowSaysWhereAValueWasSet(t *testing.T) {
	t.Setenv("WAL_LOGGER_LEVEL", "debug")
	text := mustShow(t, writeConfig(t, shown))
	for _, want := range []string{
		"\n  slotName: slot # config.yml:2\n",
		"\n  ackTimeout: 1m30s # config.yml:3\n",
		"\n  drainTimeout: 10s\n",
		"\n  level: debug # WAL_LOGGER_LEVEL\n",
		"\n      public.orders: [insert, update] # config.yml:6\n",
		"\n  mask: # config.yml:10\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\npublisher:") {
		t.Errorf("the section that publishers takes the place of is shown:\n%s", text)
	}
}

func TestShowHasEveryKey(t *testing.T) {
	text := mustShow(t, writeConfig(t, minimal))
	d := newDecoder("shown")
	cfg := Default()
	d.file([]byte(text), &cfg)
	for _, k := range schema {
		if _, ok := d.origins[k.path]; !ok && !strings.HasPrefix(k.path, "publisher.embedded.") {
			t.Errorf("%s is not shown", k.path)
		}
	}
}

func TestShowTellsWhatIsWrong(t *testing.T) {
	_, err := Show(writeConfig(t, minimal+"loger: {}\n"))
	if got := messages(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "config.yml:9: loger: unknown key") {
		t.Errorf("got %q", got)
	}
}
