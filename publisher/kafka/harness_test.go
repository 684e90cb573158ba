package kafka

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/walherald/walherald/internal/faultproxy"
	"github.com/walherald/walherald/internal/kafkaserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// testTimeout bounds what a test waits for.
const testTimeout = time.Minute

// bounded is the context of a test's own requests.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// behindProxy starts a server whose clients come through a proxy.
func behindProxy(t *testing.T, opts kafkaserver.Options) (*kafkaserver.Server, *faultproxy.Proxy) {
	t.Helper()
	proxy, err := faultproxy.Listen("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	publishertest.Closed(t, proxy)
	opts.Advertise = proxy.Addr()
	s := kafkaserver.ForTest(t, opts)
	proxy.Retarget(s.Addr())
	return s, proxy
}

// asks opens a client of another make, for what a test does by itself.
func asks(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.RetryTimeout(testTimeout)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// makeTopic makes a topic with a configuration of names and values in turn.
func makeTopic(t *testing.T, addr, name string, partitions int, config ...string) {
	t.Helper()
	client := asks(t, addr)
	defer client.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	made := kmsg.NewCreateTopicsRequestTopic()
	made.Topic, made.NumPartitions, made.ReplicationFactor = name, int32(partitions), 1
	for i := 0; i < len(config); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = config[i], &config[i+1]
		made.Configs = append(made.Configs, c)
	}
	req.Topics = append(req.Topics, made)
	answer, err := req.RequestWith(bounded(t), client)
	if err != nil {
		t.Fatal(err)
	}
	if code := answer.Topics[0].ErrorCode; code != 0 {
		t.Fatalf("create topic %s: %v", name, kafka.Error(code))
	}
	for { // until its partitions are there
		end := ends(t, client, name)
		if len(end) == partitions {
			return
		}
	}
}

// ends returns where the partitions of a topic end; fewer while some have no leader.
func ends(t *testing.T, client *kgo.Client, topic string) map[int32]int64 {
	t.Helper()
	meta := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	meta.Topics = append(meta.Topics, asked)
	known, err := meta.RequestWith(bounded(t), client)
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for _, p := range known.Topics[0].Partitions {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp = p.Partition, -1
		of.Partitions = append(of.Partitions, part)
	}
	end := make(map[int32]int64)
	if len(of.Partitions) == 0 {
		return end
	}
	req.Topics = append(req.Topics, of)
	answer, err := req.RequestWith(bounded(t), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			if p.ErrorCode == 0 {
				end[p.Partition] = p.Offset
			}
		}
	}
	return end
}

// stored reads all records of a topic, partition after partition, with a client
// that shares no code with the one under test.
func stored(t *testing.T, addr, topic string) []*kgo.Record {
	t.Helper()
	client := asks(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	parts := make(map[int32][]*kgo.Record)
	left := 0
	for part, end := range ends(t, client, topic) {
		parts[part], left = nil, left+int(end)
	}
	ctx := bounded(t)
	for left > 0 {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err0(); err != nil {
			t.Fatal(err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			parts[r.Partition] = append(parts[r.Partition], r)
			left--
		})
	}
	var all []*kgo.Record
	for part := range int32(len(parts)) {
		all = append(all, parts[part]...)
	}
	return all
}

// header returns the value of a record's header, or "".
func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// open makes a Publisher that ends with the test; change may alter it.
func open(t *testing.T, cfg Config, hooks Hooks, change ...func(*Publisher)) *Publisher {
	t.Helper()
	p := New(cfg, hooks, slog.New(slog.DiscardHandler))
	for _, c := range change {
		c(p)
	}
	return publishertest.Closed(t, p)
}

// expect wants the changes below n stored, those of each key in order, and no
// more than repeats of them twice.
func expect(t *testing.T, records []*kgo.Record, n, repeats int) {
	t.Helper()
	numbers := make([]int, len(records))
	for i, r := range records {
		numbers[i] = publishertest.Number(t, r.Value, header(r, publisher.AttrID))
		if key := publishertest.Key(numbers[i]); string(r.Key) != key {
			t.Fatalf("change %d has key %q, want %s", numbers[i], r.Key, key)
		}
	}
	if again := publishertest.ExpectOrder(t, numbers, n); again > repeats {
		t.Errorf("%d changes are stored again, want %d at most", again, repeats)
	}
}
