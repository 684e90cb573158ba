package kafka

import (
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"github.com/walherald/walherald/internal/kafkaserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func traceParent(digit string) string {
	return "00-" + strings.Repeat(digit, 32) + "-" + strings.Repeat(digit, 16) + "-01"
}

// What a broker may hold already is told from it by number alone, so it has to be
// the same records.
func TestUnconfirmedRecordsAreSentAgainWithTheTraceTheyHad(t *testing.T) {
	batch := publishertest.Changes("t", 0, 3)
	e := newEncoder(publisher.Content{}, compress.None)
	part := newPartition(&topic{name: "t", full: 1 << 20}, 0)
	write := func(queue []int32, trace string) []byte {
		t.Helper()
		part.queue, part.trace = queue, trace
		n := part.encode(e, batch)
		frame, err := e.end(part.producer, time.UnixMilli(1))
		if err != nil {
			t.Fatal(err)
		}
		part.sent = part.spanOf(batch, n)
		frame = append([]byte(nil), frame...)
		e.reset()
		return frame
	}
	first := write([]int32{0, 1}, traceParent("a"))
	for name, trace := range map[string]string{"of another trace": traceParent("b"), "not traced": ""} {
		if again := write([]int32{0, 1}, trace); string(again) != string(first) {
			t.Errorf("records are not as they were when the batch is %s", name)
		}
	}
	part.confirm()
	part.done = 0
	if next := string(write([]int32{2}, traceParent("b"))); !strings.Contains(next, traceParent("b")) || strings.Contains(next, traceParent("a")) {
		t.Error("the next records have the trace of those before")
	}
}

func TestTraceCostsNoMessage(t *testing.T) {
	s := kafkaserver.ForTest(t, kafkaserver.Options{})
	makeTopic(t, s.AdminAddr(), "t", 1, "max.message.bytes", "4096")
	p := open(t, Config{Addresses: []string{s.Addr()}}, Hooks{})
	publishertest.Deliver(t, p, publishertest.Changes("t", 0, 1))
	batch := publishertest.Changes("t", 1, 3)
	overhead := recordSize(t, &batch[1]) - len(batch[1].Body)
	body := strings.Repeat("x", 4096-overhead-len(batch[1].Body)-10)
	batch[1].Body = append(batch[1].Body, body...)
	if err := p.Deliver(publisher.WithTraceParent(t.Context(), traceParent("a")), batch); err != nil {
		t.Fatal(err)
	}
	records := stored(t, s.AdminAddr(), "t")
	if len(records) != 4 {
		t.Fatalf("%d records are stored, want 4", len(records))
	}
	for _, h := range records[2].Headers {
		if h.Key == publisher.HeaderTraceParent {
			t.Error("the largest record is traced")
		}
	}
	if h := records[1].Headers; h[len(h)-1].Key != publisher.HeaderTraceParent {
		t.Errorf("the record before has the headers %v", h)
	}
}

// recordSize is the size of a batch of one record.
func recordSize(t *testing.T, m *publisher.Message) int {
	t.Helper()
	e := newEncoder(publisher.Content{}, compress.None)
	e.begin()
	e.add(m)
	return e.size()
}
