package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Secrets of receivers.
const (
	known   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	foreign = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// listening starts a receiver that knows a secret; it is as if the shop had opened an
// hour ago. The test closes it.
func listening(t *testing.T, f failures) *receiver {
	t.Helper()
	f.every = 24 * time.Hour
	r, err := startReceiver(known, f, func(arrival) {})
	if err != nil {
		t.Fatal(err)
	}
	r.open = time.Now().Add(-time.Hour)
	t.Cleanup(r.close)
	return r
}

// never is a courier who always works, always one who never does.
var (
	never  = failures{}
	always = failures{destination: "courier", lasting: 24 * time.Hour}
)

// hook is a webhook.
type hook struct {
	id, body string
}

// shipped is the webhook of the n-th change, which tells that an order was shipped.
func shipped(n, order int, committed time.Time) hook {
	id := fmt.Sprintf("00000000-0000-8000-8000-%012d", n)
	return hook{id, fmt.Sprintf(`{"id":%q,"schema":"public","table":"orders","action":"UPDATE","commitTime":%q,
		"data":{"id":%d,"status":"shipped","sku":"lamp","quantity":2,"version":3},"dataOld":{"id":%d,"status":"paid"}}`,
		id, committed.UTC().Format(time.RFC3339Nano), order, order)}
}

// post sends a webhook, signed with the secret, and returns the status.
func (r *receiver) post(t *testing.T, destination, secret string, h hook) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url()+"/hooks/"+destination, strings.NewReader(h.body))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	req.Header.Set("webhook-id", h.id)
	req.Header.Set("webhook-timestamp", fmt.Sprint(at.Unix()))
	req.Header.Set("webhook-signature", sign(t, secret, h, at))
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// last returns the newest arrival.
func (r *receiver) last() arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent[len(r.recent)-1]
}

func TestSignedWebhookIsAcceptedAndTold(t *testing.T) {
	r := listening(t, never)
	h := shipped(1, 17, time.Now())
	if status := r.post(t, "courier", known, h); status != http.StatusNoContent {
		t.Errorf("status %d", status)
	}
	a := r.last()
	if !a.Signed || a.Rule != orderShipped || a.Words != "order 17 shipped: 2 × lamp" || a.Attempt != 1 || string(a.Payload) != h.body {
		t.Errorf("it is shown as %+v", a)
	}
	if rec := r.books(); !rec.accepted[delivery{"courier", h.id}] || len(rec.accepted) != 1 || rec.signatures+rec.strange+rec.backward != 0 {
		t.Errorf("the records are %+v", rec)
	}
}

func TestForgedWebhookIsRefusedAndCounted(t *testing.T) {
	r := listening(t, never)
	if status := r.post(t, "courier", foreign, shipped(1, 17, time.Now())); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
	if rec := r.books(); rec.signatures != 1 || len(rec.accepted) != 0 || r.last().Payload != nil {
		t.Errorf("the records are %+v", rec)
	}
}

func TestEventNobodyAskedForIsRefusedAndCounted(t *testing.T) {
	r := listening(t, never)
	h := shipped(1, 17, time.Now())
	for i, wrong := range []hook{
		{h.id, strings.Replace(h.body, `"paid"`, `"new"`, 1)},
		{h.id, strings.Replace(h.body, "orders", "invoices", 1)},
		{"another", h.body},
		{h.id, "no JSON"},
	} {
		if status := r.post(t, "courier", known, wrong); status != http.StatusUnprocessableEntity {
			t.Errorf("%v: status %d", wrong, status)
		}
		if rec := r.books(); rec.strange != i+1 || len(rec.accepted) != 0 {
			t.Errorf("the records are %+v", rec)
		}
	}
}

func TestEndpointThatIsOutOfOrderRefusesAndLaterAccepts(t *testing.T) {
	r := listening(t, always)
	h := shipped(1, 17, time.Now())
	for attempt := 1; attempt <= 2; attempt++ {
		if status := r.post(t, "courier", known, h); status != http.StatusServiceUnavailable || r.last().Attempt != attempt {
			t.Errorf("attempt %d: %+v", attempt, r.last())
		}
	}
	if status := r.post(t, "crm", known, h); status != http.StatusNoContent {
		t.Errorf("status %d of another endpoint", status)
	}
	r.fails = never
	if status := r.post(t, "courier", known, h); status != http.StatusNoContent || r.last().Attempt != 3 || r.last().Repeat {
		t.Errorf("attempt 3: %+v", r.last())
	}
	if rec := r.books(); rec.refused != 2 || rec.repeated != 0 || len(rec.accepted) != 2 {
		t.Errorf("the records are %+v", rec)
	}
}

func TestRepeatIsAcceptedAndCounted(t *testing.T) {
	r := listening(t, never)
	h := shipped(1, 17, time.Now())
	for range 2 {
		if status := r.post(t, "courier", known, h); status != http.StatusNoContent {
			t.Errorf("status %d", status)
		}
	}
	if rec := r.books(); !r.last().Repeat || rec.repeated != 1 || rec.rules[orderShipped].Accepted != 1 || rec.backward != 0 {
		t.Errorf("the records are %+v", rec)
	}
}

func TestOlderAfterNewerIsOutOfOrderOnlyForOneRowAtOnePlace(t *testing.T) {
	r := listening(t, never)
	now := time.Now()
	r.post(t, "courier", known, shipped(3, 17, now))
	r.post(t, "courier", known, shipped(1, 18, now))
	r.post(t, "crm", known, shipped(1, 17, now))
	if rec := r.books(); rec.backward != 0 {
		t.Errorf("the records are %+v", rec)
	}
	r.post(t, "courier", known, shipped(2, 17, now))
	if rec := r.books(); rec.backward != 1 || rec.late != 0 {
		t.Errorf("the records are %+v", rec)
	}
}

func TestOlderAfterNewerIsExcusedOnlyIfItMayHaveBeenParked(t *testing.T) {
	r := listening(t, always)
	now := time.Now()
	r.post(t, "courier", known, shipped(9, 99, now))
	r.fails = never
	r.post(t, "courier", known, shipped(4, 17, now))
	r.post(t, "courier", known, shipped(2, 17, now))
	if rec := r.books(); rec.late != 1 || rec.backward != 0 || !r.last().Late {
		t.Errorf("committed at the refusal: %+v", rec)
	}
	r.post(t, "courier", known, shipped(3, 17, now.Add(excuse+time.Minute)))
	if rec := r.books(); rec.late != 1 || rec.backward != 1 {
		t.Errorf("committed long after the refusal: %+v", rec)
	}
}

func TestStoriesAreToldInWords(t *testing.T) {
	for body, want := range map[string]string{
		`{"table":"users","action":"UPDATE","data":{"id":3,"name":"Ada","plan":"premium"},"dataOld":{"plan":"free"}}`: "plan-upgraded: Ada upgraded to premium (user 3)",
		`{"table":"users","action":"DELETE","data":{},"dataOld":{"id":3,"name":"Ada"}}`:                               "user-deleted: Ada closed the account (user 3)",
		`{"table":"orders","action":"INSERT","data":{"id":4,"sku":"lamp","quantity":2,"total":25.90},"dataOld":{}}`:   "order-placed: order 4: 2 × lamp for 25.90",
		`{"table":"inventory","action":"UPDATE","data":{"sku":"lamp","stock":4},"dataOld":{"stock":5}}`:               "low-stock: lamp running low: 4 left",
		`{"table":"inventory","action":"UPDATE","data":{"sku":"lamp","stock":3},"dataOld":{"stock":4}}`:               "",
		`{"table":"inventory","action":"UPDATE","data":{"sku":"lamp","stock":5},"dataOld":{"stock":6}}`:               "",
		`{"table":"users","action":"UPDATE","data":{"plan":"premium"},"dataOld":{"plan":"premium"}}`:                  "",
		`{"table":"orders","action":"DELETE","data":{},"dataOld":{"id":4}}`:                                           "",
	} {
		var e event
		if err := e.read("", []byte(body)); err != nil {
			t.Fatal(err)
		}
		rule, words, err := e.story()
		if got := rule + ": " + words; (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
}
