package webhook

import (
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// Secrets of receivers.
const (
	signing config.Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newer   config.Secret = "C2FVsBQIhrscChlQIMV+b5sSYspob7oDvN2Yy7pc7hY="
	foreign config.Secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// verify asks the library of Standard Webhooks whether a receiver that knows this
// secret takes the request.
func verify(t *testing.T, r receiver.Request, known config.Secret) error {
	t.Helper()
	hook, err := standardwebhooks.NewWebhook(known.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return hook.Verify(r.Body, r.Header)
}

func TestReceiversTakeSignaturesOfTheirSecrets(t *testing.T) {
	for name, tt := range map[string]struct {
		signs       []config.Secret
		take, doNot []config.Secret
	}{
		"one":      {[]config.Secret{signing}, []config.Secret{signing}, []config.Secret{newer, foreign}},
		"two":      {[]config.Secret{newer, signing}, []config.Secret{signing, newer}, []config.Secret{foreign}},
		"rotation": {[]config.Secret{newer}, []config.Secret{newer}, []config.Secret{signing, foreign}},
		"none":     {nil, nil, []config.Secret{signing}},
	} {
		for _, batch := range []int{1, 2} {
			r := receiver.New(t, receiver.Options{})
			n := destination(r.URL())
			n.SigningSecrets, n.Batch = tt.signs, batch
			ds := []notifier.Delivery{delivery(t, 1), delivery(t, 2)}[:batch]
			if err := open(t, n, plain).Send(t.Context(), ds); err != nil {
				t.Fatal(err)
			}
			got := r.Requests()[0]
			for _, known := range tt.take {
				if err := verify(t, got, known); err != nil {
					t.Errorf("%s, batch %d: %v", name, batch, err)
				}
			}
			for _, known := range tt.doNot {
				if verify(t, got, known) == nil {
					t.Errorf("%s, batch %d: a secret that does not sign is verified", name, batch)
				}
			}
			if got.Header.Get("Webhook-Id") == "" || got.Header.Get("Webhook-Timestamp") == "" {
				t.Errorf("%s: the header is %v", name, got.Header)
			}
		}
	}
}

func TestTheFirstSecretSignsFirst(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	n := destination(r.URL())
	n.SigningSecrets = []config.Secret{newer, signing}
	s := open(t, n, plain)
	at := time.Unix(1_700_000_000, 0)
	s.now = func() time.Time { return at }
	d := delivery(t, 1)
	if err := s.Send(t.Context(), []notifier.Delivery{d}); err != nil {
		t.Fatal(err)
	}
	var want string
	for _, known := range n.SigningSecrets {
		hook, err := standardwebhooks.NewWebhook(known.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		signature, err := hook.Sign(d.ID.String(), at, d.Payload)
		if err != nil {
			t.Fatal(err)
		}
		want += " " + signature
	}
	if got := r.Requests()[0].Header.Get("Webhook-Signature"); got != want[1:] {
		t.Errorf("the signature is %q, want %q", got, want[1:])
	}
}

func TestAttemptsHaveOneIDAndTheirOwnTime(t *testing.T) {
	r := receiver.New(t, receiver.Options{Answer: receiver.First(1, receiver.Status(503), receiver.Status(200))})
	n := destination(r.URL())
	n.SigningSecrets = []config.Secret{signing}
	now := time.Unix(1_700_000_000, 0)
	for attempt, accepted := range []bool{false, true} {
		s := open(t, n, plain) // as after a restart
		s.now = func() time.Time { return now.Add(time.Duration(attempt) * time.Minute) }
		if err := s.Send(t.Context(), []notifier.Delivery{delivery(t, 1)}); (err == nil) != accepted {
			t.Errorf("attempt %d: %v", attempt, err)
		}
	}
	first, second := r.Requests()[0].Header, r.Requests()[1].Header
	if id := delivery(t, 1).ID.String(); first.Get("Webhook-Id") != id || second.Get("Webhook-Id") != id {
		t.Errorf("the ids are %q and %q", first.Get("Webhook-Id"), second.Get("Webhook-Id"))
	}
	for i, h := range []string{first.Get("Webhook-Timestamp"), second.Get("Webhook-Timestamp")} {
		if want := strconv.FormatInt(now.Unix()+int64(i)*60, 10); h != want {
			t.Errorf("attempt %d is of %s, want %s", i, h, want)
		}
	}
	if first.Get("Webhook-Signature") == second.Get("Webhook-Signature") {
		t.Error("the time is not signed")
	}
}

func TestTheIDOfABatchIsThatOfItsEvents(t *testing.T) {
	a, b, c := delivery(t, 1), delivery(t, 2), delivery(t, 3)
	batches := [][]notifier.Delivery{{a}, {a, b}, {b, a}, {a, b, c}, {a, c}}
	seen := make(map[string]bool)
	for _, ds := range batches {
		id := requestID(ds)
		if id != requestID(ds) || seen[id] {
			t.Errorf("%s is not the id of one batch", id)
		}
		seen[id] = true
		if len(id) != 36 || id[14] != '8' {
			t.Errorf("%s is no UUID of version 8", id)
		}
	}
	if requestID(batches[0]) != a.ID.String() {
		t.Error("an event alone has another id in a batch")
	}
	var none publisher.ID
	if seen[none.String()] {
		t.Error("an id is zero")
	}
}
