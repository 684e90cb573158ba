package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// notificationsOf loads a configuration with this section notifier.
func notificationsOf(t *testing.T, notifier string) []Notification {
	t.Helper()
	return mustLoad(t, writeConfig(t, minimal+notifier)).Notifications()
}

// shape is what a test compares of notifications: each destination's name and
// place, and the names of its rules.
func shape(all []Notification) []string {
	var out []string
	for _, n := range all {
		line := n.Name + " at " + n.Section + ":"
		for _, r := range n.Rules {
			line += " " + r.Name
		}
		out = append(out, line)
	}
	return out
}

func TestDestinationsAreInTheOrderOfTheRulesWithReferencesResolved(t *testing.T) {
	got := notificationsOf(t, `notifier:
  destinations:
    - {name: unused, type: webhook, url: "https://a"}
    - {name: sales, type: SLACK, url: "https://b"}
  rules:
    - {name: one, destination: {name: hook, type: webhook, url: "https://c"}, destinations: [sales]}
    - {name: two, destination: sales}
    - name: three
      destination: {name: chat, type: telegram, token: x, chatId: 1}
`)
	want := []string{
		"hook at notifier.rules[0].destination: one",
		"sales at notifier.destinations[1]: one two",
		"chat at notifier.rules[2].destination: three",
	}
	if !slices.Equal(shape(got), want) {
		t.Fatalf("got  %q\nwant %q", shape(got), want)
	}
	if d := got[1].Destination; d.Type != DestinationSlack || d.URL != "https://b" || d.Timeout != 10*time.Second {
		t.Errorf("the reference gives %+v", d)
	}
	if r := got[1].Rules[1]; r.Section != "notifier.rules[1]" {
		t.Errorf("the second rule of sales is at %s", r.Section)
	}
}

func TestSameTextInSeveralRulesIsOneDestination(t *testing.T) {
	const hook = `{type: webhook, url: "https://a", headers: {X-A: b}, backoff: [1s]}`
	got := notificationsOf(t, `notifier:
  rules:
    - {name: one, destination: `+hook+`}
    - {name: two, destinations: [`+hook+`]}
    - {name: three, destination: `+strings.Replace(hook, "1s", "2s", 1)+`}
`)
	want := []string{
		"one-webhook at notifier.rules[0].destination: one two",
		"three-webhook at notifier.rules[2].destination: three",
	}
	if !slices.Equal(shape(got), want) {
		t.Errorf("got  %q\nwant %q", shape(got), want)
	}
}

func TestNamesThatAreNotGivenAreMadeOfWhatIsThere(t *testing.T) {
	got := notificationsOf(t, `notifier:
  rules:
    - {table: public.users, op_type: [Insert, Update], destination: {type: webhook, url: "https://a"}}
    - {table: "*", op_type: "*", destination: {type: webhook, url: "https://b"}}
    - {table: größe, destination: {type: slack, url: "https://c"}}
`)
	want := []string{
		"public_users-insert-update-0-webhook at notifier.rules[0].destination: public_users-insert-update-0",
		"1-webhook at notifier.rules[1].destination: 1",
		"gr__e-2-slack at notifier.rules[2].destination: gr__e-2",
	}
	if !slices.Equal(shape(got), want) {
		t.Errorf("got  %q\nwant %q", shape(got), want)
	}
}

func TestLongMadeNamesAreCutAndStayApart(t *testing.T) {
	table := strings.Repeat("t", 63)
	got := notificationsOf(t, `notifier:
  rules:
    - {table: `+table+`, destination: {type: webhook, url: "https://a"}}
    - {table: `+table+`, destination: {type: webhook, url: "https://b"}}
`)
	names := make(map[string]bool)
	for _, n := range got {
		names[n.Name], names[n.Rules[0].Name] = true, true
	}
	for name := range names {
		if len(name) != maxName || !outputName.MatchString(name) {
			t.Errorf("%q is no name of %d bytes", name, maxName)
		}
	}
	if len(names) != 4 {
		t.Errorf("the names %v are not those of two rules and two destinations", names)
	}
}

func TestRatesAndWaitsHaveDefaultsByType(t *testing.T) {
	second, never := time.Second, time.Duration(0)
	for _, tt := range []struct {
		d    Destination
		rate float64
		wait time.Duration
	}{
		{Destination{Type: DestinationWebhook}, 0, 0},
		{Destination{Type: DestinationSlack}, 1, time.Minute},
		{Destination{Type: DestinationTelegram}, 1, time.Minute},
		{Destination{Type: DestinationSlack, Rate: 0.5, MaxWait: &never}, 0.5, 0},
		{Destination{Type: DestinationWebhook, Rate: 20, MaxWait: &second}, 20, time.Second},
	} {
		if rate, wait := tt.d.PerSecond(), tt.d.Wait(); rate != tt.rate || wait != tt.wait {
			t.Errorf("%s with rate %v: %v in a second and %v, want %v and %v", tt.d.Type, tt.d.Rate, rate, wait, tt.rate, tt.wait)
		}
	}
}

func TestFixedValuesOfTheNotifierAreTakenInAnyCase(t *testing.T) {
	cfg := mustLoad(t, writeConfig(t, minimal+`notifier:
  parking: {store: TABLE}
  rules:
    - op_type: [Insert, TRUNCATE]
      destination: {type: Webhook, url: "https://a", method: put, order: NONE, onFailure: Hold, envelope: CloudEvents, cloudEvents: Binary}
    - opType: Update, DELETE
      destinations: [{type: Slack, url: "https://a/B"}]
`))
	r := cfg.Notifier.Rules
	d := r[0].Destination
	for _, tt := range []struct{ got, want string }{
		{cfg.Notifier.Parking.Store, StoreTable},
		{r[0].OpType[0], "insert"},
		{r[0].OpType[1], "truncate"},
		{r[1].OpType[0], "update"},
		{d.Type, DestinationWebhook},
		{d.Method, "PUT"},
		{d.Order, OrderNone},
		{d.OnFailure, OnFailureHold},
		{d.Envelope, EnvelopeCloudEvents},
		{d.CloudEvents, CloudEventsBinary},
		{r[1].Destinations[0].Type, DestinationSlack},
		{r[1].Destinations[0].URL.Reveal(), "https://a/B"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestListedDestinationsHaveTheDefaultsOfOneWrittenOut(t *testing.T) {
	cfg := mustLoad(t, writeConfig(t, minimal+`notifier:
  destinations: [{name: a, type: slack, url: "https://a", circuit: {failures: 7}, maxWait: 0s}]
  rules: [{destination: a}, {destination: {name: b, type: slack, url: "https://b"}}]
`))
	for _, d := range []Destination{cfg.Notifier.Destinations[0], cfg.Notifier.Rules[1].Destination.Destination} {
		if d.MaxAttempts != 3 || d.Circuit.OpenFor != 30*time.Second || d.OnFailure != OnFailurePark {
			t.Errorf("%s has not its defaults: %+v", d.Name, d)
		}
	}
	if d := cfg.Notifier.Destinations[0]; d.Circuit.Failures != 7 || d.Wait() != 0 {
		t.Errorf("what the file says is not kept: %+v", d)
	}
}
