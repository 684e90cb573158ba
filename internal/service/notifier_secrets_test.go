package service

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver/child"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

// secrets are the pieces by which secrets are known wherever they come out.
var secrets = []string{
	"p4th-T0ken", "qu3ry-T0ken", "us3r-T0ken", "passw0rd-T0ken", "h34der-T0ken", "wordlike_secret", "s1gning-T0ken-of-32-bytes-or-so",
	"sl4ck-path-T0ken", "sl4ck-bot-T0ken", "t3legram-path-T0ken", "t3legram-bot-T0ken", "t3legram-chat-T0ken",
}

// leaked returns the secrets that stand in text: as they are, percent-encoded, in
// hexadecimal digits, or as any part of base64.
func leaked(text string) (found []string) {
	lower := strings.ToLower(text)
	coded := strings.NewReplacer("-", "+", "_", "/").Replace(text)
	unescaped, err := url.PathUnescape(lower)
	if err != nil { // there is a % that means something else
		unescaped = ""
	}
	for _, s := range secrets {
		hidden := slices.ContainsFunc(inBase64(s), func(form string) bool { return strings.Contains(coded, form) })
		for _, form := range []string{s, hex.EncodeToString([]byte(s)), everyByteEscaped(s)} {
			form = strings.ToLower(form)
			hidden = hidden || strings.Contains(lower, form) || strings.Contains(unescaped, form)
		}
		if hidden {
			found = append(found, s)
		}
	}
	return found
}

func everyByteEscaped(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// inBase64 returns what stands in base64 of anything that holds s, at each place: what
// depends on the bytes beside it is left out.
func inBase64(s string) (forms []string) {
	for before, skip := range []int{0, 2, 3} {
		coded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + s))
		if (before+len(s))%3 != 0 {
			coded = coded[:len(coded)-1]
		}
		forms = append(forms, coded[skip:])
	}
	return forms
}

func TestLeaksAreFoundInEveryForm(t *testing.T) {
	for _, s := range secrets {
		for _, text := range []string{
			s, "x" + strings.ToUpper(s), url.QueryEscape("/" + s + "="), everyByteEscaped(s), hex.EncodeToString([]byte("a" + s)),
			base64.StdEncoding.EncodeToString([]byte(s)), base64.URLEncoding.EncodeToString([]byte("user:" + s)), base64.RawStdEncoding.EncodeToString([]byte("u:" + s + "..")),
		} {
			if !slices.Contains(leaked("before "+text+" after"), s) {
				t.Errorf("%s is not found in %s", s, text)
			}
		}
	}
	if found := leaked("call 127.0.0.1:80: connection refused token-of-none"); len(found) > 0 {
		t.Errorf("found %q where there is none", found)
	}
}

// echo replies with a status and all that was sent, in the header and in the body.
func echo(status int) receiver.Reply {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://127.0.0.1:1"+r.RequestURI)
		w.Header().Set("Www-Authenticate", r.Header.Get("Authorization"))
		w.Header().Set("X-Echo", r.RequestURI)
		w.WriteHeader(status)
		fmt.Fprint(w, r.RequestURI, r.Host, r.Header)
	}
}

// say replies with a text that is made of the request.
func say(status int, text func(r *http.Request) string) receiver.Reply {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text(r))
	}
}

// refuse is an answer of Slack and of Telegram with something of the request in it.
func refuse(status int, something func(r *http.Request) string) receiver.Reply {
	return say(status, func(r *http.Request) string {
		text, _ := json.Marshal(something(r)) // of a string it does not fail
		return fmt.Sprintf(`{"ok":false,"error":%s,"error_code":%d,"description":%s,"needed":%s}`, text, max(status, 400), text, text)
	})
}

// notHTTP answers with what is made of the request instead of a response.
func notHTTP(format string) receiver.Reply {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = fmt.Fprintf(conn, format, r.RequestURI)
		_ = conn.Close()
	}
}

// failures are the replies of endpoints, each of which gets all secrets of its
// destinations, and may say them.
func failures() map[string]receiver.Reply {
	uri := func(r *http.Request) string { return r.RequestURI }
	auth := func(r *http.Request) string { return r.Header.Get("Authorization") }
	word := func(r *http.Request) string { return r.Header.Get("X-Word") }
	all := map[string]receiver.Reply{
		"says-word": refuse(200, word), "denies-word": refuse(400, word), "plain-word": say(404, word),
		"delayed": receiver.Header("Retry-After", "1800", echo(429)), "huge": receiver.HugeBody(400, 1<<20), "reset": receiver.Reset(),
		"early": receiver.CloseEarly(), "cut": receiver.CutBody(500), "hang": receiver.Hang(nil),
		"says-uri": refuse(200, uri), "says-auth": refuse(200, auth),
		"denies-uri": refuse(401, uri), "denies-auth": refuse(403, auth), "plain-uri": say(400, uri),
		"garbage": notHTTP("what is %s?\r\n\r\n"), "no-status": notHTTP("HTTP/1.1 %s\r\n\r\n"), "no-number": notHTTP("HTTP/1.1 abc%[1]s OK\r\n\r\n"),
		"bad-header": notHTTP("HTTP/1.1 200 OK\r\n%s\r\n\r\n"), "bad-length": notHTTP("HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n"),
		"bad-transfer": notHTTP("HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n"), "bad-version": notHTTP("HTTP%s 200 OK\r\n\r\n"),
		"long-header": notHTTP("HTTP/1.1 200 OK\r\nX: %s" + strings.Repeat("x", 100<<10) + "\r\n\r\n"),
		"odd-text":    notHTTP("HTTP/1.1 400 %[1]s\r\nContent-Length: 0\r\nX: %[1]s\r\n\r\n"),
	}
	for _, status := range []int{301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 407, 408, 409, 410, 413, 415, 422, 429, 451, 500, 501, 502, 503, 504, 599, 999} {
		all[fmt.Sprint("status-", status)] = echo(status)
	}
	return all
}

// hiding is a configuration under test: secrets from every place they can come from.
type hiding struct {
	text         strings.Builder
	destinations []string
	keys         string // of every destination
}

// newHiding writes down and exports the secrets.
func newHiding(t *testing.T, keys string) *hiding {
	t.Helper()
	folder := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	signing := base64.StdEncoding.EncodeToString([]byte("s1gning-T0ken-of-32-bytes-or-so!"))
	named := put("secrets.yml", "PATH_TOKEN: p4th-T0ken%2Fwith\nUSER: us3r-T0ken:passw0rd-T0ken%20x\nSLACK_PATH: T0/B0/sl4ck-path-T0ken\nSIGNING: whsec_"+signing+"\nWORD: wordlike_secret\n")
	file := put("token", "t3legram-bot-T0ken\n")
	t.Setenv("WALHERALD_TEST_QUERY", "qu3ry-T0ken%3D")
	t.Setenv("WALHERALD_TEST_HEADER", "Bearer h34der-T0ken/+=")
	h := &hiding{keys: keys}
	fmt.Fprintf(&h.text, `
secrets: {file: %q}
notifier:
  parking: {schedule: [1ms]}
  destinations:
`, named)
	t.Setenv("WALHERALD_TEST_BOT", file) // which only says where it is
	h.keys += `, maxAttempts: 2, backoff: [1ms], circuit: {failures: 2, openFor: 1h}, timeout: 250ms`
	return h
}

// add adds a destination of each kind that calls a host.
func (h *hiding) add(name, scheme, host, keys string) {
	private := ", allowPrivate: true"
	if strings.Contains(keys, "allowPrivate") {
		private = ""
	}
	for kind, own := range map[string]string{
		"webhook": `type: webhook, url: "` + scheme + `://${USER}@` + host + `/hook/${PATH_TOKEN}?key=${env:WALHERALD_TEST_QUERY}", signingSecrets: ["${SIGNING}"], headers: {Authorization: "${WALHERALD_TEST_HEADER}", X-Word: "${WORD}"}`,
		"hook":    `type: slack, url: "` + scheme + `://${USER}@` + host + `/services/${SLACK_PATH}?key=${env:WALHERALD_TEST_QUERY}", rate: 1000, headers: {X-Word: "${WORD}"}`,
		"bot":     `type: slack, url: "` + scheme + `://` + host + `/api/${PATH_TOKEN}", token: "xoxb-sl4ck-bot-T0ken", channel: C1, rate: 1000, headers: {X-Word: "${WORD}"}`,
		"chat":    `type: telegram, url: "` + scheme + `://${USER}@` + host + `/bot1:t3legram-path-T0ken/sendMessage", headers: {chat_id: t3legram-chat-T0ken, X-Word: "${WORD}"}, rate: 1000`,
		"person":  `type: telegram, url: "` + scheme + `://` + host + `", token: "1:${file:` + os.Getenv("WALHERALD_TEST_BOT") + `}", chatId: "7", headers: {Authorization: "${WALHERALD_TEST_HEADER}", X-Word: "${WORD}"}, rate: 1000`,
	} {
		h.destinations = append(h.destinations, name+"-"+kind)
		fmt.Fprintf(&h.text, "    - {name: %s-%s, %s%s%s%s}\n", name, kind, own, private, keys, h.keys)
	}
}

// all adds destinations with every failure.
func (h *hiding) all(t *testing.T) {
	t.Helper()
	for name, reply := range failures() {
		h.add(name, "http", receiver.New(t, receiver.Options{Answer: receiver.Always(reply)}).Addr(), "")
	}
	authority := testcert.New(t)
	cert, _ := authority.Issue("receiver")
	server := func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} } // which its receiver changes
	wanting := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool()}
	plain := receiver.New(t, receiver.Options{})
	h.add("stranger", "https", receiver.New(t, receiver.Options{TLS: server()}).Addr(), "")
	h.add("wanting", "https", receiver.New(t, receiver.Options{TLS: wanting}).Addr(), "")
	h.add("plain", "https", plain.Addr(), "")
	h.add("tls", "http", receiver.New(t, receiver.Options{TLS: server()}).Addr(), "")
	h.add("private", "http", plain.Addr(), ", allowPrivate: false")
	h.add("nobody", "http", strings.TrimPrefix(strings.TrimSuffix(nowhere(t), "/hook"), "http://"), "")
	h.add("nameless", "http", "nobody.invalid", "")
	h.add("template", "http", plain.Addr(), `, template: "{{.New.missing}}"`)
	h.rules()
}

func (h *hiding) rules() {
	h.text.WriteString("  rules:\n")
	fmt.Fprintf(&h.text, "    - {name: any, table: t, when: 'new.id < 3', destinations: [%s]}\n", strings.Join(h.destinations, ", "))
	fmt.Fprintf(&h.text, "    - {name: fails, table: t, when: 'new.v < 2', destinations: [%s]}\n", strings.Join(h.destinations, ", "))
}

// watched runs walherald with a log of all levels, as text and as JSON.
func watched(t *testing.T, cfg *config.Config) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{stop: stop, ended: make(chan error, 1), log: newJournal()}
	options := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
	log := slog.New(slog.NewMultiHandler(slog.NewTextHandler(r.log, options), slog.NewJSONHandler(r.log, options)))
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- Run(ctx, cfg, Options{Version: "test", Log: log})
	}()
	t.Cleanup(func() { stop(); <-done })
	return r
}

// utterance is one thing that comes out of walherald.
type utterance struct{ from, text string }

// shown is what printing a configuration, or what is made of it, shows.
func shown(t *testing.T, cfg *config.Config) []utterance {
	t.Helper()
	values := []any{cfg, *cfg, cfg.Notifier, &cfg.Notifier, cfg.Notifications()}
	for _, n := range cfg.Notifications() {
		sender, err := newSender(cfg, n)
		if err != nil {
			t.Fatal(err)
		}
		if err := sender.Close(); err != nil {
			t.Error(err)
		}
		values = append(values, n.Destination, &n.Destination, sender)
	}
	var all []utterance
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			all = append(all, utterance{fmt.Sprintf("%s of %T", verb, v), fmt.Sprintf(verb, v)})
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
		}
		all = append(all, utterance{fmt.Sprintf("JSON of %T", v), string(text)})
	}
	return append(all, utterance{"warnings", strings.Join(cfg.Warnings(), "\n")})
}

// told is all that a running walherald and its commands say.
func told(t *testing.T, cfg *config.Config, dsn string, r *running) []utterance {
	t.Helper()
	var all []utterance
	add := func(from string, v any) { all = append(all, utterance{from, fmt.Sprintf("%+v", v)}) }
	for _, path := range []string{"/ready", "/healthz", "/metrics"} {
		text := get(t.Context(), t, fmt.Sprintf("http://127.0.0.1:%d%s", cfg.Listener.ServerPort, path))
		if path != "/healthz" && !strings.Contains(text, "denies-uri-webhook") {
			t.Errorf("%s tells nothing of a destination: %s", path, text)
		}
		add(path, text)
	}
	add("check", Check(t.Context(), cfg))
	options := ParkedOptions{Log: slog.New(slog.NewTextHandler(r.log, nil)), Wait: time.Second}
	listed, err := ListParked(t.Context(), cfg, parking.Filter{}, options)
	add("parked list", fmt.Sprintf("%+v %v", listed, err))
	for i := range listed[:min(len(listed), 10)] {
		got, err := GetParked(t.Context(), cfg, listed[i].ID, parking.Filter{Destination: listed[i].Destination}, options)
		for j := range got {
			got[j].Payload = nil
		}
		add("parked show", fmt.Sprintf("%+v %v", got, err))
	}
	if query(t, dsn, "SELECT count(*)::text FROM information_schema.columns WHERE table_schema = 'walherald' AND table_name = 'parked' AND column_name = 'reason'") == "1" {
		err := RetryParked(t.Context(), cfg, parking.Filter{Limit: 1}, options, func(p notifier.Parked, err error) { add("parked retry", err) })
		add("parked retry", err)
		add("the table", query(t, dsn, "SELECT coalesce(json_agg(to_jsonb(p) - 'payload' - 'key'), '[]')::text FROM walherald.parked p"))
	}
	r.stop()
	add("the error of Run", r.end(t))
	text, _ := r.log.read()
	add("the log", text)
	return all
}

// keep holds none of the outputs to have a secret in it.
func keep(t *testing.T, all []utterance) {
	t.Helper()
	for _, out := range all {
		for _, s := range leaked(out.text) {
			at := max(strings.Index(strings.ToLower(out.text), strings.ToLower(s)), 0)
			t.Fatalf("%s shows %s: …%s…", out.from, s, out.text[max(0, at-200):min(len(out.text), at+100)])
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	h := newHiding(t, "")
	h.add("any", "http", "127.0.0.1:1", "")
	h.rules()
	cfg, _ := notifying(t, h.text.String())
	keep(t, shown(t, cfg))
}

func TestSecretsComeOutOfNothing(t *testing.T) {
	for mode, keys := range map[string]string{
		"parked": ", onFailure: park", "dropped": ", onFailure: drop", "held": ", onFailure: hold", "parking broken": ", onFailure: park",
	} {
		t.Run(mode, func(t *testing.T) {
			h := newHiding(t, keys)
			h.all(t)
			cfg, dsn := notifying(t, h.text.String())
			cfg.Listener.DrainTimeout = 100 * time.Millisecond
			port, err := child.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			cfg.Listener.ServerPort, cfg.Monitoring.PromAddr = port, fmt.Sprintf(":%d", port)
			if mode == "parking broken" {
				execute(t, dsn, "CREATE SCHEMA walherald; CREATE TABLE walherald.parked (something int)")
			}
			r := watched(t, cfg)
			r.log.await(t, "streaming")
			execute(t, dsn, "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 3) i")
			h.settled(t, cfg, dsn, mode)
			keep(t, told(t, cfg, dsn, r))
		})
	}
}

// settled waits until every destination has failed as far as it does.
func (h *hiding) settled(t *testing.T, cfg *config.Config, dsn, mode string) {
	t.Helper()
	switch mode {
	case "parked", "dropped":
		awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	default: // each has at least the event that it cannot judge
		eventually(t, "all destinations to be held", func(ctx context.Context) (bool, string) {
			text := get(ctx, t, fmt.Sprintf("http://127.0.0.1:%d/ready", cfg.Listener.ServerPort))
			for _, name := range h.destinations {
				if !strings.Contains(text, `"name":"`+name+`","ready":false`) {
					return false, name + " is not"
				}
			}
			return true, ""
		})
	}
}
