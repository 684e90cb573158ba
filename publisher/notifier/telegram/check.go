package telegram

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/walherald/walherald/publisher/notifier/httpsend"
)

// username is the form of a bot's (https://core.telegram.org/bots/features#botfather).
var username = regexp.MustCompile(`^\w{1,64}$`)

// Check asks Telegram whether the token is valid and the bot sees the chat, by getMe and
// getChat (https://core.telegram.org/bots/api#getchat), which change nothing. It returns
// the bot's name; empty if url names no method that is known, so that nothing can be
// asked. An error is permanent if Telegram refuses.
func (s *Sender) Check(ctx context.Context) (who string, err error) {
	base, ok := strings.CutSuffix(s.url.Reveal(), "/sendMessage")
	if !ok {
		return "", nil
	}
	a, err := s.ask(ctx, base+"/getMe", map[string]string{})
	if err != nil {
		return "", err
	}
	var me struct{ Result struct{ Username string } }
	if who = "a bot"; json.Unmarshal(a.Body, &me) == nil && username.MatchString(me.Result.Username) {
		who = me.Result.Username
	}
	_, err = s.ask(ctx, base+"/getChat", map[string]string{"chat_id": s.chat})
	return who, err
}

// ask calls a method that changes nothing.
func (s *Sender) ask(ctx context.Context, url string, parameters map[string]string) (httpsend.Answer, error) {
	body, err := json.Marshal(parameters)
	if err != nil {
		return httpsend.Answer{}, fmt.Errorf("ask telegram: %w", err)
	}
	a, err := s.client.Do(ctx, http.MethodPost, url, s.header, body)
	if err != nil {
		return a, fmt.Errorf("ask telegram: %w", err)
	}
	return a, verdict(a)
}
