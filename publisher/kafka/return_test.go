package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/walherald/walherald/internal/kafkaserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestConnectionThatWasClosedWhileIdleIsNoFailure(t *testing.T) {
	s, proxy := behindProxy(t, kafkaserver.Options{})
	makeTopic(t, s.AdminAddr(), "t", 3)
	p := open(t, Config{Addresses: []string{proxy.Addr()}}, Hooks{})
	for n := range 3 {
		publishertest.Deliver(t, p, publishertest.Changes("t", n*10, 10))
		proxy.Cut()
		for _, conn := range p.cluster.conns {
			conn.used = time.Now().Add(-time.Hour)
		}
	}
	publishertest.Deliver(t, p, nil)
	expect(t, stored(t, s.AdminAddr(), "t"), 30, 0)
}

// TestTopicThatIsMadeAnewIsWrittenToAgain deletes a topic under a Publisher: what
// it knows of sequence numbers there is of no more use.
func TestTopicThatIsMadeAnewIsWrittenToAgain(t *testing.T) {
	s := kafkaserver.ForTest(t, kafkaserver.Options{})
	makeTopic(t, s.AdminAddr(), "t", 3)
	p := open(t, Config{Addresses: []string{s.Addr()}, MissingTopic: MissingCreate, Partitions: 2}, Hooks{})
	d := publisher.Retry(p, 0, publisher.RetryHooks{})
	publishertest.Deliver(t, d, publishertest.Changes("t", 0, 100))

	client := asks(t, s.AdminAddr())
	defer client.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	of := kmsg.NewDeleteTopicsRequestTopic()
	topic := "t"
	of.Topic, req.TopicNames = &topic, []string{topic}
	req.Topics = append(req.Topics, of)
	if _, err := req.RequestWith(bounded(t), client); err != nil {
		t.Fatal(err)
	}
	for len(ends(t, client, "t")) > 0 { // until it has gone
	}
	publishertest.Deliver(t, d, publishertest.Changes("t", 100, 100))
	publishertest.Deliver(t, d, publishertest.Changes("t", 200, 5))
	records := stored(t, s.AdminAddr(), "t")
	if len(records) != 105 {
		t.Errorf("%d records are in the new topic, want 105", len(records))
	}
	for _, r := range records {
		if r.Partition > 1 {
			t.Errorf("a record is in partition %d of 2", r.Partition)
		}
	}
}
