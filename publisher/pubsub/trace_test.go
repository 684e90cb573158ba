package pubsub

import (
	"testing"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

const testTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceCostsNoMessage(t *testing.T) {
	f, topic := fakeWithTopic(t)
	p := open(t, f.Addr())
	batch := publishertest.Changes(topic, 0, 2)
	queues, err := p.plan(batch[1:], "")
	if err != nil {
		t.Fatal(err)
	}
	room := MaxRequestBytes - p.requestOverhead(topic) - queues[0].messages[0].size
	batch[1].Body = append(batch[1].Body, make([]byte, room-len(testTrace))...)
	if err := p.Deliver(publisher.WithTraceParent(t.Context(), testTrace), batch); err != nil {
		t.Fatal(err)
	}
	expectExactly(t, stored(t, f, topic), 2)
	for _, m := range f.Messages(topicName(testProject, topic)) {
		if traced, small := m.Attributes["traceparent"] != "", len(m.Data) < 1000; traced != small {
			t.Errorf("a message of %d bytes is traced: %v", len(m.Data), traced)
		}
	}
}
