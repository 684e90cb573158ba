package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/httpsend"
)

// passing are the errors that another attempt may mend.
var passing = map[string]bool{
	"ratelimited": true, "rate_limited": true, "message_limit_exceeded": true, "fatal_error": true, "internal_error": true,
	"request_timeout": true, "service_unavailable": true, "rollup_error": true, "team_added_to_org": true,
}

// remedies say what to do about errors that stay.
var remedies = map[string]string{
	"channel_not_found":                 "set channel to the id of a channel that the bot can see",
	"not_in_channel":                    "invite the bot to the channel",
	"is_archived":                       "the channel is archived; set channel to another",
	"channel_is_archived":               "the channel is archived; make a webhook for another",
	"restricted_action":                 "an admin has restricted who posts in this channel",
	"posting_to_general_channel_denied": "an admin has restricted who posts in #general; choose another channel",
	"action_prohibited":                 "an admin has restricted posting; ask one, or choose another channel",
	"missing_scope":                     "give the app the scope chat:write and install it again",
	"no_permission":                     "give the app the scope chat:write and install it again",
	"not_authed":                        "set token",
	"invalid_auth":                      "set token to a bot's token that is valid",
	"account_inactive":                  "the token belongs to a user or workspace that is gone; set another",
	"token_revoked":                     "the token was revoked; set another",
	"token_expired":                     "the token has expired; set another",
	"not_allowed_token_type":            "set token to a bot's token (xoxb-)",
	"org_login_required":                "the workspace is being moved; an admin has to finish that",
	"ekm_access_denied":                 "an admin has suspended posting",
	"invalid_token":                     "the webhook is not valid; make another and set url",
	"no_service":                        "the webhook was removed or disabled; make another and set url",
	"no_service_id":                     "the url is no webhook's; copy it again",
	"no_team":                           "the url is no webhook's; copy it again",
	"no_active_hooks":                   "the webhook was disabled; make another and set url",
	"team_disabled":                     "the workspace is disabled",
	"user_not_found":                    "who made the webhook is gone; make another and set url",
	"invalid_payload":                   "Slack does not understand the message; look at template and blocks",
	"invalid_blocks":                    "Slack does not understand the blocks; look at them in the Block Kit Builder",
	"invalid_blocks_format":             "blocks has to make a JSON array of blocks",
	"msg_blocks_too_long":               "let blocks make less",
	"msg_too_long":                      "let template make less",
	"no_text":                           "let template make a text",
	"message_limit_reached":             "the workspace has reached its limit of messages",
}

// verdict returns what an answer means: nil if Slack has the message. The answer of a
// method says so itself, that of a webhook by its status.
func verdict(a httpsend.Answer, method bool) error {
	said, ok := reported(a.Body)
	err := a.Err()
	switch {
	case err != nil && said != "":
		return fmt.Errorf("slack %w: %s", err, described(said))
	case err != nil:
		return fmt.Errorf("slack %w", err)
	case ok != nil && !*ok:
		return refusal(said, a.Header)
	case ok == nil && method:
		return errors.New("slack does not say that it took the message; is url that of a method?")
	}
	return nil
}

// refusal returns the error of an answer whose status was that of a success.
func refusal(said string, header http.Header) error {
	err := errors.New("slack refuses the message and does not say why")
	if said != "" {
		err = fmt.Errorf("slack refuses the message: %s", described(said))
	}
	if !passing[said] {
		return publisher.Permanent(err)
	}
	limited := httpsend.Answer{Status: http.StatusTooManyRequests, Header: header}
	return notifier.Delayed(err, notifier.RetryAfter(limited.Err()))
}

func described(said string) string {
	if remedy := remedies[said]; remedy != "" {
		return said + ": " + remedy
	}
	return said
}

// reported returns the error that a body reports, if it is one of Slack's, and the
// member ok if it has one: {"ok":false,"error":"…"} is the answer of a method, a plain
// word that of a webhook.
func reported(body []byte) (said string, ok *bool) {
	var answer struct {
		OK    *bool
		Error string
	}
	said = strings.TrimSpace(string(body))
	if json.Unmarshal(body, &answer) == nil && answer.OK != nil {
		said, ok = answer.Error, answer.OK
	}
	if remedies[said] == "" && !passing[said] {
		said = "" // it can be anything, such as a secret that is sent back
	}
	return said, ok
}
