package listener

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

// messageMsg is a logical message whose record ends at end.
func messageMsg(transactional bool, end uint64, prefix, content string) wire {
	flags := byte(0)
	if transactional {
		flags = 1
	}
	return wire("M").i8(flags).i64(end).str(prefix).data(content)
}

func wantMessages(prefixes ...string) config.Listener { return config.Listener{Messages: prefixes} }

func TestLogicalMessagesAreEvents(t *testing.T) {
	r := play(t, wantMessages("outbox"),
		messageMsg(false, 0x10, "outbox", "alone"),
		beginMsg(0x10),
		relationMsg(1, pgoutput.IdentityDefault, "public.a", "id*"),
		insertMsg(1, "1"),
		messageMsg(true, 0x9, "outbox", "\xff"),
		messageMsg(true, 0xA, "outbox", ""),
		insertMsg(1, "2"), commitMsg(0x10))
	base := base64.StdEncoding.EncodeToString([]byte("\xff"))
	wantRecorded(t, r,
		"begin",
		"0 MESSAGE message_outbox key=outbox new=[outbox f alone absent] old=[]",
		"commit 0/10",
		"begin",
		"0 INSERT public_a key=1 new=[1] old=[]",
		"1 MESSAGE message_outbox key=outbox new=[outbox t absent "+base+"] old=[]",
		"2 MESSAGE message_outbox key=outbox new=[outbox t  absent] old=[]",
		"3 INSERT public_a key=2 new=[2] old=[]",
		"commit 0/18",
	)
	if !slices.IsSortedFunc(r.ids, func(a, b publisher.ID) int { return a.Compare(b) }) || r.ids[0] == r.ids[1] {
		t.Errorf("ids are not in order: %v", r.ids)
	}
}

func TestBodyOfAMessageHasItsPartsAsData(t *testing.T) {
	r := &recorder{}
	c := newTestChanges(t, wantMessages("*"), r)
	c.sent = commitTime
	for _, m := range []wire{messageMsg(false, 0x16_B374D848, "outbox", "say \"hi\"\x00"), messageMsg(false, 0x16_B374D850, "outbox", "\xc3")} {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{
		`"schema":"","table":"","action":"MESSAGE","data":{"prefix":"outbox","transactional":false,"content":"say \"hi\"\u0000"},"dataOld":{},` +
			`"commitTime":"2024-02-23T10:40:00.123456Z","unchangedToastedValues":[],"tags":{},"lsn":"16/B374D847","xid":0,"seq":0,"source":{"database":"","slot":""}}`,
		`"data":{"prefix":"outbox","transactional":false,"contentBase64":"ww=="},"dataOld":{},`,
	} {
		if !strings.Contains(r.bodies[i], want) {
			t.Errorf("body %d is %s, want in it %s", i, r.bodies[i], want)
		}
	}
}

func TestOnlyWantedPrefixesPassAndTheOthersAdvance(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg    config.Listener
		passes bool
		label  string
	}{
		"listed":              {wantMessages("cache", "outbox"), true, "message.outbox"},
		"every":               {wantMessages("*"), true, "message.*"},
		"listed beside every": {wantMessages("*", "outbox"), true, "message.outbox"},
		"not listed":          {wantMessages("cache"), false, "message.*"},
		"another case":        {wantMessages("Outbox"), false, "message.*"},
		"discarded":           {config.Listener{Messages: []string{"outbox"}, DiscardUnmatched: true}, false, "message.outbox"},
		"tables are filtered": {config.Listener{
			Messages: []string{"outbox"}, Filter: config.TableActions{Tables: map[string][]string{"t": {"insert"}}},
			Exclude: config.Exclude{Schemas: []string{"message"}, Tables: []string{"outbox"}}, Schema: "message",
		}, true, "message.outbox"},
	} {
		r := &recorder{}
		c := newTestChanges(t, tt.cfg, r)
		for _, m := range []wire{
			messageMsg(false, 0x8, "outbox", "a"),
			beginMsg(0x10), messageMsg(true, 0x9, "outbox", "b"), commitMsg(0x10),
		} {
			if err := c.handle(m); err != nil {
				t.Fatal(err)
			}
		}
		lines := []string{"begin", "commit 0/8", "begin", "commit 0/18"}
		filtered := 2.0
		if tt.passes {
			lines = slices.Insert(lines, 3, "0 MESSAGE message_outbox key=outbox new=[outbox t b absent] old=[]")
			lines = slices.Insert(lines, 1, "0 MESSAGE message_outbox key=outbox new=[outbox f a absent] old=[]")
			filtered = 0
		}
		if !slices.Equal(r.lines, lines) {
			t.Errorf("%s: got %q, want %q", name, r.lines, lines)
		}
		p := c.messages["outbox"]
		if got := testutil.ToFloat64(p.filtered); got != filtered || p.qualified != tt.label {
			t.Errorf("%s: %v are counted as filtered from %s, want %v from %s", name, got, p.qualified, filtered, tt.label)
		}
	}
}

func TestTopicOfAMessageIsThatOfATableNamedByItsPrefix(t *testing.T) {
	rules := config.TopicsMap{{Match: "message_outbox", Topic: "exact"}, {Match: `/^message_(job)\..*/`, Topic: "jobs.${1}"}}
	for _, tt := range []struct {
		cfg          config.Listener
		prefix, want string
	}{
		{config.Listener{TopicsMap: rules}, "outbox", "t.exact"},
		{config.Listener{TopicsMap: rules}, "job.mail", "t.jobs.job"},
		{config.Listener{TopicsMap: rules}, "other", "t.message_other"},
		{config.Listener{TopicsMap: rules, FallbackTopic: "rest"}, "other", "t.rest"},
		{config.Listener{TopicTemplate: "{{.Database}}/{{.Schema}}/{{.Table}}/{{.Action}}"}, "other", "t.shop/message/other/MESSAGE"},
	} {
		tt.cfg.Messages = []string{"*"}
		r := &recorder{}
		c := newChanges(t.Context(), mustRouter(t, tt.cfg, Route{Topic: "t", Database: "shop"}), r, nil, always(7), 0, nil)
		if err := c.handle(messageMsg(false, 0x8, tt.prefix, "")); err != nil {
			t.Fatal(err)
		}
		if want := "0 MESSAGE " + tt.want + " key=" + tt.prefix + " "; len(r.lines) != 3 || !strings.HasPrefix(r.lines[1], want) {
			t.Errorf("got %q, want an event that begins with %q", r.lines, want)
		}
	}
}

func TestMessagesPastTheLargestTransactionAreDropped(t *testing.T) {
	told := 0
	r := &recorder{}
	c := newChanges(t.Context(), mustRouter(t, wantMessages("*"), Route{}), r, nil, always(7), 1, func(uint32) { told++ })
	for _, m := range []wire{
		beginMsg(0x10), messageMsg(true, 0x9, "a", ""), messageMsg(true, 0xA, "a", ""), messageMsg(true, 0xB, "b", ""), commitMsg(0x10),
		messageMsg(false, 0x20, "a", ""), messageMsg(false, 0x28, "a", ""),
	} {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.ids) != 3 || told != 1 {
		t.Errorf("%d messages came, told %d times; want 3 and 1", len(r.ids), told)
	}
}

func TestMessageThatDoesNotFitItsPlaceIsAnErrorWithoutItsContent(t *testing.T) {
	for want, messages := range map[string][]wire{
		"handle logical message at 0/9: transactional is true, transaction open is false": {messageMsg(true, 0x9, "SECRET", "SECRET")},
		"handle logical message at 0/9: transactional is false, transaction open is true": {beginMsg(0x10), messageMsg(false, 0x9, "SECRET", "SECRET")},
	} {
		c := newTestChanges(t, wantMessages("*"), &recorder{})
		var err error
		for _, m := range messages {
			err = c.handle(m)
		}
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestPlansOfPrefixesAreBounded(t *testing.T) {
	r := &recorder{}
	c := newTestChanges(t, wantMessages("*"), r)
	for i := range 3 * maxMessagePlans {
		if err := c.handle(messageMsg(false, uint64(i+1)*8, fmt.Sprintf("p%d", i), "")); err != nil {
			t.Fatal(err)
		}
		if len(c.messages) > maxMessagePlans {
			t.Fatalf("%d plans are kept", len(c.messages))
		}
	}
	if len(r.ids) != 3*maxMessagePlans || r.tables[0] != anyMessage {
		t.Errorf("%d messages came, the first of %s", len(r.ids), r.tables[0])
	}
}

func TestMetricsOfUnlistedPrefixesAreOneSeries(t *testing.T) {
	reg := prometheus.NewRegistry()
	published := countPublished(metrics.New(reg, "test"))
	published("t.message_a", anyMessage, 2)
	published("t.message_b", anyMessage, 3)
	published("t.message_c", "message.c", 1)
	want := `# HELP published_events_total Events published and confirmed.
# TYPE published_events_total counter
published_events_total{app="test",subject="message.*",table="message.*"} 5
published_events_total{app="test",subject="t.message_c",table="message.c"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "published_events_total"); err != nil {
		t.Error(err)
	}
}

func TestMessagesAllocateNothing(t *testing.T) {
	c := newTestChanges(t, wantMessages("outbox"), &windowSink{w: newWindow(256 << 10)})
	text, bytes := messageMsg(false, 0x10, "outbox", "text"), messageMsg(false, 0x10, "outbox", "\xff\x00")
	handle := func() {
		for _, m := range []wire{text, bytes} {
			if err := c.handle(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for c.sink.(*windowSink).batches < 2 {
		handle()
	}
	if n := testing.AllocsPerRun(2000, handle); n != 0 {
		t.Errorf("%v allocations for two messages", n)
	}
}
