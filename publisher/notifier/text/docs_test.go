package text_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"text/template"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/slack"
	"github.com/walherald/walherald/publisher/notifier/telegram"
	"github.com/walherald/walherald/publisher/notifier/text"
	"github.com/walherald/walherald/publisher/notifier/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func manual(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/messages.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// example is a destination as the manual writes it.
type example struct {
	Name, Type, URL, Token, Channel, Template, Blocks string
	ChatID                                            string `yaml:"chatId"`
}

// sender makes a sender of the example that calls url.
func (e example) sender(t *testing.T, url string) notifier.Sender {
	t.Helper()
	n := config.Notification{Section: e.Name, Destination: config.Destination{
		Name: e.Name, Type: e.Type, URL: config.Secret(url), Method: http.MethodPost, Token: config.Secret(e.Token), Channel: e.Channel,
		ChatID: e.ChatID, Template: e.Template, Blocks: e.Blocks, Timeout: 10 * time.Second, AllowPrivate: true, Batch: 1,
	}}
	var s notifier.Sender
	var err error
	switch e.Type {
	case config.DestinationSlack:
		s, err = slack.New(n)
	case config.DestinationTelegram:
		s, err = telegram.New(n)
	default:
		s, err = webhook.New(n, publisher.Content{Type: "application/json"})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func examples(t *testing.T) []example {
	t.Helper()
	var all []example
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(manual(t), -1) {
		var some []example
		if err := yaml.Unmarshal([]byte(block[1]), &some); err != nil {
			t.Fatalf("%s: %v", block[1], err)
		}
		all = append(all, some...)
	}
	if len(all) == 0 {
		t.Fatal("the manual has no examples")
	}
	return all
}

// order is a change of an order with values that need escaping.
func order(action publisher.Action, data, dataOld string) notifier.Delivery {
	return notifier.Delivery{
		Rule: "paid", Topic: "shop_orders", Table: "shop.orders", Action: action, Key: []byte("7"), CommitTime: 1_795_257_000_000_000,
		Payload: []byte(`{"schema":"shop","table":"orders","action":"` + action.String() + `","data":` + data + `,"dataOld":` + dataOld + `,"lsn":"0/1","xid":7}`),
	}
}

func TestExamplesOfTheManualMakeMessagesThatAreAccepted(t *testing.T) {
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Body(200, "application/json", `{"ok":true}`))})
	row := func(status string) string {
		return `{"id":7,"status":"` + status + `","customer":"\"A\" <b> & @channel\n\\","total":12.5,"note":"<x> & \"y\""}`
	}
	for _, e := range examples(t) {
		s := e.sender(t, r.URL())
		for _, d := range []notifier.Delivery{
			order(publisher.Insert, row("paid"), "{}"), order(publisher.Update, row("\\\"paid\\\"\\n"), row("<open>")),
		} {
			if err := s.Send(context.Background(), []notifier.Delivery{d}); err != nil {
				t.Errorf("%s, %s: %v", e.Name, d.Action, err)
				continue
			}
			all := r.Requests()
			if body := all[len(all)-1].Body; !json.Valid(body) {
				t.Errorf("%s, %s: the body is no JSON: %s", e.Name, d.Action, body)
			} else {
				t.Logf("%s, %s: %s", e.Name, d.Action, body)
			}
		}
	}
}

func TestManualDescribesEveryFieldAndHelper(t *testing.T) {
	page := manual(t)
	fields := reflect.TypeFor[text.Event]()
	for i := range fields.NumField() {
		if f := fields.Field(i); f.IsExported() && !strings.Contains(page, "`."+f.Name+"`") {
			t.Errorf("the manual does not describe .%s", f.Name)
		}
	}
	for _, name := range text.Helpers() {
		if _, err := template.New("").Parse("{{" + name + "}}"); err == nil {
			continue // it takes the place of one of package text/template
		}
		if !regexp.MustCompile("`" + name + " ").MatchString(page) {
			t.Errorf("the manual does not describe %s", name)
		}
	}
}
