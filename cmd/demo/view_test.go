package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/walherald/walherald/publisher"
)

func sign(t *testing.T, secret string, h hook, at time.Time) string {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := w.Sign(h.id, at, []byte(h.body))
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// answer is what a GET brings.
type answer struct {
	status int
	header http.Header
	body   io.Reader
}

// get asks for a path as a page does that knows lastID; the test's end closes the body.
func (r *receiver) get(t *testing.T, path, lastID string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return answer{resp.StatusCode, resp.Header, resp.Body}
}

// next reads views of a stream until one has arrivals.
func next(t *testing.T, stream *bufio.Scanner) view {
	t.Helper()
	for stream.Scan() {
		data, ok := strings.CutPrefix(stream.Text(), "data: ")
		if !ok {
			continue
		}
		var v view
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			t.Fatal(err)
		}
		if len(v.Arrivals) > 0 {
			return v
		}
	}
	t.Fatalf("the stream has ended: %v", stream.Err())
	return view{}
}

func TestPageIsToldOfEachRequestOnce(t *testing.T) {
	r := listening(t, always)
	now := time.Now()
	r.post(t, "crm", known, shipped(1, 17, now))
	stream := bufio.NewScanner(r.get(t, "/events", "").body)
	first := next(t, stream)
	r.post(t, "courier", known, shipped(2, 18, now))
	second := next(t, stream)
	if len(first.Arrivals) != 1 || first.Arrivals[0].N != 1 || first.Accepted != 1 || len(first.Rules) != 5 {
		t.Errorf("first it is told %+v", first)
	}
	if len(second.Arrivals) != 1 || second.Arrivals[0].Status != 503 || second.Refused != 1 || !second.Endpoints[2].Fails {
		t.Errorf("then it is told %+v", second)
	}
	again := next(t, bufio.NewScanner(r.get(t, "/events", "1").body))
	if len(again.Arrivals) != 1 || again.Arrivals[0].N != 2 {
		t.Errorf("a page that knows the first is told %+v", again)
	}
}

func TestReceiverEndsWhilePagesListen(t *testing.T) {
	r := listening(t, never)
	body := r.get(t, "/events", "").body
	r.close()
	if _, err := io.Copy(io.Discard, body); err != nil && !strings.Contains(err.Error(), "EOF") {
		t.Errorf("the stream ends with %v", err)
	}
}

func TestPageIsWholeAndAsksNobodyElse(t *testing.T) {
	r := listening(t, never)
	outside := regexp.MustCompile(`(https?:)?//[a-z]|@import|url\(`)
	for path, want := range map[string]string{"/": "text/html", "/style.css": "text/css", "/script.js": "text/javascript"} {
		resp := r.get(t, path, "")
		text, err := io.ReadAll(resp.body)
		if err != nil || resp.status != http.StatusOK || !strings.HasPrefix(resp.header.Get("Content-Type"), want) {
			t.Errorf("%s: %v, status %d, %s", path, err, resp.status, resp.header.Get("Content-Type"))
		}
		if found := outside.Find(text); found != nil {
			t.Errorf("%s has %q", path, found)
		}
		if !strings.Contains(resp.header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s may load from elsewhere", path)
		}
	}
}

func TestWebhooksArePrintedWithWhatIsRemarkable(t *testing.T) {
	var out bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	s := screenTo(&out, false)
	s.webhook(arrival{At: at, Destination: "crm", Words: "Ada upgraded", Status: 204, Attempt: 1, After: 0.00123})
	s.webhook(arrival{At: at, Destination: "courier", Words: "order 1 shipped", Status: 204, Attempt: 3, Late: true})
	s.webhook(arrival{At: at, Destination: "courier", Status: 401, err: errSignature})
	want := "03:04:05.006  WEBHOOK → crm       Ada upgraded  204  1.2ms\n" +
		"03:04:05.006  WEBHOOK → courier   order 1 shipped  204  attempt 3  after newer ones of its row\n" +
		"03:04:05.006  WEBHOOK → courier     401  the signature is wrong\n"
	if out.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestWarningsOfTheLogAreShownAmongTheEvents(t *testing.T) {
	var out bytes.Buffer
	log := screenTo(&out, false).log()
	log.Info("nothing to see")
	log.Warn("destination is taken for down", "destination", "courier")
	if !regexp.MustCompile(`^[\d:.]{12}  LOG     level=WARN msg="destination is taken for down" destination=courier\n$`).Match(out.Bytes()) {
		t.Errorf("printed %q", out.String())
	}
}

func TestEveryActionHasAColour(t *testing.T) {
	for a := publisher.Insert; a <= publisher.LogicalMessage; a++ {
		if colours[a] == "" {
			t.Errorf("%v has none", a)
		}
	}
}
