package telegram

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

const taken = `{"ok":true,"result":{"message_id":1}}`

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
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Body(200, "application/json", taken))})
	d.URL = config.Secret(r.URL() + d.URL.Reveal())
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
	{"an update with the old row", publisher.Update, `{"id":7,"status":"paid","note":null,"customer":"Ada <ada@x> & \"co\" *b*"}`, `{"id":7,"status":"open","note":"a\nb\tc","customer":"Ada"}`},
	{"an update without it", publisher.Update, `{"id":7,"status":"paid","note":""}`, `{}`},
	{"an insert of many columns", publisher.Insert, `{"a":1,"b":true,"c":[1,2],"d":{"x":null},"e":"2026-11-21","f":1.50,"g":"@ada","h":"https://x","id":7}`, `{}`},
	{"a delete", publisher.Delete, `{}`, `{"id":7}`},
	{"a truncation", publisher.Truncate, `{}`, `{}`},
	{"a logical message", publisher.LogicalMessage, `{"prefix":"app","transactional":true,"content":"hello"}`, `{}`},
}

func TestMessagesLookAsInTheGoldenFile(t *testing.T) {
	var got bytes.Buffer
	for _, e := range events {
		_, m := payload(t, config.Destination{ChatID: "-100"}, delivery(t, e.action, e.data, e.dataOld))
		fmt.Fprintf(&got, "# %s\n%s\n\n", e.about, m["text"])
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

func TestHugeRowsKeepTheirHeadAndFooter(t *testing.T) {
	var row []string
	for i := range 300 {
		row = append(row, fmt.Sprintf(`"%s%d":%q`, strings.Repeat("<", 60), i, strings.Repeat("&😀", 5000)))
	}
	data := "{" + strings.Join(row, ",") + "}"
	for _, old := range []string{"{}", strings.ReplaceAll(data, "&😀&", "😀")} {
		_, m := payload(t, config.Destination{ChatID: "1"}, delivery(t, publisher.Update, data, old))
		html := m["text"].(string)
		if units, err := measure(html); err != nil || units > maxUnits {
			t.Errorf("the message has %d units, %v", units, err)
		}
		if n := strings.Count(html, "</"); n > 100 {
			t.Errorf("the message has %d pieces of markup", n)
		}
		if !strings.HasPrefix(html, "✏️ <b>UPDATE</b>") || !strings.Contains(html, " more\n") || !strings.HasSuffix(html, "0/16B3748</i>") {
			t.Errorf("the message is %s", html)
		}
	}
}

func TestRequestsAreThoseOfSendMessage(t *testing.T) {
	event := delivery(t, publisher.Insert, `{"id":7}`, `{}`)
	r, m := payload(t, config.Destination{Token: secret, ChatID: "-1001", Headers: map[string]config.Secret{"X-Key": secret}}, event)
	if r.Path != "/bot"+secret+"/sendMessage" || r.Header.Get("X-Key") != secret || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the request is for %s with %v", r.Path, r.Header)
	}
	delete(m, "text")
	if got := fmt.Sprint(m); got != "map[chat_id:-1001 link_preview_options:map[is_disabled:true] parse_mode:HTML]" {
		t.Errorf("the payload is %s", got)
	}
	// As setu is configured.
	r, m = payload(t, config.Destination{URL: "/bot" + secret + "/sendMessage", Headers: map[string]config.Secret{"Chat_ID": "-1002"}}, event)
	if r.Path != "/bot"+secret+"/sendMessage" || m["chat_id"] != "-1002" || len(r.Header.Values("Chat_ID")) > 0 {
		t.Errorf("the request is for %s with %v and %v", r.Path, r.Header, m)
	}
	if s := open(t, config.Destination{Token: secret}); s.url.Reveal() != "https://api.telegram.org/bot"+secret+"/sendMessage" {
		t.Errorf("without a url %s is called", s.url.Reveal())
	}
}

func TestTemplatesMakeTheTextAndValuesAreEscaped(t *testing.T) {
	event := delivery(t, publisher.Insert, `{"id":7,"name":"<b>\"A&B\""}`, `{}`)
	_, m := payload(t, config.Destination{Template: "\n<a href=\"https://x/{{.New.name}}\">{{.New.name}}</a>\n"}, event)
	if want := `<a href="https://x/&lt;b&gt;&quot;A&amp;B&quot;">&lt;b&gt;&quot;A&amp;B&quot;</a>`; m["text"] != want {
		t.Errorf("the text is %s, want %s", m["text"], want)
	}
	_, m = payload(t, config.Destination{Template: "<pre>{{range 5000}}x{{end}}</pre>"}, event)
	if want := "<pre>" + strings.Repeat("x", 4095) + "…</pre>"; m["text"] != want {
		t.Errorf("the text is %s", m["text"])
	}
}

func TestWhatTemplatesGetWrongIsPermanentAndShowsNoRow(t *testing.T) {
	for source, want := range map[string]string{
		"<b>{{.New.name}}":             "has a <b> without a </b>",
		"{{raw .New.tag}}":             "has a tag that Telegram does not know",
		"1 < 2 {{.New.name}}":          "has a < that begins no tag; write &lt;",
		"<b><i>{{.ID}}</b></i>":        "has a </b> where </i> should be",
		"{{.ID}}</b>":                  "has a </b> without a <b>",
		"<span>{{.ID}}</span>":         `has a span that is no <span class="tg-spoiler">`,
		" <b> </b>{{if .Old}}x{{end}}": "is empty",
		"{{.New.nmae}}":                "notifier.destinations[0].template:1:2: .New.nmae: the event has no such value",
	} {
		s := open(t, config.Destination{URL: "http://127.0.0.1:1/", Template: source})
		err := s.Send(t.Context(), []notifier.Delivery{delivery(t, publisher.Insert, `{"name":"`+private+`","tag":"<`+private+`>"}`, `{}`)})
		if err == nil || !publisher.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %s", source, err, want)
		}
		checkSilent(t, err)
	}
}

func TestAnswersMeanWhatTelegramSays(t *testing.T) {
	refusal := func(code int, description, more string) string {
		return fmt.Sprintf(`{"ok":false,"error_code":%d,"description":%q%s}`, code, description, more)
	}
	for _, tt := range []struct {
		status    int
		body      string
		want      string // "" means accepted
		permanent bool
		after     time.Duration
	}{
		{200, taken, "", false, 0},
		{429, refusal(429, "Too Many Requests: retry after 5", `,"parameters":{"retry_after":5}`), "telegram answers 429 Too Many Requests", false, 5 * time.Second},
		{429, refusal(429, "Too Many Requests", `,"parameters":{"retry_after":99999999999999}`), "429", false, time.Hour},
		{429, refusal(429, "Too Many Requests", ``), "429", false, 30 * time.Second},
		{200, refusal(429, "Too Many Requests", `,"parameters":{"retry_after":5}`), "429", false, 5 * time.Second},
		{400, refusal(400, "Bad Request: group chat was upgraded to a supergroup chat", `,"parameters":{"migrate_to_chat_id":-100987}`), "set chatId to that one", true, 0},
		{400, refusal(400, "Bad Request: chat not found", ""), "telegram answers 400 Bad Request: chat not found: set chatId", true, 0},
		{400, refusal(400, "Bad Request: can't parse entities: "+private, ""), "can't parse entities: look at the markup", true, 0},
		{400, refusal(400, "Bad Request: "+private, ""), "telegram answers 400 Bad Request", true, 0},
		{401, refusal(401, "Unauthorized", ""), "unauthorized: the token is not valid", true, 0},
		{403, refusal(403, "Forbidden: bot was blocked by the user", ""), "the user has to unblock the bot", true, 0},
		{403, refusal(403, "Forbidden: "+private, ""), "the bot may not write", true, 0},
		{404, refusal(404, "Not Found", ""), "look at token, or url", true, 0},
		{502, "<html>" + private, "telegram answers 502 Bad Gateway", false, 30 * time.Second},
		{200, "<html>" + private, "does not say that it took the message", false, 0},
		{200, `{"ok":false}`, "does not say why", true, 0},
	} {
		r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Header("Retry-After", "30", receiver.Body(tt.status, "application/json", tt.body)))})
		s := open(t, config.Destination{URL: config.Secret(r.URL()), Token: secret, ChatID: "-100123"})
		err := s.Send(t.Context(), []notifier.Delivery{delivery(t, publisher.Insert, `{"id":7,"x":"`+private+`"}`, `{}`)})
		checkSilent(t, err)
		switch {
		case (err == nil) != (tt.want == ""):
			t.Errorf("%d %s: the error is %v, want %q", tt.status, tt.body, err, tt.want)
		case err != nil && (!strings.Contains(err.Error(), tt.want) || publisher.IsPermanent(err) != tt.permanent || strings.Contains(err.Error(), "-100")):
			t.Errorf("%d %s: the error is %v, permanent %v, want %q, %v", tt.status, tt.body, err, publisher.IsPermanent(err), tt.want, tt.permanent)
		case notifier.RetryAfter(err) != tt.after:
			t.Errorf("%d %s: it is to be tried again after %s, want %s", tt.status, tt.body, notifier.RetryAfter(err), tt.after)
		}
	}
}

func TestBrokenConnectionsAreTemporaryAndShowNoSecret(t *testing.T) {
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Reset())})
	s := open(t, config.Destination{URL: config.Secret(r.URL()), Token: secret, ChatID: "1"})
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
	if err := open(t, config.Destination{Token: secret}).Send(t.Context(), []notifier.Delivery{d, d}); !publisher.IsPermanent(err) {
		t.Errorf("the error is %v", err)
	}
}

func TestBrokenConfigurationIsRefusedAtTheStartByItsKey(t *testing.T) {
	for key, d := range map[string]config.Destination{
		"notifier.destinations[0].template:1": {Template: "{{"},
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
