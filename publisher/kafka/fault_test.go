package kafka

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/walherald/walherald/internal/kafkaserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

const apiProduce, apiInitProducerID = 0, 22

// fakes starts a cluster inside the test, with topic t.
func fakes(t *testing.T, brokers, partitions int) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.SeedTopics(int32(partitions), "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// writes is a request that a test looks at or answers in place of the cluster.
type writes struct {
	*kmsg.ProduceRequest
	t *testing.T
}

// batches are the batches of records in the request.
func (w writes) batches() []kmsg.RecordBatch {
	var all []kmsg.RecordBatch
	for _, topic := range w.Topics {
		for _, p := range topic.Partitions {
			var b kmsg.RecordBatch
			if err := b.ReadFrom(p.Records); err != nil {
				w.t.Errorf("read a request: %v", err)
			}
			all = append(all, b)
		}
	}
	return all
}

// has reports whether something is for the partition.
func (w writes) has(partition int32) bool {
	for _, topic := range w.Topics {
		for _, p := range topic.Partitions {
			if p.Partition == partition {
				return true
			}
		}
	}
	return false
}

// refuse answers with an error for all partitions.
func (w writes) refuse(code kafka.Error) (kmsg.Response, error, bool) {
	answer := w.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range w.Topics {
		of := kmsg.NewProduceResponseTopic()
		of.Topic = topic.Topic
		for _, p := range topic.Partitions {
			part := kmsg.NewProduceResponseTopicPartition()
			part.Partition, part.ErrorCode = p.Partition, int16(code)
			of.Partitions = append(of.Partitions, part)
		}
		answer.Topics = append(answer.Topics, of)
	}
	return answer, nil, true
}

var pass = func() (kmsg.Response, error, bool) { return nil, nil, false }

// onProduce lets see every request to write before the cluster does.
func onProduce(t *testing.T, c *kfake.Cluster, see func(writes) (kmsg.Response, error, bool)) {
	var mu sync.Mutex
	c.ControlKey(apiProduce, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		return see(writes{req.(*kmsg.ProduceRequest), t})
	})
}

func TestRefusalsTurnAndRepeatNothing(t *testing.T) {
	codes := []kafka.Error{
		kafka.RequestTimedOut, kafka.NotEnoughReplicas, kafka.NotEnoughReplicasAfterAppend, kafka.NotLeaderForPartition,
		kafka.LeaderNotAvailable, kafka.KafkaStorageError, kafka.NetworkException, kafka.Unknown, kafka.ThrottlingQuotaExceeded,
		kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId, kafka.InvalidProducerEpoch,
	}
	c := fakes(t, 3, 6)
	rnd := rand.New(rand.NewPCG(7, 7))
	refused := make(map[kafka.Error]int)
	onProduce(t, c, func(w writes) (kmsg.Response, error, bool) {
		if rnd.IntN(3) > 0 {
			return pass()
		}
		code := codes[rnd.IntN(len(codes))]
		refused[code]++
		return w.refuse(code)
	})
	p := open(t, Config{Addresses: c.ListenAddrs()}, Hooks{})
	d := publisher.Retry(p, 0, publisher.RetryHooks{})
	const size, batches = 50, 40
	for b := range batches {
		publishertest.Deliver(t, d, publishertest.Changes("t", b*size, size))
	}
	if len(refused) != len(codes) {
		t.Errorf("only %v were refused with, want all of %v", refused, codes)
	}
	expect(t, stored(t, c.ListenAddrs()[0], "t"), size*batches, 0)
}

func TestRetryRepeatsOnlyWhatIsNotConfirmed(t *testing.T) {
	c := fakes(t, 3, 3)
	for part := range int32(3) {
		if err := c.MoveTopicPartition("t", part, part); err != nil {
			t.Fatal(err)
		}
	}
	refuse := true
	onProduce(t, c, func(w writes) (kmsg.Response, error, bool) {
		if refuse && w.has(1) {
			return w.refuse(kafka.NotEnoughReplicas)
		}
		return pass()
	})
	held := 0
	p := open(t, Config{Addresses: c.ListenAddrs()}, Hooks{Held: func(n int) { held += n }})
	batch := publishertest.Changes("t", 0, 100)
	if err := p.Deliver(bounded(t), batch); err == nil || publisher.IsPermanent(err) {
		t.Fatalf("a partition refused, and Deliver returned %v", err)
	}
	confirmed := len(stored(t, c.ListenAddrs()[0], "t"))
	if confirmed == 0 || confirmed == len(batch) {
		t.Fatalf("%d of %d messages are stored: the test shows nothing", confirmed, len(batch))
	}
	refuse = false
	publishertest.Deliver(t, p, batch)
	if held != confirmed {
		t.Errorf("%d messages were left out, want the %d that were confirmed", held, confirmed)
	}
	expect(t, stored(t, c.ListenAddrs()[0], "t"), len(batch), 0)
}

func TestLeaderThatMovedIsFoundAtOnce(t *testing.T) {
	c := fakes(t, 3, 1)
	p := open(t, Config{Addresses: c.ListenAddrs()[:1]}, Hooks{})
	for n := range 12 {
		if err := c.MoveTopicPartition("t", 0, int32(n%3)); err != nil {
			t.Fatal(err)
		}
		publishertest.Deliver(t, p, publishertest.Changes("t", n*10, 10)) // without a retry
	}
	expect(t, stored(t, c.ListenAddrs()[0], "t"), 120, 0)
}

func TestBrokerThatIsGoneIsReplacedByTheNewLeader(t *testing.T) {
	c := fakes(t, 3, 1)
	if err := c.MoveTopicPartition("t", 0, 0); err != nil {
		t.Fatal(err)
	}
	p := open(t, Config{Addresses: c.ListenAddrs()}, Hooks{})
	publishertest.Deliver(t, p, publishertest.Changes("t", 0, 10))
	if err := c.MoveTopicPartition("t", 0, 1); err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveNode(0); err != nil {
		t.Fatal(err)
	}
	publishertest.Deliver(t, publisher.Retry(p, 0, publisher.RetryHooks{}), publishertest.Changes("t", 10, 10))
	expect(t, stored(t, c.ListenAddrs()[1], "t"), 20, 0)
}

func TestUnknownSequenceBeginsANewEpoch(t *testing.T) {
	for _, code := range []kafka.Error{kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId, kafka.InvalidProducerEpoch} {
		t.Run(code.Title(), func(t *testing.T) {
			c := fakes(t, 1, 1)
			var seen []kmsg.RecordBatch
			onProduce(t, c, func(w writes) (kmsg.Response, error, bool) {
				if seen = append(seen, w.batches()...); len(seen) == 2 {
					return w.refuse(code)
				}
				return pass()
			})
			p := open(t, Config{Addresses: c.ListenAddrs()}, Hooks{})
			for n := range 3 {
				publishertest.Deliver(t, p, publishertest.Changes("t", n*10, 10))
			}
			for i, want := range []producer{{0, 0, 0}, {0, 0, 10}, {0, 1, 0}, {0, 1, 10}} {
				got := producer{seen[0].ProducerID - seen[i].ProducerID, seen[i].ProducerEpoch - seen[0].ProducerEpoch, seen[i].FirstSequence}
				if got != want {
					t.Errorf("request %d has %+v, want %+v", i, got, want)
				}
			}
			expect(t, stored(t, c.ListenAddrs()[0], "t"), 30, 0)
		})
	}
}

func TestProducerThatIsNotAcceptedIsReplaced(t *testing.T) {
	c := fakes(t, 1, 1)
	var first int64 = -1
	onProduce(t, c, func(w writes) (kmsg.Response, error, bool) {
		id := w.batches()[0].ProducerID
		if first < 0 {
			first = id
		}
		if id == first {
			return w.refuse(kafka.OutOfOrderSequenceNumber)
		}
		return pass()
	})
	p := open(t, Config{Addresses: c.ListenAddrs()}, Hooks{})
	publishertest.Deliver(t, publisher.Retry(p, 0, publisher.RetryHooks{}), publishertest.Changes("t", 0, 10))
	expect(t, stored(t, c.ListenAddrs()[0], "t"), 10, 0)
}

func TestBrokersWithoutProducerIDsAreWrittenToPlainly(t *testing.T) {
	for _, code := range []kafka.Error{kafka.ClusterAuthorizationFailed, kafka.UnsupportedVersion} {
		c := fakes(t, 1, 2)
		asked := 0
		c.ControlKey(apiInitProducerID, func(req kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			asked++
			answer := req.ResponseKind().(*kmsg.InitProducerIDResponse)
			answer.ErrorCode = int16(code)
			return answer, nil, true
		})
		refusals := 0
		onProduce(t, c, func(w writes) (kmsg.Response, error, bool) {
			for _, b := range w.batches() {
				if b.ProducerID != -1 || b.ProducerEpoch != -1 || b.FirstSequence != -1 {
					t.Errorf("a batch is from producer %d, epoch %d, with sequence %d", b.ProducerID, b.ProducerEpoch, b.FirstSequence)
				}
			}
			if refusals++; refusals%3 == 0 {
				return w.refuse(kafka.NotEnoughReplicas)
			}
			return pass()
		})
		var modes []string
		p := open(t, Config{Addresses: c.ListenAddrs()}, Hooks{Mode: func(m string) { modes = append(modes, m) }})
		d := publisher.Retry(p, 0, publisher.RetryHooks{})
		for n := range 5 {
			publishertest.Deliver(t, d, publishertest.Changes("t", n*10, 10))
		}
		if !slices.Equal(modes, []string{ModePlain}) || asked != 1 {
			t.Errorf("modes are %v after %d questions, want plain after one", modes, asked)
		}
		expect(t, stored(t, c.ListenAddrs()[0], "t"), 50, 0)
	}
}

func TestOneMessageTooLargeIsFoundByHalving(t *testing.T) {
	const limit = 3000
	tooLarge := func(t *testing.T, skip bool) (*kfake.Cluster, *Publisher, *[]publisher.ID) {
		c := fakes(t, 1, 1)
		onProduce(t, c, func(w writes) (kmsg.Response, error, bool) {
			for _, b := range w.batches() {
				if b.Length > limit {
					return w.refuse(kafka.MessageSizeTooLarge)
				}
			}
			return pass()
		})
		var skipped []publisher.ID
		p := open(t, Config{Addresses: c.ListenAddrs(), SkipOversize: skip}, Hooks{
			Skipped: func(m publisher.Message) { skipped = append(skipped, m.ID) },
		})
		return c, p, &skipped
	}
	batch := func() []publisher.Message {
		b := publishertest.Changes("t", 0, 100)
		b[61].Body = append(b[61].Body, make([]byte, limit)...)
		return b
	}
	t.Run("Stop", func(t *testing.T) {
		c, p, _ := tooLarge(t, false)
		if err := p.Deliver(bounded(t), batch()); !publisher.IsPermanent(err) {
			t.Fatalf("Deliver returned %v, want a permanent error", err)
		}
		expect(t, stored(t, c.ListenAddrs()[0], "t"), 61, 0)
	})
	t.Run("Skip", func(t *testing.T) {
		c, p, skipped := tooLarge(t, true)
		publishertest.Deliver(t, p, batch())
		if !slices.Equal(*skipped, []publisher.ID{publishertest.ID(61)}) {
			t.Errorf("skipped are %v, want change 61 alone", *skipped)
		}
		if got := len(stored(t, c.ListenAddrs()[0], "t")); got != 99 {
			t.Errorf("%d changes are stored, want 99", got)
		}
	})
}

func TestCutsTurnAndRepeatNothing(t *testing.T) {
	s, proxy := behindProxy(t, kafkaserver.Options{})
	makeTopic(t, s.AdminAddr(), "t", 3)
	p := open(t, Config{Addresses: []string{proxy.Addr()}}, Hooks{}, func(p *Publisher) { p.cluster.timeout = 300 * time.Millisecond })
	failed := 0
	d := publisher.Retry(p, 0, publisher.RetryHooks{Failed: func(error, *publisher.Message, time.Duration) {
		failed++
		proxy.Blackhole(false)
	}})
	const size, cuts = 200, 30
	rnd := rand.New(rand.NewPCG(3, 4))
	n := 0
	for failed < cuts {
		switch rnd.IntN(4) {
		case 0: // the request arrives in part
			proxy.CutAfter(rnd.Int64N(size * 400))
		case 1: // it is carried out, and the answer is lost
			proxy.CutRepliesAfter(rnd.Int64N(60))
		case 2: // it arrives after it was given up
			proxy.Blackhole(true)
		}
		publishertest.Deliver(t, d, publishertest.Changes("t", n*size, size))
		n++
	}
	expect(t, stored(t, s.AdminAddr(), "t"), n*size, 0)
}

// TestLateRequestOfAnEarlierEpochIsRefused sends by hand what a dead connection
// could still hold.
func TestLateRequestOfAnEarlierEpochIsRefused(t *testing.T) {
	s := kafkaserver.ForTest(t, kafkaserver.Options{})
	makeTopic(t, s.AdminAddr(), "t", 1)
	p := open(t, Config{Addresses: []string{s.Addr()}}, Hooks{})
	publishertest.Deliver(t, p, publishertest.Changes("t", 0, 10))
	part := p.topics["t"].parts[0]

	late := publishertest.Changes("t", 10, 10)
	part.queue, part.done = part.queue[:0], 0
	for i := range late {
		part.queue = append(part.queue, int32(i))
	}
	l := &lane{encoder: newEncoder(publisher.Content{}, p.compression), parts: []*partition{part}}
	req, sent := p.fill(l, late)
	if len(sent) != 1 {
		t.Fatal("there is no late request")
	}
	// The next batch is another one: what was sent cannot be sent again as it was.
	publishertest.Deliver(t, p, publishertest.Changes("t", 10, 5))
	conn, err := p.cluster.any(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := roundTrip[*produce.Response](bounded(t), conn, req)
	if err != nil {
		t.Fatal(err)
	}
	if err := answerError(answer.Topics[0].Partitions[0].ErrorCode, ""); !oneOf(err, kafka.InvalidProducerEpoch) {
		t.Errorf("a late request was answered with %v", err)
	}
	publishertest.Deliver(t, p, publishertest.Changes("t", 15, 5))
	expect(t, stored(t, s.AdminAddr(), "t"), 20, 0)
}

func TestMorePartitionsAreUsedOnceNothingIsUnfinished(t *testing.T) {
	c := fakes(t, 1, 1)
	p := open(t, Config{Addresses: c.ListenAddrs()}, Hooks{})
	publishertest.Deliver(t, p, publishertest.Changes("t", 0, 20))
	client := asks(t, c.ListenAddrs()[0])
	defer client.Close()
	req := kmsg.NewPtrCreatePartitionsRequest()
	of := kmsg.NewCreatePartitionsRequestTopic()
	of.Topic, of.Count = "t", 4
	req.Topics = append(req.Topics, of)
	if _, err := req.RequestWith(bounded(t), client); err != nil {
		t.Fatal(err)
	}
	p.unfinished = true
	publishertest.Deliver(t, p, nil)
	if got := p.topics["t"].count; got != 1 {
		t.Errorf("%d partitions are used while a batch is unfinished", got)
	}
	p.unfinished = false
	publishertest.Deliver(t, p, nil)
	publishertest.Deliver(t, p, publishertest.Changes("t", 20, 200))
	used := make(map[int32]bool)
	for _, r := range stored(t, c.ListenAddrs()[0], "t") {
		used[r.Partition] = true
	}
	if len(used) < 2 {
		t.Errorf("the partitions used are %v", used)
	}
}

func TestTableWithoutAKeyKeepsItsOrder(t *testing.T) {
	c := fakes(t, 1, 8)
	p := open(t, Config{Addresses: c.ListenAddrs()}, Hooks{})
	batch := publishertest.Changes("t", 0, 300)
	for i := range batch {
		batch[i].Key, batch[i].Table = nil, fmt.Sprintf("public.t%d", i%10)
	}
	publishertest.Deliver(t, p, batch)
	next := make(map[string]int)
	parts := make(map[int32]bool)
	for _, r := range stored(t, c.ListenAddrs()[0], "t") {
		if r.Key != nil {
			t.Fatalf("record has key %q", r.Key)
		}
		n := publishertest.Number(t, r.Value, header(r, publisher.AttrID))
		table := header(r, publisher.AttrTable)
		if n/10 != next[table] {
			t.Errorf("change %d of %s comes where %d should", n/10, table, next[table])
		}
		next[table]++
		parts[r.Partition] = true
	}
	if len(next) != 10 || len(parts) < 3 {
		t.Errorf("%d tables in %d partitions", len(next), len(parts))
	}
}
