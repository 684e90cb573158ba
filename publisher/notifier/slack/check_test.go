package slack

import (
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher"
)

func TestCheckAsksWhoseTokenItIsAndSendsNoMessage(t *testing.T) {
	for _, tt := range []struct {
		status      int
		body        string
		who, says   string // says is of the error
		isPermanent bool
	}{
		{200, `{"ok":true,"user":"herald","team":"T"}`, "herald", "", false},
		{200, `{"ok":true,"user":"<b>hunter2\n"}`, "a bot", "", false},
		{200, `{"ok":false,"error":"invalid_auth"}`, "", "invalid_auth: set token", true},
		{200, `{"ok":false,"error":"hunter2 hunter2"}`, "", "refuses the token", true},
		{200, `{"ok":false,"error":"ratelimited"}`, "", "cannot tell now", false},
		{200, "hunter2", "", "is url right?", false},
		{503, "", "", "503", false},
		{403, "token_revoked", "", "token_revoked: the token was revoked", true},
	} {
		r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Body(tt.status, "application/json", tt.body))})
		s := open(t, config.Destination{URL: config.Secret(r.URL() + "/api/chat.postMessage"), Token: secret, Channel: "C1"})
		who, err := s.Check(t.Context())
		if who != tt.who || (err == nil) != (tt.says == "") || publisher.IsPermanent(err) != tt.isPermanent {
			t.Errorf("%s: %q, %v", tt.body, who, err)
		}
		if err != nil && (!strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secret)) {
			t.Errorf("%s: %v, want %q", tt.body, err, tt.says)
		}
		if got := r.Requests(); len(got) != 1 || got[0].Path != "/api/auth.test" || got[0].Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("requests are %+v", got)
		}
	}
}

func TestCheckOfAWebhookAsksNothing(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	for _, d := range []config.Destination{
		{URL: config.Secret(r.URL() + "/services/" + secret)},
		{URL: config.Secret(r.URL() + "/other"), Token: secret, Channel: "C1"},
	} {
		if who, err := open(t, d).Check(t.Context()); who != "" || err != nil || r.Count() != 0 {
			t.Errorf("%q, %v after %d requests", who, err, r.Count())
		}
	}
}

func TestCheckOfSlackThatIsNotThereSaysSo(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	r.Close()
	s := open(t, config.Destination{URL: config.Secret(r.URL() + "/" + secret + "/chat.postMessage"), Token: secret, Channel: "C1"})
	if _, err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), secret) {
		t.Error(err)
	}
}
