// Package telegram sends events as messages of a Telegram bot: method sendMessage of
// the Bot API (https://core.telegram.org/bots/api#sendmessage), in HTML.
//
// The bot is token and the chat chatId. The other way, that of setu, is a url with the
// token and the method in it, and the chat under headers as chat_id. A url beside a
// token is where a Bot API server of one's own is.
//
// The message is one that is good to look at (see default.go), unless template makes
// it; docs/messages.md tells how. Values are escaped, so that no row can bring markup
// or mention anybody. A message is made to fit: what is behind the 4096th character
// is cut off where no tag, no escape and no letter is torn.
//
// Telegram has no way to know a message again: one whose answer is lost is sent twice.
package telegram

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/httpsend"
	"github.com/walherald/walherald/publisher/notifier/text"
)

const (
	// server is where Telegram's own Bot API is.
	server = "https://api.telegram.org"
	// maxUnits is how long a message is at most, after its markup was read, in UTF-16
	// code units, in which Telegram measures text.
	maxUnits = 4096
)

// Sender sends to one chat. It is safe for concurrent use.
type Sender struct {
	client   *httpsend.Client
	url      config.Secret
	header   http.Header
	chat     string
	template *text.Template // nil for the message by default
}

// New makes the sender of a destination of type telegram. An error names the key at
// fault.
func New(n config.Notification) (*Sender, error) {
	s := &Sender{url: address(&n.Destination), chat: n.ChatID, header: http.Header{}}
	for name, value := range n.Headers {
		if strings.EqualFold(name, "chat_id") {
			s.chat = value.Reveal()
			continue
		}
		s.header.Set(name, value.Reveal())
	}
	s.header.Set("Content-Type", "application/json")
	var err error
	if n.Template != "" {
		if s.template, err = text.New(n.Section+".template", n.Template, text.Options{Escape: text.HTML}); err != nil {
			return nil, err
		}
	}
	if s.client, err = httpsend.For(&n.Destination); err != nil {
		return nil, fmt.Errorf("%s.%w", n.Section, err)
	}
	return s, nil
}

// address returns the URL of the method sendMessage.
func address(d *config.Destination) config.Secret {
	if d.Token == "" {
		return d.URL
	}
	base := strings.TrimRight(d.URL.Reveal(), "/")
	if base == "" {
		base = server
	}
	return config.Secret(base + "/bot" + d.Token.Reveal() + "/sendMessage")
}

// message is the payload of sendMessage.
type message struct {
	ChatID    string      `json:"chat_id"`
	Text      string      `json:"text"`
	ParseMode string      `json:"parse_mode"`
	Preview   linkPreview `json:"link_preview_options"`
}

// linkPreview keeps Telegram from opening links of rows.
type linkPreview struct {
	IsDisabled bool `json:"is_disabled"`
}

// Send implements [notifier.Sender]. It takes one delivery at a time.
func (s *Sender) Send(ctx context.Context, ds []notifier.Delivery) error {
	if len(ds) != 1 {
		return publisher.Permanent(fmt.Errorf("send to telegram: a message tells of one event, not of %d; set batch to 1", len(ds)))
	}
	html, err := s.text(&ds[0])
	if err != nil {
		return notifier.Unsent(err)
	}
	body, err := json.Marshal(message{ChatID: s.chat, Text: html, ParseMode: "HTML", Preview: linkPreview{IsDisabled: true}})
	if err != nil {
		return publisher.Permanent(errors.New("send to telegram: the message has no form in JSON"))
	}
	a, err := s.client.Do(ctx, http.MethodPost, s.url.Reveal(), s.header, body)
	if err != nil {
		return fmt.Errorf("send to telegram: %w", err)
	}
	return verdict(a)
}

// text makes the text of the message that tells of d.
func (s *Sender) text(d *notifier.Delivery) (string, error) {
	e, err := text.Parse(d)
	if err != nil {
		return "", err
	}
	if s.template == nil {
		return fit(defaultText(e), maxUnits)
	}
	made, err := s.template.ExecuteEvent(e)
	if err != nil {
		return "", err
	}
	html, err := fit(string(bytes.TrimSpace(made)), maxUnits)
	if err != nil {
		return "", publisher.Permanent(fmt.Errorf("send to telegram: what template makes of this event %w", err))
	}
	return html, nil
}

// Close implements [notifier.Sender].
func (s *Sender) Close() error {
	s.client.Close()
	return nil
}

// String keeps printing a sender from showing its secrets.
func (s *Sender) String() string { return "telegram" }

// GoString is String.
func (s *Sender) GoString() string { return s.String() }
