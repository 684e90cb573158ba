package kafkaserver

import (
	"context"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask sends requests in the plain way.
func ask(t *testing.T, addr string) *kafka.Client {
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(addr), Transport: transport, Timeout: 10 * time.Second}
}

func TestServerKeepsWhatItTookThroughAKill(t *testing.T) {
	s := ForTest(t, Options{Partitions: 2})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, addr := ask(t, s.Addr()), s.Addr()
	made, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "t", NumPartitions: -1, ReplicationFactor: -1}}})
	if err != nil || made.Errors["t"] != nil {
		t.Fatal(err, made.Errors)
	}
	record := kafka.Record{Value: kafka.NewBytes([]byte("kept"))}
	if _, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: "t", Partition: 1, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(record),
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if s.State() == nil {
		t.Error("a server that was killed has no state")
	}
	if err := s.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if s.Addr() != addr {
		t.Errorf("server moved from %s to %s", addr, s.Addr())
	}
	got, err := ask(t, s.AdminAddr()).ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{"t": {kafka.LastOffsetOf(1)}}})
	if err != nil {
		t.Fatal(err)
	}
	if end := got.Topics["t"][0].LastOffset; end != 1 {
		t.Errorf("partition ends at %d after the restart, want 1", end)
	}
}
