package nats

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/walherald/walherald/publisher"
)

func TestSubjectFiltersMatchAsInNATS(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"cdc.>", "cdc.a", true},
		{"cdc.>", "cdc.a.b", true},
		{"cdc.>", "cdc", false},
		{">", "cdc", true},
		{"cdc.*", "cdc.a", true},
		{"cdc.*", "cdc.a.b", false},
		{"cdc.*", "cdc", false},
		{"*.a", "cdc.a", true},
		{"cdc.a", "cdc.a", true},
		{"cdc.a", "cdc.b", false},
		{"cdc.a", "cdc.a.b", false},
		{"cdc.a.b", "cdc.a", false},
		{"cdc.*.>", "cdc.a", false},
		{"cdc.*.>", "cdc.a.b.c", true},
		{"cdc", "cdcx", false},
		{"cdc.>", "cd.a", false},
	} {
		if got := subjectMatches(c.pattern, c.subject); got != c.want {
			t.Errorf("%s takes %s: %v, want %v", c.pattern, c.subject, got, c.want)
		}
	}
}

// topics draws text in which what NATS forbids is frequent.
func topics() *rapid.Generator[string] {
	return rapid.StringOf(rapid.OneOf(rapid.SampledFrom([]rune(". *>/\\\t\n\r\x00\x7fäa_-$")), rapid.Rune()))
}

func TestSubjectIsAlwaysValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topic := topics().Filter(func(s string) bool { return s != "" }).Draw(t, "topic")
		subject := Subject(topic)
		if !server.IsValidLiteralSubject(subject) || strings.ContainsAny(subject, " \t\r\n\x00") {
			t.Fatalf("%q becomes %q", topic, subject)
		}
		if Subject(subject) != subject {
			t.Fatalf("%q becomes %q, and that %q", topic, subject, Subject(subject))
		}
	})
}

func TestValidSubjectsStayAsTheyAre(t *testing.T) {
	for _, subject := range []string{"cdc", "cdc.public_users", "cdc.Größe.$x-1"} {
		if got := Subject(subject); got != subject {
			t.Errorf("%q becomes %q", subject, got)
		}
	}
}

func TestStreamNameIsAlwaysValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topic := topics().Draw(t, "topic")
		if name := StreamName(topic); strings.ContainsAny(name, ". */>\\\t\r\n\f\x00\x7f") {
			t.Fatalf("%q becomes %q", topic, name)
		}
	})
	if got := StreamName("my.topic"); got != "my_topic" {
		t.Errorf("my.topic becomes %s", got)
	}
}

func TestAcknowledgementsAreRead(t *testing.T) {
	for text, want := range map[string]pubAck{
		`{"stream":"cdc","seq":7}`:                          {Seq: 7},
		`{"stream":"cdc","seq":7,"duplicate":true}`:         {Seq: 7},
		`{"stream":"cdc","seq":7,"batch":"3","count":5}`:    {Seq: 7, Count: 5},
		`{"type":"ack","seq":4,"msgs":2}`:                   {Seq: 4, Type: "ack", Messages: 2},
		`{"type":"gap","last_seq":4,"seq":6}`:               {Seq: 6, Type: "gap"},
		`{"stream":"cdc","seq":18446744073709551615,"x":1}`: {Seq: 1<<64 - 1},
	} {
		if got, err := parseAck(&nats.Msg{Data: []byte(text)}); err != nil || got != want {
			t.Errorf("%s is read as %+v, %v", text, got, err)
		}
	}
}

func TestRefusalsAreErrors(t *testing.T) {
	for text, want := range map[string]error{
		`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"cdc","seq":0}`: errWrongSequence,
		`{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}`:                           errWrongSequence,
		`{"error":{"code":400,"err_code":10070,"description":"wrong last msg ID: x"}}`:                          errWrongSequence,
		`{"type":"err","seq":3,"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}}`:   errWrongSequence,
		`{"type":"err","seq":3,"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}`: &jetstream.APIError{
			ErrorCode: 10077,
		},
	} {
		if got, err := parseAck(&nats.Msg{Data: []byte(text)}); !errors.Is(err, want) {
			t.Errorf("%s is read as %+v, %v", text, got, err)
		}
	}
	if _, err := parseAck(&nats.Msg{Header: nats.Header{"Status": {"503"}}}); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("no responders is read as %v", err)
	}
	for _, text := range []string{"", "-ERR", `{"seq":-1}`, `[]`} {
		if got, err := parseAck(&nats.Msg{Data: []byte(text)}); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

// Of a batch that ends early, no part is taken for the whole.
func TestOnlyTheWholeBatchCounts(t *testing.T) {
	s := &session{expect: true, lastSeq: 10}
	for _, count := range []uint64{0, 1, 4} {
		if err := s.ended(pubAck{Seq: 10 + count, Count: count}, 5); err == nil {
			t.Errorf("%d of 5 messages are taken for all", count)
		}
	}
	if err := s.ended(pubAck{Seq: 15, Count: 5}, 5); err != nil || s.lastSeq != 15 || s.expect {
		t.Errorf("5 of 5: %v, %+v", err, s)
	}
}

func TestAnswerToAnEarlierBatchOfTheSameSizeIsNotTakenForThisOnes(t *testing.T) {
	s := &session{expect: true, lastSeq: 10}
	if err := s.ended(pubAck{Seq: 10, Count: 5}, 5); err == nil {
		t.Error("5 messages behind sequence 10 are taken to end there")
	}
}

func TestRepliesOfAnEarlierBatchAreNotTakenForThisOnes(t *testing.T) {
	s := &session{inbox: "_INBOX.abc", batches: 11}
	s.nextBatch()
	for subject, want := range map[string]bool{
		"_INBOX.abc.abc-12.500.fail.1.0.$FI": true, "_INBOX.abc.abc-1.500.fail.1.0.$FI": false, "_INBOX.abc.abc-2.500.fail.1.0.$FI": false,
		"_INBOX.abc.abc-11.500.fail.1.0.$FI": false, "_INBOX.abc.abc-120.500.fail.1.0.$FI": false, "_INBOX.abc.": false, "_INBOX.abc": false,
	} {
		if got := s.ofCurrentBatch(subject); got != want {
			t.Errorf("%s: %v, want %v", subject, got, want)
		}
	}
}

// The server tells the batches of a stream apart by one token of the reply subject
// alone, and keeps those that were abandoned.
func TestBatchesOfDifferentSessionsHaveDifferentNames(t *testing.T) {
	token := func(inbox string) string {
		s := &session{inbox: inbox}
		s.nextBatch()
		replies, _ := s.ingestStrings([]publisher.Message{{}, {}})
		parts := strings.Split(replies.next(), ".")
		return parts[len(parts)-6] // before flow, gap mode, sequence, operation and $FI
	}
	first, second := token("_INBOX.abc"), token("_INBOX.abd")
	if first == second || first == "" || len(token(nats.NewInbox())) > 64 {
		t.Errorf("the batches of two sessions are %q and %q", first, second)
	}
}
