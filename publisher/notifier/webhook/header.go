package webhook

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// The content types of CloudEvents in JSON, one event and several (CloudEvents 1.0,
// JSON event format, sections 3 and 4).
const (
	typeCloudEvent  = "application/cloudevents+json"
	typeCloudEvents = "application/cloudevents-batch+json"
)

// header returns what is the same in every request.
func header(d *config.Destination, content publisher.Content, batch bool) http.Header {
	h := make(http.Header)
	h.Set("Content-Type", content.Type)
	if batch && content.Type == typeCloudEvent {
		h.Set("Content-Type", typeCloudEvents)
	}
	for name, value := range d.Headers {
		h.Set(name, value.Reveal())
	}
	if content.Encoding != "" {
		h.Set("Content-Encoding", content.Encoding)
	}
	return h
}

// headers returns the header of one attempt.
func (s *Sender) headers(ctx context.Context, ds []notifier.Delivery, body []byte) http.Header {
	h := s.header.Clone()
	if s.content.CloudEvents != nil {
		d := &ds[0]
		m := publisher.Message{ID: d.ID, Table: d.Table, Action: d.Action, Key: d.Key, CommitTime: d.CommitTime}
		for _, a := range s.content.Attributes(nil, &m, "ce-") {
			h.Set(a.Name, percent(a.Value))
		}
	}
	if parent := publisher.TraceParent(ctx); parent != "" {
		h.Set(publisher.HeaderTraceParent, parent)
	}
	s.sign(h, requestID(ds), body)
	return h
}

// percent encodes a value for a header: what is not visible ASCII, quotes and the
// percent sign.
func percent(value string) string {
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }
	var b strings.Builder
	for i := range len(value) {
		if plain(value[i]) {
			b.WriteByte(value[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", value[i])
		}
	}
	return b.String()
}
