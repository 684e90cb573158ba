package service

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/pgserver/child"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/metrics/console"
)

// more are what must come out nowhere beside the secrets of destinations: other
// secrets, and what stands in rows.
var more = []string{
	"d4tabase-T0ken", "br0ker-T0ken", "br0ker-url-T0ken", "m0nitoring-T0ken", "r0w-key-M4rker", "r0w-value-M4rker", "r0w-old-M4rker",
}

// fetch asks page and API, with the token if there is one.
func fetch(t *testing.T, method, url, token, body string) (code int, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, fmt.Sprint(res.Header, string(all))
}

// streamed returns what the page is told until n times of how walherald does.
func streamed(t *testing.T, url string, n int) (text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	for lines := bufio.NewReader(res.Body); n > 0; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if text += line; line == "event: status\n" {
			n--
		}
	}
	return text
}

// tried reports whether, by /status, each of n outputs has failed or been through with
// what there was; if not, it says which one has not.
func tried(status string, n int) (all bool, missing string) {
	var s console.Status
	if err := json.Unmarshal([]byte(status), &s); err != nil || len(s.Outputs) != n {
		return false, status
	}
	for _, o := range s.Outputs {
		if o.LastError == "" && o.Published == 0 {
			missing += " " + o.Name
		}
	}
	return missing == "", "not yet:" + missing
}

// tellsTheRow makes an answer that repeats what was sent, rows and all, in every place
// that a response has.
func tellsTheRow(status int) receiver.Answer {
	return func(r *receiver.Request) receiver.Reply {
		text := strings.NewReplacer("\r", "", "\n", "").Replace(string(r.Body))
		return receiver.Header("X-Echo", text, receiver.Header("Location", "http://127.0.0.1:1/?"+text, refuse(status, func(*http.Request) string { return text })))
	}
}

// leaky is a configuration whose outputs all fail, in ways that repeat what they got.
func leaky(t *testing.T, keys string, port int) (h *hiding, echoes []*receiver.Receiver) {
	t.Helper()
	h = newHiding(t, keys)
	replies := failures()
	for _, name := range []string{"says-uri", "denies-uri", "denies-auth", "plain-uri", "garbage", "no-number", "status-302", "status-503", "reset"} {
		h.add(name, "http", receiver.New(t, receiver.Options{Answer: receiver.Always(replies[name])}).Addr(), "")
	}
	for _, status := range []int{200, 307, 400, 500} {
		r := receiver.New(t, receiver.Options{Answer: tellsTheRow(status)})
		echoes = append(echoes, r)
		h.add(fmt.Sprint("row-", status), "http", r.Addr(), "")
	}
	h.add("nobody", "http", strings.TrimPrefix(strings.TrimSuffix(nowhere(t), "/hook"), "http://"), "")
	fmt.Fprintf(&h.text, `  rules:
    - {name: any, table: m, destinations: [%[1]s]}
    - {name: fails, table: m, when: 'new.v < 2', destinations: [%[1]s]}
    - {name: breaks, table: m, when: 'int(old.v) > 2', destinations: [%[1]s]}
publisher: {type: nats, topic: cdc, address: "nats://someone:br0ker-url-T0ken@%[2]s", user: someone, password: br0ker-T0ken}
monitoring: {address: "127.0.0.1:%[3]d", promAddr: "127.0.0.1:%[3]d", token: m0nitoring-T0ken, pprof: true}
`, strings.Join(h.destinations, ", "), strings.TrimPrefix(strings.TrimSuffix(nowhere(t), "/hook"), "http://"), port)
	return h, echoes
}

// publicly is all that is shown at the address of the page, to who has the token and to
// who does not.
func publicly(t *testing.T, url string) (all []utterance) {
	t.Helper()
	const token = "m0nitoring-T0ken"
	for _, path := range []string{
		"/", "/status", "/stats", "/health", "/healthz", "/ready", "/ready?standby=ok", "/metrics", "/log/level", "/openapi.yaml",
		"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1",
	} {
		_, text := fetch(t, http.MethodGet, url+path, "", "")
		all = append(all, utterance{path, text})
	}
	for path, method := range map[string]string{
		"/parked?limit=1000": http.MethodGet, "/parked/retry": http.MethodPost, "/debug/on": http.MethodPost, "/log/level": http.MethodPut,
	} {
		body := ""
		switch method {
		case http.MethodPost:
			body = `{"destination":"row-400-webhook"}`
		case http.MethodPut:
			body = `{"level":"debug"}`
		}
		code, text := fetch(t, method, url+path, token, body)
		if code != http.StatusOK && !strings.HasPrefix(path, "/parked") {
			t.Errorf("%s %s answers %d and %s", method, path, code, text)
		}
		all = append(all, utterance{method + " " + path, text})
		if code, text := fetch(t, method, url+path, "another-"+token[:6], body); code == http.StatusOK {
			t.Errorf("%s %s takes another token", method, path)
		} else {
			all = append(all, utterance{"refused " + path, text})
		}
	}
	return append(all, utterance{"/events", streamed(t, url+"/events", 2)})
}

func TestPageAndAPIShowNeitherRowsNorSecrets(t *testing.T) {
	known := secrets
	secrets = slices.Concat(known, more)
	defer func() { secrets = known }()
	for mode, keys := range map[string]string{"parked": ", onFailure: park", "held": ", onFailure: hold"} {
		t.Run(mode, func(t *testing.T) {
			port, err := child.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			h, echoes := leaky(t, keys, port)
			cfg, dsn := notifying(t, h.text.String())
			cfg.Database.Password, cfg.Listener.DrainTimeout = "d4tabase-T0ken", 100*time.Millisecond
			execute(t, dsn, "CREATE TABLE m (k text PRIMARY KEY, v text); ALTER TABLE m REPLICA IDENTITY FULL")
			url := fmt.Sprintf("http://127.0.0.1:%d", port)
			r := watched(t, cfg)
			r.log.await(t, "streaming")
			execute(t, dsn, "INSERT INTO m VALUES ('r0w-key-M4rker', 'r0w-old-M4rker'); UPDATE m SET v = 'r0w-value-M4rker'; DELETE FROM m")
			eventually(t, "every output to have tried", func(ctx context.Context) (bool, string) {
				return tried(get(ctx, t, url+"/status"), len(h.destinations)+1)
			})
			all := publicly(t, url)
			r.stop()
			all = append(all, utterance{"the error of Run", fmt.Sprint(r.end(t))})
			text, _ := r.log.read()
			keep(t, append(all, utterance{"the log", text}))
			h.wasTold(t, mode, all, echoes)
		})
	}
}

// wasTold holds the test to have had something to find: endpoints that knew the rows, and
// answers that tell of each destination.
func (h *hiding) wasTold(t *testing.T, mode string, all []utterance, echoes []*receiver.Receiver) {
	t.Helper()
	for _, r := range echoes {
		if !slices.ContainsFunc(r.Requests(), func(r receiver.Request) bool { return strings.Contains(string(r.Body), "r0w-key-M4rker") }) {
			t.Errorf("%s was not told of the row", r.URL())
		}
	}
	for _, out := range all {
		switch out.from {
		case "/status", "/stats", "/ready", "/metrics", "/events":
			for _, name := range append([]string{"nats"}, h.destinations...) {
				if !strings.Contains(out.text, name) {
					t.Errorf("%s does not tell of %s", out.from, name)
				}
			}
		case "GET /parked?limit=1000":
			if mode == "parked" && strings.Count(out.text, `"reason"`) < len(h.destinations) {
				t.Errorf("%d notifications are parked: %s", strings.Count(out.text, `"reason"`), out.text)
			}
		}
	}
}
