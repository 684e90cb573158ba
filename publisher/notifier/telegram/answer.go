package telegram

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/httpsend"
)

// answer is what the Bot API answers (https://core.telegram.org/bots/api#making-requests).
type answer struct {
	OK          *bool
	ErrorCode   int `json:"error_code"`
	Description string
	Parameters  struct {
		RetryAfter      int64 `json:"retry_after"` // in seconds
		MigrateToChatID int64 `json:"migrate_to_chat_id"`
	}
}

// remedies say what to do about errors, by a part of their description. The first one
// that fits is shown, and nothing else of an answer.
var remedies = []struct{ says, remedy string }{
	{"upgraded to a supergroup", "the group has become a supergroup, which has another id; set chatId to that one (getUpdates tells it)"},
	{"chat not found", "set chatId to the id of a chat that the bot was added to, or that has written to it"},
	{"can't parse entities", "look at the markup that template makes"},
	{"message text is empty", "let template make a text"},
	{"message is too long", "let template make less"},
	{"bot was blocked by the user", "the user has to unblock the bot"},
	{"user is deactivated", "the user is gone; set chatId to another"},
	{"bot was kicked", "add the bot to the chat again"},
	{"bot is not a member", "add the bot to the chat"},
	{"bot can't initiate conversation", "the user has to write to the bot first"},
	{"bot can't send messages to bots", "set chatId to the id of a person, group or channel"},
	{"bots can't send messages to bots", "set chatId to the id of a person, group or channel"},
	{"not enough rights", "let the bot write in the chat"},
	{"have no rights to send", "let the bot write in the chat"},
	{"need administrator rights", "make the bot an administrator of the channel"},
	{"chat_write_forbidden", "let the bot write in the chat"},
	{"topic_closed", "the topic is closed; open it"},
	{"unauthorized", "the token is not valid (any more); set token, or the one in url"},
}

// byStatus is for descriptions that are not known.
var byStatus = map[int]string{
	401: "the token is not valid (any more); set token, or the one in url",
	403: "the bot may not write to the chat; look whether it was blocked or removed",
	404: "there is no such bot or method; look at token, or url",
}

// verdict returns what an answer means: nil if Telegram has the message.
func verdict(a httpsend.Answer) error {
	var said answer
	known := json.Unmarshal(a.Body, &said) == nil && said.OK != nil
	switch {
	case a.Err() == nil && !known:
		return errors.New("telegram does not say that it took the message; is url that of sendMessage?")
	case a.Err() == nil && *said.OK:
		return nil
	case a.Err() == nil:
		a.Status = said.ErrorCode
	}
	err := a.Err()
	if err == nil || a.Status == 0 {
		return publisher.Permanent(errors.New("telegram refuses the message and does not say why"))
	}
	if what := explain(&said, a.Status); what != "" {
		return delayed(fmt.Errorf("telegram %w: %s", err, what), &said)
	}
	return delayed(fmt.Errorf("telegram %w", err), &said)
}

// delayed tells of the time that an answer's body asks to wait, which is as good as
// one in its header.
func delayed(err error, said *answer) error {
	seconds := min(said.Parameters.RetryAfter, int64(httpsend.MaxRetryAfter/time.Second))
	if seconds <= 0 || publisher.IsPermanent(err) {
		return err
	}
	return notifier.Delayed(err, time.Duration(seconds)*time.Second)
}

// explain returns what an answer says and what to do about it, "" if nothing is known
// of it.
func explain(said *answer, status int) string {
	description := strings.ToLower(said.Description)
	if said.Parameters.MigrateToChatID != 0 {
		description = remedies[0].says
	}
	for _, r := range remedies {
		if strings.Contains(description, r.says) {
			return r.says + ": " + r.remedy
		}
	}
	return byStatus[status]
}
