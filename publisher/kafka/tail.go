package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/walherald/walherald/publisher"
)

const (
	// tailRefresh is how often Tail looks for new topics, partitions and leaders.
	tailRefresh = 2 * time.Second
	// tailWait is how long a broker may wait for something to hand out.
	tailWait = 250 * time.Millisecond
	// tailPause comes after something went wrong.
	tailPause = 250 * time.Millisecond
	// tailBytes bounds one answer, tailPart what is in it of one partition.
	tailBytes = 8 << 20
	tailPart  = 1 << 20
	// Where a partition is read from (ListOffsets).
	oldestOffset = -2
	latestOffset = -1
)

// Tail reads what consumers of all topics whose names begin with prefix get,
// until ctx ends, which is no error. Topics and partitions that are made
// meanwhile are read from their beginning. It belongs to no consumer group and
// leaves nothing behind. A cluster that cannot be reached at the start is an
// error; later faults are waited out. emit is called by one goroutine; its error
// ends Tail.
func Tail(ctx context.Context, cfg Config, prefix string, from publisher.Start, emit func(publisher.Received) error) error {
	p := New(cfg, Hooks{}, slog.New(slog.DiscardHandler))
	if p.invalid != nil {
		return p.invalid
	}
	defer p.cluster.close()
	r := &tail{cluster: p.cluster, prefix: prefix, emit: emit, parts: make(map[tailKey]*tailPosition), first: latestOffset}
	if from == publisher.StartOldest {
		r.first = oldestOffset
	}
	err := r.run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type tailKey struct {
	topic string
	part  int32
}

// tailPosition is where reading a partition goes on.
type tailPosition struct {
	leader int32
	next   int64 // negative: oldestOffset or latestOffset
}

// tail is one Tail.
type tail struct {
	cluster *cluster
	prefix  string
	emit    func(publisher.Received) error
	parts   map[tailKey]*tailPosition
	first   int64 // where partitions are read from that are seen first
	emitted error // what emit returned
}

func (r *tail) run(ctx context.Context) error {
	if err := r.refresh(ctx); err != nil {
		return err
	}
	r.first = oldestOffset // what is new from now on is read whole
	asked := time.Now()
	for ctx.Err() == nil {
		err := r.read(ctx)
		if r.emitted != nil {
			return r.emitted
		}
		if err != nil {
			if err := publisher.Sleep(ctx, tailPause); err != nil {
				return err
			}
		}
		if err != nil || time.Since(asked) > tailRefresh {
			if err := r.refresh(ctx); publisher.IsPermanent(err) {
				return err
			}
			asked = time.Now()
		}
	}
	return ctx.Err()
}

// refresh finds the partitions, their leaders and where to begin.
func (r *tail) refresh(ctx context.Context) error {
	answer, err := r.cluster.metadata(ctx, nil)
	if err != nil {
		return err
	}
	for i := range answer.Topics {
		if t := &answer.Topics[i]; strings.HasPrefix(t.Name, r.prefix) && !t.IsInternal {
			r.learn(t)
		}
	}
	return r.find(ctx)
}

func (r *tail) learn(t *metadata.ResponseTopic) {
	for _, p := range t.Partitions {
		key := tailKey{t.Name, p.PartitionIndex}
		if r.parts[key] == nil {
			r.parts[key] = &tailPosition{next: r.first}
		}
		r.parts[key].leader = p.LeaderID
	}
}

// of returns the partitions that a broker leads and that choose wants, by their
// names.
func (r *tail) of(leader int32, choose func(*tailPosition) bool) []tailKey {
	var keys []tailKey
	for key, p := range r.parts {
		if p.leader == leader && choose(p) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b tailKey) int {
		if c := strings.Compare(a.topic, b.topic); c != 0 {
			return c
		}
		return int(a.part - b.part)
	})
	return keys
}

func (r *tail) leaders(choose func(*tailPosition) bool) []int32 {
	var ids []int32
	for _, p := range r.parts {
		if choose(p) && p.leader >= 0 && !slices.Contains(ids, p.leader) {
			ids = append(ids, p.leader)
		}
	}
	return ids
}

func unplaced(p *tailPosition) bool { return p.next < 0 }
func placed(p *tailPosition) bool   { return p.next >= 0 }

// find turns oldestOffset and latestOffset into numbers.
func (r *tail) find(ctx context.Context) error {
	for _, leader := range r.leaders(unplaced) {
		req := &listoffsets.Request{ReplicaID: -1}
		for _, key := range r.of(leader, unplaced) {
			if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != key.topic {
				req.Topics = append(req.Topics, listoffsets.RequestTopic{Topic: key.topic})
			}
			t := &req.Topics[len(req.Topics)-1]
			t.Partitions = append(t.Partitions, listoffsets.RequestPartition{
				Partition: key.part, CurrentLeaderEpoch: -1, Timestamp: r.parts[key].next,
			})
		}
		conn, err := r.cluster.node(ctx, leader)
		if err != nil {
			return fmt.Errorf("find where topics begin: %w", err)
		}
		answer, err := roundTrip[*listoffsets.Response](ctx, conn, req)
		if err != nil {
			return fmt.Errorf("find where topics begin: %w", err)
		}
		for _, t := range answer.Topics {
			for _, p := range t.Partitions {
				if at := r.parts[tailKey{t.Topic, p.Partition}]; at != nil && p.ErrorCode == 0 {
					at.next = p.Offset
				}
			}
		}
	}
	return nil
}

// read asks each broker once for what is new.
func (r *tail) read(ctx context.Context) error {
	leaders := r.leaders(placed)
	if len(leaders) == 0 {
		return publisher.Sleep(ctx, tailWait)
	}
	for _, leader := range leaders {
		conn, err := r.cluster.node(ctx, leader)
		if err != nil {
			return err
		}
		answer, err := roundTrip[*fetch.Response](ctx, conn, r.request(leader, tailWait/time.Duration(len(leaders))))
		if err != nil {
			return err
		}
		for i := range answer.Topics {
			for j := range answer.Topics[i].Partitions {
				if err := r.take(answer.Topics[i].Topic, &answer.Topics[i].Partitions[j]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *tail) request(leader int32, wait time.Duration) *fetch.Request {
	req := &fetch.Request{
		ReplicaID: -1, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: 1, MaxBytes: tailBytes, SessionEpoch: -1,
	}
	for _, key := range r.of(leader, placed) {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != key.topic {
			req.Topics = append(req.Topics, fetch.RequestTopic{Topic: key.topic})
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, fetch.RequestPartition{
			Partition: key.part, CurrentLeaderEpoch: -1, FetchOffset: r.parts[key].next, LogStartOffset: -1, PartitionMaxBytes: tailPart,
		})
	}
	return req
}

// take hands on what came of one partition.
func (r *tail) take(topic string, p *fetch.ResponsePartition) error {
	at := r.parts[tailKey{topic, p.Partition}]
	if at == nil {
		return errAnswer
	}
	switch err := answerError(p.ErrorCode, ""); {
	case errors.Is(err, kafka.OffsetOutOfRange): // the oldest was deleted meanwhile, or the topic made again
		at.next = oldestOffset
		return err
	case err != nil:
		return err
	case p.RecordSet.Records == nil:
		return nil
	}
	for _, batch := range batchesOf(p.RecordSet.Records) {
		_, control := batch.(*protocol.ControlBatch) // marks of transactions
		for {
			record, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("read topic %s: %w", topic, err)
			}
			if record.Offset < at.next { // the batch begins before what was asked for
				continue
			}
			at.next = record.Offset + 1
			if control {
				continue
			}
			if r.emitted = r.hand(topic, record); r.emitted != nil {
				return r.emitted
			}
		}
	}
	return nil
}

func batchesOf(records protocol.RecordReader) []protocol.RecordReader {
	if stream, ok := records.(*protocol.RecordStream); ok {
		return stream.Records
	}
	return []protocol.RecordReader{records}
}

// hand calls emit for a record.
func (r *tail) hand(topic string, record *protocol.Record) error {
	key, err := protocol.ReadAll(record.Key)
	if err != nil {
		return fmt.Errorf("read topic %s: %w", topic, err)
	}
	body, err := protocol.ReadAll(record.Value)
	if err != nil {
		return fmt.Errorf("read topic %s: %w", topic, err)
	}
	received := publisher.Received{Topic: topic, Key: key, Body: body, Stored: record.Time}
	for _, h := range record.Headers {
		received.Attributes = append(received.Attributes, publisher.Attribute{Name: h.Key, Value: string(h.Value)})
		if h.Key == "content-encoding" {
			received.Encoding = string(h.Value)
		}
	}
	return r.emit(received)
}
