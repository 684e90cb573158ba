package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

func TestAnEventIsTheBodyAsItIs(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	n := destination(r.URL())
	n.Method = http.MethodPut
	s := open(t, n, plain)
	d := delivery(t, 1)
	if err := s.Send(t.Context(), []notifier.Delivery{d}); err != nil {
		t.Fatal(err)
	}
	got := r.Requests()[0]
	if got.Method != http.MethodPut || got.Path != "/"+secret || got.Query != "token="+secret || string(got.Body) != string(d.Payload) {
		t.Errorf("it came as %+v", got)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Content-Encoding": "", "User-Agent": "walherald", "X-Key": secret,
		"Webhook-Id": d.ID.String(), "Webhook-Signature": "", "Ce-Id": "", "Walherald-Id": "",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
}

func TestNothingToSendIsNoRequest(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	s := open(t, destination(r.URL()), plain)
	if err := s.Send(t.Context(), nil); err != nil || r.Count() != 0 {
		t.Errorf("%d requests: %v", r.Count(), err)
	}
	if err := s.Send(t.Context(), []notifier.Delivery{delivery(t, 1), delivery(t, 2)}); !publisher.IsPermanent(err) || r.Count() != 0 {
		t.Errorf("two events without batch: %d requests: %v", r.Count(), err)
	}
}

func TestHeadersOfTheDestinationReplaceAllButWhatTheRequestIsKnownBy(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	n := destination(r.URL())
	n.Headers = map[string]config.Secret{
		"content-type": "application/x-own", "user-agent": "own", "Host": "own.test", "Authorization": "Bearer own",
		"Content-Encoding": "own", "webhook-id": "own", "webhook-timestamp": "own", "Webhook-Signature": "own", "ce-id": "own", "ce-extra": "own",
	}
	s := open(t, n, publisher.Content{Type: "application/json", Encoding: "gzip", CloudEvents: &publisher.CloudEvents{Source: "/s"}})
	d := delivery(t, 1)
	if err := s.Send(t.Context(), []notifier.Delivery{d}); err != nil {
		t.Fatal(err)
	}
	got := r.Requests()[0]
	if got.Host != "own.test" {
		t.Errorf("the host is %s", got.Host)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/x-own", "User-Agent": "own", "Authorization": "Bearer own", "Ce-Extra": "own",
		"Content-Encoding": "gzip", "Webhook-Id": d.ID.String(), "Webhook-Signature": "", "Ce-Id": d.ID.String(),
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if got.Header.Get("Webhook-Timestamp") == "own" {
		t.Error("the time is not that of the attempt")
	}
}

func TestAttributesOfCloudEventsAreHeadersInBinaryMode(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	s := open(t, destination(r.URL()), publisher.Content{
		Type: "application/json", CloudEvents: &publisher.CloudEvents{Source: "/walherald/shop", TypePrefix: "walherald."},
	})
	d := delivery(t, 1)
	d.Table, d.Key = "public.Ärger \"50%\"\n", []byte("a\x00b~!")
	if err := s.Send(t.Context(), []notifier.Delivery{d}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": d.ID.String(), "Ce-Source": "/walherald/shop", "Ce-Type": "walherald.insert",
		"Ce-Subject": "public.%C3%84rger%20%2250%25%22%0A", "Ce-Time": "2023-11-14T22:13:20.000000Z", "Ce-Partitionkey": "a%00b~!",
		"Walherald-Id": d.ID.String(), "Walherald-Table": "public.%C3%84rger%20%2250%25%22%0A", "Walherald-Lsn": "0/16B3748",
		"Content-Type": "application/json",
	} {
		if got := r.Requests()[0].Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestABatchIsAnArray(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	n := destination(r.URL())
	n.Batch = 3
	for _, tt := range []struct {
		kind, want string
		numbers    []uint64
		body       string
	}{
		{"application/json", "application/json", []uint64{1}, `[{"n":1,"private":"row data"}]`},
		{"application/cloudevents+json", "application/cloudevents-batch+json", []uint64{1, 2}, `[{"n":1,"private":"row data"},{"n":2,"private":"row data"}]`},
	} {
		s := open(t, n, publisher.Content{Type: tt.kind})
		var ds []notifier.Delivery
		for _, number := range tt.numbers {
			ds = append(ds, delivery(t, number))
		}
		if err := s.Send(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
		got := r.Requests()[r.Count()-1]
		if string(got.Body) != tt.body || got.Header.Get("Content-Type") != tt.want {
			t.Errorf("%s came as %s: %s", tt.kind, got.Header.Get("Content-Type"), got.Body)
		}
	}
}

func TestWhatCannotGoTogetherIsRefusedAtTheStart(t *testing.T) {
	content := func(encoding string, ce *publisher.CloudEvents) publisher.Content {
		return publisher.Content{Type: "application/json", Encoding: encoding, CloudEvents: ce}
	}
	for want, tt := range map[string]struct {
		change  func(n *config.Notification)
		content publisher.Content
	}{
		".batch: bodies compressed with gzip": {func(n *config.Notification) { n.Batch = 2 }, content("gzip", nil)},
		".batch: the attributes":              {func(n *config.Notification) { n.Batch = 2 }, content("", &publisher.CloudEvents{})},
		".batch: a template":                  {func(n *config.Notification) { n.Batch, n.Template = 2, "x" }, plain},
		".template: makes bodies":             {func(n *config.Notification) { n.Template = "x" }, content("zstd", nil)},
		".template":                           {func(n *config.Notification) { n.Template = "{{.New" }, plain},
		".headers[Content-Type]": {func(n *config.Notification) {
			n.Template, n.Headers = "x", map[string]config.Secret{"Content-Type": "hunter2/"}
		}, plain},
		".url: must be":                       {func(n *config.Notification) { n.URL = "hunter2" }, plain},
		".url: must be an http":               {func(n *config.Notification) { n.URL = "ftp://hunter2" }, plain},
		".signingSecrets[1]: is no base64":    {func(n *config.Notification) { n.SigningSecrets = []config.Secret{"whsec_MDEy", "hunter2!"} }, plain},
		".caCert: open /missing.pem: no such": {func(n *config.Notification) { n.CACert = "/missing.pem" }, plain},
	} {
		n := destination("http://example.test")
		tt.change(&n)
		_, err := New(n, tt.content)
		if err == nil || !strings.Contains(err.Error(), n.Section+want) {
			t.Errorf("%v, want %s%s", err, n.Section, want)
		}
		checkSilent(t, err)
	}
}

func TestAnswersSayWhetherAnotherAttemptMayHelp(t *testing.T) {
	for _, tt := range []struct {
		reply     receiver.Reply
		want      string // empty means accepted
		permanent bool
		after     time.Duration
	}{
		{receiver.Status(200), "", false, 0},
		{receiver.Status(202), "", false, 0},
		{receiver.Status(204), "", false, 0},
		{receiver.SlowBody(200, time.Hour), "", false, 0},
		{receiver.HugeBody(200, -1), "", false, 0},
		{receiver.Redirect("http://hunter2.test/"), " answers 307 Temporary Redirect: ", true, 0},
		{receiver.Body(400, "text/plain", secret), " answers 400 Bad Request", true, 0},
		{receiver.Status(401), " answers 401 Unauthorized", true, 0},
		{receiver.Status(404), " answers 404 Not Found", true, 0},
		{receiver.Status(408), " answers 408 Request Timeout", false, 0},
		{receiver.Status(410), " answers 410 Gone", true, 0},
		{receiver.Status(422), " answers 422 ", true, 0},
		{receiver.Status(429), " answers 429 Too Many Requests", false, 0},
		{receiver.RetryAfterSeconds(429, 7), " answers 429 ", false, 7 * time.Second},
		{receiver.RetryAfterSeconds(503, 100_000), " answers 503 ", false, time.Hour},
		{receiver.RetryAfterDate(503, time.Now().Add(-time.Hour)), " answers 503 ", false, 0},
		{receiver.RetryAfterDate(503, time.Now().Add(48*time.Hour)), " answers 503 ", false, time.Hour},
		{receiver.Body(500, "text/plain", secret), " answers 500 Internal Server Error", false, 0},
		{receiver.Status(502), " answers 502 ", false, 0},
		{receiver.Hang(nil), ": no answer within ", false, 0},
		{receiver.Reset(), ": ", false, 0},
		{receiver.CloseEarly(), ": the connection was closed", false, 0},
	} {
		r := receiver.New(t, receiver.Options{Answer: receiver.Always(tt.reply)})
		n := destination(r.URL())
		n.SigningSecrets = []config.Secret{signing}
		if strings.Contains(tt.want, "no answer") {
			n.Timeout = 100 * time.Millisecond
		}
		err := open(t, n, plain).Send(t.Context(), []notifier.Delivery{delivery(t, 1)})
		checkSilent(t, err, signing.Reveal())
		if tt.want == "" {
			if err != nil {
				t.Errorf("accepted, and yet %v", err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), r.Addr()+tt.want) {
			t.Errorf("%v, want %q", err, r.Addr()+tt.want)
		}
		if publisher.IsPermanent(err) != tt.permanent || notifier.RetryAfter(err) != tt.after {
			t.Errorf("%v: permanent %v, to be tried again after %v; want %v and %v",
				err, publisher.IsPermanent(err), notifier.RetryAfter(err), tt.permanent, tt.after)
		}
	}
}

func TestPrivateAddressesAreRefusedWithoutAllowPrivate(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	n := destination(r.URL())
	n.AllowPrivate = false
	err := open(t, n, plain).Send(t.Context(), []notifier.Delivery{delivery(t, 1)})
	if !publisher.IsPermanent(err) || !strings.Contains(err.Error(), "allowPrivate") || r.Count() != 0 {
		t.Errorf("%d requests: %v", r.Count(), err)
	}
	checkSilent(t, err)
}

func TestCancelledIsAnError(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := open(t, destination(r.URL()), plain).Send(ctx, []notifier.Delivery{delivery(t, 1)})
	if !errors.Is(err, context.Canceled) || r.Count() != 0 {
		t.Errorf("%d requests: %v", r.Count(), err)
	}
}

func TestPrintingASenderShowsNoSecret(t *testing.T) {
	n := destination("http://example.test")
	n.SigningSecrets = []config.Secret{signing}
	s := open(t, n, plain)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "sender", s)
	shown := fmt.Sprintf("%v %+v %#v %s", s, s, s, s) + log.String()
	if strings.Contains(shown, secret) || !strings.Contains(shown, "webhook of example.test") {
		t.Error(shown)
	}
}
