// Package webhook sends notifications as HTTP requests to endpoints of any kind.
//
// # A request
//
// Its body is the event in the destination's envelope, or what the destination's
// template makes of it; with a batch above 1 it is a JSON array of events, also of
// one. Its header holds, from the weakest to what nothing replaces:
//
//   - User-Agent: walherald, and Content-Type, which is that of the envelope, of an
//     array of CloudEvents application/cloudevents-batch+json, of a template
//     application/json;
//   - the destination's headers;
//   - Content-Encoding, if bodies are compressed;
//   - in the binary mode of CloudEvents the event's attributes as ce-… and
//     walherald-…, percent-encoded as the binding for HTTP says (CloudEvents 1.0,
//     HTTP protocol binding, section 3.1.3.2);
//   - traceparent, if the batch that the event came with is traced;
//   - webhook-id, webhook-timestamp and, with signing secrets, webhook-signature.
//
// # Signatures
//
// They are those of Standard Webhooks 1.0 (https://www.standardwebhooks.com): for
// each secret, HMAC-SHA256 of id, time and body, as "v1," and base64. A receiver takes
// the request if one of them is right for a secret it knows, so secrets change without
// a gap: add the new one, let receivers change over, remove the old one.
//
// webhook-id is the event's id, equal on every attempt, also after a restart: what
// tells a receiver that it has seen a request before. A batch has an id made of all of
// its events' ids; after a fault the same events can come in other batches, so
// receivers of batches should look at the ids of the events. webhook-timestamp is the
// time of the attempt, so that a receiver can refuse what is old.
//
// # Templates
//
// A template for a JSON body (Content-Type application/json or ending in +json) is for
// texts in quotes: what it prints is escaped for the inside of a JSON string, and
// {{json .New.column}} makes a whole value, with quotes where it needs them. What is
// made has to be JSON. In a body of application/x-www-form-urlencoded values are
// escaped for that. Bodies of other types hold values as they are.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/httpsend"
	"github.com/walherald/walherald/publisher/notifier/text"
)

// Sender is a [notifier.Sender] for one endpoint.
type Sender struct {
	client  *httpsend.Client
	method  string
	url     config.Secret
	host    string
	header  http.Header // of every request
	keys    [][]byte    // that sign
	content publisher.Content
	batch   bool
	// template is nil if bodies are the events as they came; json is set if what
	// it makes has to be JSON.
	template *text.Template
	json     bool
	now      func() time.Time
}

// New makes the sender of a destination of type webhook. content says what its
// payloads are; those for a template are in the envelope walherald, not compressed.
// Errors begin with the configuration key at fault and quote no secret.
func New(n config.Notification, content publisher.Content) (*Sender, error) {
	u, err := httpsend.ParseURL(n.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("%s.url: must be an http or https URL with a host", n.Section)
	}
	s := &Sender{method: n.Method, url: n.URL, host: u.Host, content: content, batch: n.Batch > 1, now: time.Now}
	if err := s.fits(&n); err != nil {
		return nil, err
	}
	s.header = header(&n.Destination, content, s.batch)
	if s.keys, err = keys(n.SigningSecrets); err != nil {
		return nil, fmt.Errorf("%s.%w", n.Section, err)
	}
	if err := s.parse(&n); err != nil {
		return nil, err
	}
	if s.client, err = httpsend.For(&n.Destination); err != nil {
		return nil, fmt.Errorf("%s.%w", n.Section, err)
	}
	return s, nil
}

// fits refuses what cannot go together.
func (s *Sender) fits(n *config.Notification) error {
	switch {
	case s.batch && s.content.Encoding != "":
		return fmt.Errorf("%s.batch: bodies compressed with %s cannot be put together to an array", n.Section, s.content.Encoding)
	case s.batch && s.content.CloudEvents != nil:
		return fmt.Errorf("%s.batch: the attributes of several events cannot all be headers; use cloudEvents structured", n.Section)
	case s.batch && n.Template != "":
		return fmt.Errorf("%s.batch: a template makes the body of one event; remove one of them", n.Section)
	case n.Template != "" && s.content.Encoding != "":
		return fmt.Errorf("%s.template: makes bodies of events that are not compressed with %s", n.Section, s.content.Encoding)
	}
	return nil
}

// parse prepares the template for the type of body that it makes.
func (s *Sender) parse(n *config.Notification) (err error) {
	if n.Template == "" {
		return nil
	}
	kind, _, err := mime.ParseMediaType(s.header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("%s.headers[Content-Type]: is no media type, such as application/json", n.Section)
	}
	var o text.Options
	switch s.json = kind == "application/json" || strings.HasSuffix(kind, "+json"); {
	case s.json:
		o.Escape = inString
	case kind == "application/x-www-form-urlencoded":
		o.Escape = url.QueryEscape
	}
	s.template, err = text.New(n.Section+".template", n.Template, o)
	return err
}

// inString returns the text as it stands between the quotes of a JSON string.
func inString(value string) string {
	quoted, _ := json.Marshal(value) // of a string it does not fail
	return string(quoted[1 : len(quoted)-1])
}

// Send implements [notifier.Sender].
func (s *Sender) Send(ctx context.Context, ds []notifier.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	body, err := s.body(ds)
	if err != nil {
		return notifier.Unsent(err)
	}
	answer, err := s.client.Do(ctx, s.method, s.url.Reveal(), s.headers(ctx, ds, body), body)
	if err != nil {
		return err
	}
	if err := answer.Err(); err != nil {
		return fmt.Errorf("%s %w", s.host, err)
	}
	return nil
}

// Close implements [notifier.Sender].
func (s *Sender) Close() error {
	s.client.Close()
	return nil
}

// String names the host alone, so that printing a sender shows none of its secrets.
func (s *Sender) String() string { return "webhook of " + s.host }

// GoString is String.
func (s *Sender) GoString() string { return s.String() }

// body makes the body of one request.
func (s *Sender) body(ds []notifier.Delivery) ([]byte, error) {
	switch {
	case s.batch:
		return array(ds), nil
	case len(ds) > 1:
		return nil, publisher.Permanent(errors.New("make webhook: it takes one event at once; set batch"))
	case s.template == nil:
		// The memory of a payload is used again after Send, and package http may read a
		// body for a moment longer than the answer takes to come.
		return bytes.Clone(ds[0].Payload), nil
	}
	body, err := s.template.Execute(&ds[0])
	if err != nil {
		return nil, err
	}
	if s.json && !json.Valid(body) {
		return nil, publisher.Permanent(errors.New(
			"make webhook: the template makes no JSON; {{json .New.column}} makes a value of it, and the header Content-Type says what else the body is"))
	}
	return body, nil
}

// array makes one JSON array of all payloads.
func array(ds []notifier.Delivery) []byte {
	size := 1
	for i := range ds {
		size += len(ds[i].Payload) + 1
	}
	body := append(make([]byte, 0, size), '[')
	for i := range ds {
		body = append(append(body, ds[i].Payload...), ',')
	}
	body[len(body)-1] = ']'
	return body
}
