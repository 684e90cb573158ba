package slack

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

var update = flag.Bool("update", false, "write the golden file in testdata anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is in the URL, the token and a header, private in the row.
const (
	secret  = "hunter2"
	private = "row data"
)

func delivery(t *testing.T, action publisher.Action, data, dataOld string) notifier.Delivery {
	t.Helper()
	id, err := publisher.NewID(0x16B3748, 1, 4)
	if err != nil {
		t.Fatal(err)
	}
	schema, table := "shop", "orders"
	if action == publisher.LogicalMessage {
		schema, table = "", ""
	}
	return notifier.Delivery{
		ID: id, Rule: "paid-orders", Topic: "shop_orders", Table: "shop.orders", Action: action, Key: []byte("7"),
		CommitTime: time.Date(2026, 11, 21, 10, 30, 0, 0, time.UTC).UnixMicro(),
		Payload: fmt.Appendf(nil, `{"schema":%q,"table":%q,"action":%q,"data":%s,"dataOld":%s,"lsn":"0/16B3748","xid":742}`,
			schema, table, action, data, dataOld),
	}
}

func open(t *testing.T, d config.Destination) *Sender {
	t.Helper()
	d.AllowPrivate, d.Timeout = true, 10*time.Second
	s, err := New(config.Notification{Section: "notifier.destinations[0]", Destination: d})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// payload sends d and returns what arrived.
func payload(t *testing.T, d config.Destination, event notifier.Delivery) (receiver.Request, map[string]any) {
	t.Helper()
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Body(200, "application/json", `{"ok":true}`))})
	d.URL = config.Secret(r.URL() + "/services/" + secret)
	if err := open(t, d).Send(t.Context(), []notifier.Delivery{event}); err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(r.Requests()[0].Body, &m); err != nil {
		t.Fatal(err)
	}
	return r.Requests()[0], m
}

var events = []struct {
	about         string
	action        publisher.Action
	data, dataOld string
}{
	{"an update with the old row", publisher.Update, `{"id":7,"status":"paid","note":null,"customer":"Ada <ada@x> & \"co\" *b*"}`, `{"id":7,"status":"open","note":"a ` + "`" + `b` + "`" + `\nc","customer":"Ada"}`},
	{"an update without it", publisher.Update, `{"id":7,"status":"paid","note":""}`, `{}`},
	{"an insert of many columns", publisher.Insert, `{"id":7,"a":1,"b":true,"c":[1,2],"d":{"x":null},"e":"2026-11-21","f":1.50,"g":"g","h":"h","i":"i","j":"j","k":"k"}`, `{}`},
	{"a delete", publisher.Delete, `{}`, `{"id":7}`},
	{"a truncation", publisher.Truncate, `{}`, `{}`},
	{"a logical message", publisher.LogicalMessage, `{"prefix":"app","transactional":true,"content":"hello"}`, `{}`},
}

func TestMessagesLookAsInTheGoldenFile(t *testing.T) {
	var got bytes.Buffer
	for _, e := range events {
		_, m := payload(t, config.Destination{}, delivery(t, e.action, e.data, e.dataOld))
		enc := json.NewEncoder(&got)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		fmt.Fprintf(&got, "# %s\n", e.about)
		if err := enc.Encode(m); err != nil {
			t.Fatal(err)
		}
	}
	const file = "testdata/messages.golden"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the messages are not those of %s; look at them and run with -update:\n%s", file, &got)
	}
}

// The limits are Slack's: 50 blocks, 10 fields of 2000 characters, texts of 3000.
func TestHugeRowsStayWithinSlacksLimits(t *testing.T) {
	var row []string
	for i := range 300 {
		row = append(row, fmt.Sprintf(`"%s%d":%q`, strings.Repeat("<", 60), i, strings.Repeat("&", 5000)))
	}
	data := "{" + strings.Join(row, ",") + "}"
	_, m := payload(t, config.Destination{}, delivery(t, publisher.Update, data, strings.ReplaceAll(data, "&&", "<")))
	blocks := m["blocks"].([]any)
	if len(blocks) != 3 || len(m["text"].(string)) > 3000 {
		t.Errorf("there are %d blocks and a text of %d bytes", len(blocks), len(m["text"].(string)))
	}
	fields := blocks[1].(map[string]any)["fields"].([]any)
	if len(fields) != 10 {
		t.Errorf("there are %d fields", len(fields))
	}
	for _, f := range fields {
		if n := utf8.RuneCountInString(f.(map[string]any)["text"].(string)); n > 2000 {
			t.Errorf("a field has %d characters", n)
		}
	}
	if more := blocks[2].(map[string]any)["elements"].([]any)[0].(map[string]any)["text"]; more != "and 290 more" {
		t.Errorf("what is left out is told by %q", more)
	}
}

func TestBotsPostToTheirChannelWithTheirToken(t *testing.T) {
	r, m := payload(t, config.Destination{Token: secret, Channel: "C1", Headers: map[string]config.Secret{"X-Key": secret}}, delivery(t, publisher.Insert, `{"id":7}`, `{}`))
	if m["channel"] != "C1" || r.Header.Get("Authorization") != "Bearer "+secret || r.Header.Get("X-Key") != secret ||
		r.Header.Get("Content-Type") != "application/json; charset=utf-8" || m["unfurl_links"] != false || m["unfurl_media"] != false {
		t.Errorf("the request has %v and %v", r.Header, m)
	}
	if s := open(t, config.Destination{Token: secret}); s.url != postMessage {
		t.Errorf("without a url %s is called", s.url.Reveal())
	}
}

func TestTemplatesMakeTextAndBlocks(t *testing.T) {
	event := delivery(t, publisher.Insert, `{"id":7,"name":"<!channel> \"A&B\"\n"}`, `{}`)
	_, m := payload(t, config.Destination{Template: `<https://x/{{.New.id}}|Order> of {{.New.name}}`}, event)
	if want := "<https://x/7|Order> of &lt;!channel&gt; \"A&amp;B\"\n"; m["text"] != want || m["blocks"] != nil {
		t.Errorf("the message is %q, want %q", m, want)
	}
	_, m = payload(t, config.Destination{
		Template: "new order",
		Blocks: `[{"type":"section","text":{"type":"mrkdwn","text":"*{{.New.name}}*"}},
			{"type":"context","elements":[{"type":"plain_text","text":{{json .New.name}}}]}]`,
	}, event)
	got, err := json.Marshal(m["blocks"])
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"text":{"text":"*\u0026lt;!channel\u0026gt; \"A\u0026amp;B\"\n*","type":"mrkdwn"},"type":"section"},{"elements":[{"text":"\u003c!channel\u003e \"A\u0026B\"\n","type":"plain_text"}],"type":"context"}]`
	if string(got) != want || m["text"] != "new order" {
		t.Errorf("the message is %s", got)
	}
}

func TestWhatTemplatesGetWrongIsPermanentAndShowsNoRow(t *testing.T) {
	for about, tt := range map[string]struct {
		d    config.Destination
		want string
	}{
		"no JSON":     {config.Destination{Blocks: "[\n{{.New.name}}]"}, "no JSON array of blocks (line 2 of it, byte "},
		"no array":    {config.Destination{Blocks: `{"type":"divider"}`}, "no JSON array of blocks"},
		"null":        {config.Destination{Blocks: "null"}, "no JSON array of blocks"},
		"too many":    {config.Destination{Blocks: `[{{range 50}}{"type":"divider"},{{end}}{"type":"divider"}]`}, "51 blocks"},
		"empty":       {config.Destination{Template: "{{if .Old}}x{{end}}\n"}, "empty text"},
		"no column":   {config.Destination{Template: "{{.New.nmae}}"}, "notifier.destinations[0].template:1:2: .New.nmae: the event has no such value"},
		"no envelope": {config.Destination{}, "not in the envelope walherald"},
	} {
		event := delivery(t, publisher.Insert, `{"id":7,"name":"`+private+`"}`, `{}`)
		if about == "no envelope" {
			event.Payload = []byte(private)
		}
		tt.d.URL = "http://127.0.0.1:1/"
		err := open(t, tt.d).Send(t.Context(), []notifier.Delivery{event})
		if err == nil || !publisher.IsPermanent(err) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), private) {
			t.Errorf("%s: the error is %v", about, err)
		}
	}
}

func TestAnswersMeanWhatSlackSays(t *testing.T) {
	for _, tt := range []struct {
		status    int
		body      string
		want      string // "" means accepted
		permanent bool
	}{
		{200, "ok", "", false},
		{200, `{"ok":true,"channel":"C1"}`, "", false},
		{200, `{"ok":false,"error":"ratelimited"}`, "slack refuses the message: ratelimited", false},
		{200, `{"ok":false,"error":"internal_error"}`, "internal_error", false},
		{200, `{"ok":false,"error":"not_in_channel"}`, "not_in_channel: invite the bot to the channel", true},
		{200, `{"ok":false,"error":"invalid_auth"}`, "invalid_auth: set token", true},
		{200, `{"ok":false,"error":"something_new"}`, "does not say why", true},
		{200, `{"ok":false,"error":"` + private + `"}`, "does not say why", true},
		{404, "no_service", "slack answers 404 Not Found: no_service: the webhook was removed", true},
		{400, "invalid_payload", "invalid_payload: Slack does not understand", true},
		{410, "channel_is_archived", "channel_is_archived: the channel is archived", true},
		{403, private, "slack answers 403 Forbidden", true},
		{503, "<html>" + private, "slack answers 503", false},
		{429, `{"ok":false,"error":"ratelimited"}`, "slack answers 429 Too Many Requests: ratelimited", false},
	} {
		r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Header("Retry-After", "30", receiver.Body(tt.status, "text/plain", tt.body)))})
		s := open(t, config.Destination{URL: config.Secret(r.URL() + "/" + secret)})
		err := s.Send(t.Context(), []notifier.Delivery{delivery(t, publisher.Insert, `{"id":7,"x":"`+private+`"}`, `{}`)})
		checkSilent(t, err)
		switch {
		case (err == nil) != (tt.want == ""):
			t.Errorf("%d %s: the error is %v, want %q", tt.status, tt.body, err, tt.want)
		case err != nil && (!strings.Contains(err.Error(), tt.want) || publisher.IsPermanent(err) != tt.permanent):
			t.Errorf("%d %s: the error is %v, permanent %v, want %q, %v", tt.status, tt.body, err, publisher.IsPermanent(err), tt.want, tt.permanent)
		case (tt.status == 429 || strings.Contains(tt.body, "ratelimited")) && notifier.RetryAfter(err) != 30*time.Second:
			t.Errorf("%d %s: it is to be tried again after %s", tt.status, tt.body, notifier.RetryAfter(err))
		}
	}
}

func TestMethodThatDoesNotConfirmHasNotTakenTheMessage(t *testing.T) {
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Body(200, "text/html", "welcome"))})
	err := open(t, config.Destination{URL: config.Secret(r.URL()), Token: secret, Channel: "C"}).Send(t.Context(), []notifier.Delivery{delivery(t, publisher.Truncate, `{}`, `{}`)})
	if err == nil || publisher.IsPermanent(err) || !strings.Contains(err.Error(), "does not say that it took the message") {
		t.Errorf("the error is %v", err)
	}
}

func TestBrokenConnectionsAreTemporaryAndShowNoSecret(t *testing.T) {
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Reset())})
	s := open(t, config.Destination{URL: config.Secret(r.URL() + "/" + secret), Token: secret})
	err := s.Send(t.Context(), []notifier.Delivery{delivery(t, publisher.Truncate, `{}`, `{}`)})
	if err == nil || publisher.IsPermanent(err) {
		t.Errorf("the error is %v", err)
	}
	checkSilent(t, err)
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, secret) {
		t.Errorf("the sender shows %s", text)
	}
}

func TestSeveralEventsAreNoMessage(t *testing.T) {
	d := delivery(t, publisher.Truncate, `{}`, `{}`)
	if err := open(t, config.Destination{URL: "http://127.0.0.1:1"}).Send(t.Context(), []notifier.Delivery{d, d}); !publisher.IsPermanent(err) {
		t.Errorf("the error is %v", err)
	}
}

func TestBrokenTemplatesAreRefusedAtTheStartByTheirKey(t *testing.T) {
	for key, d := range map[string]config.Destination{
		"notifier.destinations[0].template:1": {Template: "{{"},
		"notifier.destinations[0].blocks:1":   {Blocks: "{{.x"},
		"notifier.destinations[0].caCert":     {CACert: "/nowhere"},
	} {
		_, err := New(config.Notification{Section: "notifier.destinations[0]", Destination: d})
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("the error is %v, want %s", err, key)
		}
	}
}

// checkSilent fails the test if an error shows a secret or data of a row.
func checkSilent(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, secret) || strings.Contains(text, private) {
			t.Errorf("an error shows too much: %s", text)
		}
	}
}

func TestTextsAreCutAtSafePlaces(t *testing.T) {
	for _, tt := range []struct {
		text string
		n    int
		want string
	}{
		{"größer", 6, "größer"},
		{"größere", 6, "größe…"},
		{"ab&amp;cd", 5, "ab…"},
		{"a&amp;bcd", 8, "a&amp;b…"},
		{"see <https://x|here> now", 10, "see …"},
		{"see <https://x|here> now", 22, "see <https://x|here> …"},
		{"ab", 1, "…"},
	} {
		if got := cut(tt.text, tt.n); got != tt.want {
			t.Errorf("%q cut to %d is %q, want %q", tt.text, tt.n, got, tt.want)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("a &amp; <b|c> größe", 7)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = max(1, n%100)
		s = strings.ToValidUTF8(s, "")
		got := cut(s, n)
		head, whole := strings.CutSuffix(got, "…")
		switch {
		case utf8.RuneCountInString(got) > n, !utf8.ValidString(got):
			t.Errorf("%q cut to %d is %q", s, n, got)
		case got != s && (!whole || !strings.HasPrefix(s, head)):
			t.Errorf("%q cut to %d is %q", s, n, got)
		case got != s && strings.LastIndexByte(head, '<') > strings.LastIndexByte(head, '>'):
			t.Errorf("%q cut to %d is %q: a bracket is open", s, n, got)
		}
		for _, escape := range []string{"&amp;", "&lt;", "&gt;"} {
			if i := strings.LastIndexByte(head, '&'); got != s && i >= 0 && strings.HasPrefix(s[i:], escape) && !strings.HasPrefix(head[i:], escape) {
				t.Errorf("%q cut to %d is %q: an escape is cut", s, n, got)
			}
		}
	})
}
