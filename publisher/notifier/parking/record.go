package parking

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// recordFormat tells a record from other messages in a topic.
const recordFormat = "walherald.parked.v1"

// record is what a topic holds of a parked delivery, as JSON.
type record struct {
	Format      string `json:"format"`
	Destination string `json:"destination"`
	ID          string `json:"id"`
	Rule        string `json:"rule"`
	Topic       string `json:"topic"`
	Table       string `json:"table"`
	Action      string `json:"action"`
	LSN         string `json:"lsn"`
	// CommitTime and ParkedAt are RFC 3339 in UTC with microseconds.
	CommitTime string `json:"commitTime"`
	ParkedAt   string `json:"parkedAt"`
	Attempts   int    `json:"attempts"`
	Reason     string `json:"reason"`
	// Manual is notifier.Parked's.
	Manual bool `json:"manual,omitempty"`
	// Of each pair one is set: the first if the key is text and the payload JSON.
	Key           string          `json:"key,omitempty"`
	KeyBase64     []byte          `json:"keyBase64,omitempty"`
	Payload       json.RawMessage `json:"payload,omitempty"`
	PayloadBase64 []byte          `json:"payloadBase64,omitempty"`
}

// appendRecord appends p as a record of one JSON object. A payload that is JSON is
// written as it is, byte by byte.
func appendRecord(dst []byte, p *notifier.Parked) ([]byte, error) {
	r := record{
		Format: recordFormat, Destination: p.Destination, ID: p.ID.String(), Rule: p.Rule, Topic: p.Topic, Table: p.Table,
		Action: p.Action.String(), LSN: string(publisher.AppendLSN(nil, p.ID.LSN())),
		CommitTime: string(publisher.AppendTime(nil, p.CommitTime)), ParkedAt: string(publisher.AppendTime(nil, p.ParkedAt.UnixMicro())),
		Attempts: p.Attempts, Reason: p.Reason, Manual: p.Manual,
	}
	if r.Key = string(p.Key); !utf8.Valid(p.Key) {
		r.Key, r.KeyBase64 = "", p.Key
	}
	if !isJSON(p.Payload) {
		r.PayloadBase64 = p.Payload
	}
	head, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode parked delivery: %w", err)
	}
	dst = append(dst, head[:len(head)-1]...)
	if isJSON(p.Payload) {
		dst = append(append(dst, `,"payload":`...), p.Payload...)
	}
	return append(dst, '}'), nil
}

// isJSON reports whether b can stand in a JSON object and be read from it again
// as it is.
func isJSON(b []byte) bool {
	return len(b) > 0 && json.Valid(b) && utf8.Valid(b) && len(bytes.Trim(b, " \t\r\n")) == len(b)
}

// errNoRecord says that a message is something else.
var errNoRecord = errors.New("read parked delivery: the message is not one that walherald has parked")

// ParseRecord reads a message that [Topic] has published. It is an error if the
// message is anything else.
func ParseRecord(body []byte) (notifier.Parked, error) {
	var r record
	if err := json.Unmarshal(body, &r); err != nil || r.Format != recordFormat {
		return notifier.Parked{}, errNoRecord
	}
	p := notifier.Parked{
		Delivery: notifier.Delivery{
			Rule: r.Rule, Topic: r.Topic, Table: r.Table, Action: actionOf(r.Action),
			Key: r.KeyBase64, Payload: r.PayloadBase64,
		},
		Destination: r.Destination, Attempts: r.Attempts, Reason: r.Reason, Manual: r.Manual,
	}
	if r.Key != "" {
		p.Key = []byte(r.Key)
	}
	if len(r.Payload) > 0 {
		p.Payload = r.Payload
	}
	committed, err1 := time.Parse(time.RFC3339Nano, r.CommitTime)
	parked, err2 := time.Parse(time.RFC3339Nano, r.ParkedAt)
	id, err3 := publisher.ParseID(r.ID)
	if err := errors.Join(err1, err2, err3); err != nil {
		return notifier.Parked{}, fmt.Errorf("read parked delivery: %w", err)
	}
	if r.Destination == "" || p.Action == 0 {
		return notifier.Parked{}, errNoRecord
	}
	p.ID, p.CommitTime, p.ParkedAt = id, committed.UnixMicro(), parked
	return p, nil
}
