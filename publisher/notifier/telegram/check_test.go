package telegram

import (
	"slices"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher"
)

func TestCheckAsksForTheBotAndTheChatAndSendsNoMessage(t *testing.T) {
	const me = `{"ok":true,"result":{"id":1,"username":"herald_bot"}}`
	for name, tt := range map[string]struct {
		me, chat string
		status   int // of what is no success
		who      string
		says     string // of the error
		asked    []string
	}{
		"both are there":  {me, `{"ok":true,"result":{"id":7}}`, 0, "herald_bot", "", []string{"getMe", "getChat"}},
		"odd name":        {`{"ok":true,"result":{"username":"<b>"}}`, `{"ok":true}`, 0, "a bot", "", []string{"getMe", "getChat"}},
		"token is wrong":  {`{"ok":false,"error_code":401,"description":"Unauthorized"}`, "", 401, "", "the token is not valid", []string{"getMe"}},
		"bot is not seen": {me, `{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}`, 400, "herald_bot", "set chatId", []string{"getMe", "getChat"}},
	} {
		answer := func(r *receiver.Request) receiver.Reply {
			body := tt.me
			if strings.HasSuffix(r.Path, "/getChat") {
				body = tt.chat
				if string(r.Body) != `{"chat_id":"-7"}` {
					t.Errorf("asked for %s", r.Body)
				}
			}
			if strings.Contains(body, `"ok":false`) {
				return receiver.Body(tt.status, "application/json", body)
			}
			return receiver.Body(200, "application/json", body)
		}
		r := receiver.New(t, receiver.Options{Answer: answer})
		who, err := open(t, config.Destination{URL: config.Secret(r.URL()), Token: secret, ChatID: "-7"}).Check(t.Context())
		if who != tt.who || (err == nil) != (tt.says == "") || publisher.IsPermanent(err) != (tt.says != "") {
			t.Errorf("%s: %q, %v", name, who, err)
		}
		if err != nil && (!strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secret)) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
		var asked []string
		for _, request := range r.Requests() {
			asked = append(asked, strings.TrimPrefix(request.Path, "/bot"+secret+"/"))
		}
		if !slices.Equal(asked, tt.asked) {
			t.Errorf("%s: asked %q", name, asked)
		}
	}
}

func TestCheckOfAnotherMethodAsksNothing(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	who, err := open(t, config.Destination{URL: config.Secret(r.URL() + "/bot" + secret + "/relay"), ChatID: "-7"}).Check(t.Context())
	if who != "" || err != nil || r.Count() != 0 {
		t.Errorf("%q, %v after %d requests", who, err, r.Count())
	}
}

func TestCheckOfTelegramThatIsNotThereSaysSo(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	r.Close()
	s := open(t, config.Destination{URL: config.Secret(r.URL()), Token: secret, ChatID: "-7"})
	if _, err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), secret) {
		t.Error(err)
	}
}
