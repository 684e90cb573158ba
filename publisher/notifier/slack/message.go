package slack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/text"
)

// Limits of messages (https://docs.slack.dev/changelog/2018-truncating-really-long-messages,
// https://docs.slack.dev/reference/block-kit/blocks). Slack cuts a text off at
// 40,000 characters, wherever that is.
const (
	maxText   = 39_000
	maxBlocks = 50
)

// message is the payload of a webhook and of chat.postMessage.
type message struct {
	Channel string `json:"channel,omitempty"`
	// Text is the message, or with blocks what notifications show of it.
	Text   string          `json:"text"`
	Blocks json.RawMessage `json:"blocks,omitempty"`
	// UnfurlLinks and UnfurlMedia keep Slack from opening links of rows.
	UnfurlLinks bool `json:"unfurl_links"`
	UnfurlMedia bool `json:"unfurl_media"`
}

// message makes the message that tells of d.
func (s *Sender) message(d *notifier.Delivery) (*message, error) {
	e, err := text.Parse(d)
	if err != nil {
		return nil, err
	}
	m := &message{Channel: s.channel, Text: fallback(e)}
	if s.template != nil {
		made, err := s.template.ExecuteEvent(e)
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(made)) == 0 {
			return nil, publisher.Permanent(errors.New("send to slack: template makes an empty text of this event"))
		}
		m.Text = cut(string(made), maxText)
	}
	switch {
	case s.blocks != nil:
		m.Blocks, err = s.ownBlocks(e)
	case s.template == nil:
		m.Blocks, err = json.Marshal(defaultBlocks(e))
	}
	return m, err
}

// ownBlocks executes the template of blocks.
func (s *Sender) ownBlocks(e *text.Event) (json.RawMessage, error) {
	made, err := s.blocks.ExecuteEvent(e)
	if err != nil {
		return nil, err
	}
	var list []struct{ Type string }
	if err := json.Unmarshal(made, &list); err != nil || list == nil {
		return nil, publisher.Permanent(fmt.Errorf("send to slack: what blocks makes of this event is no JSON array of blocks%s; the helper json makes a value safe outside of quotes", place(made, err)))
	}
	if len(list) > maxBlocks {
		return nil, publisher.Permanent(fmt.Errorf("send to slack: blocks makes %d blocks of this event, and Slack takes %d", len(list), maxBlocks))
	}
	return made, nil
}

// place tells where in a text JSON ends to be JSON. The error itself would quote the
// text.
func place(made []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return ""
	}
	before := made[:min(int(syntax.Offset), len(made))]
	return fmt.Sprintf(" (line %d of it, byte %d)", 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n')-1)
}

// inBlocks escapes a value that is printed inside of a JSON string: for Slack, and
// for the string.
func inBlocks(value string) string {
	quoted, err := json.Marshal(text.Slack(value))
	if err != nil {
		return "" // strings have a form in JSON
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(quoted), `"`), `"`)
}

// cut returns s if it has at most n characters, which is at least 1, and else its
// beginning and an ellipsis, n characters together. It cuts no escape (&amp;) and
// nothing in angle brackets (links, mentions, dates) in two.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	end, count := 0, 0
	for i := range s {
		if count == n-1 {
			end = i
		}
		count++
	}
	if count <= n {
		return s
	}
	head := s[:end]
	closed := strings.LastIndexByte(head, '>') + 1
	if open := strings.IndexByte(head[closed:], '<'); open >= 0 {
		head = head[:closed+open]
	}
	if amp := strings.LastIndexByte(head, '&'); amp > strings.LastIndexByte(head, ';') && len(head)-amp < len("&amp;") {
		head = head[:amp]
	}
	return head + "…"
}
