// Package slack sends events as messages to Slack: through an incoming webhook
// (key url) or with a bot's token to a channel (keys token and channel, method
// chat.postMessage). Whatever else takes the payload of Slack's webhooks can be
// called as well.
//
// The message is one that is good to look at (see default.go), unless template makes
// its text or blocks its blocks; docs/messages.md tells of both. Values are escaped
// as Slack wants it, so that no row can mention @channel or make a link.
//
// Slack has no way to know a message again: one whose answer is lost is sent twice.
package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/httpsend"
	"github.com/walherald/walherald/publisher/notifier/text"
)

// postMessage is where messages of bots go
// (https://docs.slack.dev/reference/methods/chat.postMessage).
const postMessage = "https://slack.com/api/chat.postMessage"

// Sender sends to one webhook or channel. It is safe for concurrent use.
type Sender struct {
	client           *httpsend.Client
	url              config.Secret
	header           http.Header
	channel          string
	method           bool           // what is called is a method: it answers in JSON
	template, blocks *text.Template // nil for those by default
}

// New makes the sender of a destination of type slack. An error names the key at
// fault.
func New(n config.Notification) (*Sender, error) {
	s := &Sender{url: n.URL, channel: n.Channel, method: n.Token != "", header: http.Header{}}
	if n.URL == "" {
		s.url = postMessage
	}
	for name, value := range n.Headers {
		s.header.Set(name, value.Reveal())
	}
	s.header.Set("Content-Type", "application/json; charset=utf-8")
	if n.Token != "" {
		s.header.Set("Authorization", "Bearer "+n.Token.Reveal())
	}
	var err error
	if s.template, err = parse(n.Section+".template", n.Template, text.Slack); err != nil {
		return nil, err
	}
	if s.blocks, err = parse(n.Section+".blocks", n.Blocks, inBlocks); err != nil {
		return nil, err
	}
	if s.client, err = httpsend.For(&n.Destination); err != nil {
		return nil, fmt.Errorf("%s.%w", n.Section, err)
	}
	return s, nil
}

// parse parses a template if there is one.
func parse(name, source string, escape func(string) string) (*text.Template, error) {
	if source == "" {
		return nil, nil
	}
	return text.New(name, source, text.Options{Escape: escape})
}

// Send implements [notifier.Sender]. It takes one delivery at a time.
func (s *Sender) Send(ctx context.Context, ds []notifier.Delivery) error {
	if len(ds) != 1 {
		return publisher.Permanent(fmt.Errorf("send to slack: a message tells of one event, not of %d; set batch to 1", len(ds)))
	}
	m, err := s.message(&ds[0])
	if err != nil {
		return notifier.Unsent(err)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return publisher.Permanent(errors.New("send to slack: the message has no form in JSON"))
	}
	a, err := s.client.Do(ctx, http.MethodPost, s.url.Reveal(), s.header, body)
	if err != nil {
		return fmt.Errorf("send to slack: %w", err)
	}
	return verdict(a, s.method)
}

// Close implements [notifier.Sender].
func (s *Sender) Close() error {
	s.client.Close()
	return nil
}

// String keeps printing a sender from showing its secrets.
func (s *Sender) String() string { return "slack" }

// GoString is String.
func (s *Sender) GoString() string { return s.String() }
