package kafka

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

const (
	// usualRequest is how many bytes of records one request is filled up to.
	usualRequest = 4 << 20
	// rounds is how often leaders are looked for in one Deliver, and roundPause
	// how much longer the pause gets before each next time.
	rounds     = 5
	roundPause = 20 * time.Millisecond
	// maxRenewals is how often in a row a new epoch is tried before the producer
	// id is given up.
	maxRenewals = 3
	// rawVersion is the first version of the request that takes batches of our
	// format, which came with Kafka 0.11.
	rawVersion = 3
)

// lane is the way to one broker: one request at a time.
type lane struct {
	conn    *conn
	parts   []*partition // that it leads and that have something to send
	encoder *encoder
	size    int // of the records in the request that is being made
}

// send sends what the partitions' queues hold, over as many rounds as leaders
// move.
func (p *Publisher) send(ctx context.Context, batch []publisher.Message) error {
	for round := 1; ; round++ {
		p.round(ctx, batch)
		if err := ctx.Err(); err != nil {
			return err
		}
		again, err := p.outcome()
		if err == nil || !again || round == rounds {
			return err
		}
		if err := publisher.Sleep(ctx, time.Duration(round-1)*roundPause); err != nil {
			return err
		}
		if _, failed := p.refresh(ctx, nil); failed != nil {
			return fmt.Errorf("%w, and then: %w", err, failed)
		}
		if err := p.ensureProducer(ctx); err != nil {
			return err
		}
	}
}

// outcome returns why something is left to send, an error that nothing mends
// first, and whether another round may mend it; nil if nothing is left.
func (p *Publisher) outcome() (again bool, err error) {
	again = true
	for _, part := range p.active {
		if len(part.rest()) == 0 {
			continue
		}
		if worse := !part.again || publisher.IsPermanent(part.err); err == nil || worse && !publisher.IsPermanent(err) {
			err = part.err
		}
		again = again && part.again
	}
	return again, err
}

// round sends what each partition has to its leader, side by side, until the
// queues are empty or the partitions fail.
func (p *Publisher) round(ctx context.Context, batch []publisher.Message) {
	lanes := p.openLanes(ctx)
	if len(lanes) == 1 {
		p.drive(ctx, lanes[0], batch)
		return
	}
	var all sync.WaitGroup
	for _, l := range lanes {
		all.Go(func() {
			defer metrics.ReportPanic()
			p.drive(ctx, l, batch)
		})
	}
	all.Wait()
}

// openLanes sorts the partitions by their leaders and connects to those.
func (p *Publisher) openLanes(ctx context.Context) []*lane {
	var lanes []*lane
	failed := make(map[int32]error) // a broker that does not answer is tried once
	for _, l := range p.lanes {
		l.parts = l.parts[:0]
	}
	for _, part := range p.active {
		part.fail(nil, false)
		if len(part.rest()) == 0 {
			continue
		}
		l := p.lanes[part.leader]
		if l == nil {
			l = &lane{encoder: newEncoder(p.cfg.Content, p.compression)}
			p.lanes[part.leader] = l
		}
		if len(l.parts) == 0 && failed[part.leader] == nil {
			l.conn, failed[part.leader] = p.cluster.node(ctx, part.leader)
			if failed[part.leader] == nil {
				lanes = append(lanes, l)
			}
		}
		if err := failed[part.leader]; err != nil {
			part.fail(fmt.Errorf("write to %s: %w", part, err), !publisher.IsPermanent(err))
			continue
		}
		l.parts = append(l.parts, part)
	}
	return lanes
}

// drive sends request after request to one broker.
func (p *Publisher) drive(ctx context.Context, l *lane, batch []publisher.Message) {
	// The partitions of a topic have to stand together in a request.
	slices.SortStableFunc(l.parts, func(a, b *partition) int { return cmp.Compare(a.topic.name, b.topic.name) })
	if l.conn.versions[protocol.Produce] < rawVersion {
		for _, part := range l.parts {
			part.fail(publisher.Permanent(fmt.Errorf("write to %s: the broker at %s is too old: Kafka 0.11 or newer is needed", part, l.conn.addr)), false)
		}
		return
	}
	for {
		req, sent := p.fill(l, batch)
		if len(sent) == 0 {
			return
		}
		idle := l.conn.idle()
		answer, err := roundTrip[*produce.Response](ctx, l.conn, req)
		if err != nil {
			for _, part := range l.parts {
				part.fail(fmt.Errorf("write to %s: %w", part, err), idle)
			}
			return
		}
		p.settle(answer, sent, batch)
	}
}

// fill makes the next request: one batch of records for each partition that has
// something, up to usualRequest in all.
func (p *Publisher) fill(l *lane, batch []publisher.Message) (*rawproduce.Request, []*partition) {
	req := &rawproduce.Request{Acks: -1, Timeout: int32(ackTimeout.Milliseconds())}
	var sent []*partition
	l.encoder.reset()
	l.size = 0
	for _, part := range l.parts {
		if l.size >= usualRequest {
			break
		}
		records := p.next(l.encoder, part, batch)
		if records == nil {
			continue
		}
		l.size += len(records)
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != part.topic.name {
			req.Topics = append(req.Topics, rawproduce.RequestTopic{Topic: part.topic.name})
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, rawproduce.RequestPartition{
			Partition: part.index, RecordSet: protocol.RawRecordSet{Reader: bytes.NewReader(records)},
		})
		sent = append(sent, part)
	}
	return req, sent
}

// next makes the next batch of records for a partition; nil if there is none.
func (p *Publisher) next(e *encoder, part *partition, batch []publisher.Message) []byte {
	for len(part.rest()) > 0 && part.err == nil {
		if part.sent.n > 0 && !part.resends(batch) {
			p.renew(part)
		}
		if part.producer.id < 0 && !p.plain {
			if part.producer = p.currentProducer(); part.producer.id < 0 {
				part.fail(fmt.Errorf("write to %s: %w", part, errNoProducer), true)
				return nil
			}
		}
		n := part.encode(e, batch)
		size := e.size()
		records, err := e.end(part.producer, time.Now())
		if err != nil {
			part.fail(fmt.Errorf("write to %s: %w", part, err), false)
			return nil
		}
		if len(records)-sizePrefix <= part.topic.largest() || part.sent.n > 0 {
			part.sent, part.sentSize = part.spanOf(batch, n), size
			return records
		}
		e.cancel()
		p.tooLarge(part, batch, n, size)
	}
	return nil
}

// renew begins a new epoch of the partition's producer, or a new producer.
func (p *Publisher) renew(part *partition) {
	if !part.renew() {
		p.abandonProducer()
	}
}

// settle takes the broker's answer for the partitions in a request.
func (p *Publisher) settle(answer *produce.Response, sent []*partition, batch []publisher.Message) {
	waiting := make(map[*partition]bool, len(sent))
	for _, part := range sent {
		waiting[part] = true
	}
	for i := range answer.Topics {
		t := p.topics[answer.Topics[i].Topic]
		if t == nil {
			continue
		}
		for j := range answer.Topics[i].Partitions {
			r := &answer.Topics[i].Partitions[j]
			if r.Partition < 0 || int(r.Partition) >= len(t.parts) || !waiting[t.parts[r.Partition]] {
				continue
			}
			delete(waiting, t.parts[r.Partition])
			p.settleOne(t.parts[r.Partition], r, batch)
		}
	}
	for part := range waiting {
		part.fail(fmt.Errorf("write to %s: %w", part, errAnswer), false)
	}
}

// settleOne judges the answer for one partition.
func (p *Publisher) settleOne(part *partition, r *produce.ResponsePartition, batch []publisher.Message) {
	text := r.ErrorMessage
	for _, e := range r.RecordErrors {
		text = cmp.Or(text, e.BatchIndexErrorMessage)
	}
	switch err := answerError(r.ErrorCode, text); {
	case err == nil, oneOf(err, kafka.DuplicateSequenceNumber): // stored now, or before
		part.confirm()
	case oneOf(err, kafka.MessageSizeTooLarge, kafka.RecordListTooLarge):
		p.tooLarge(part, batch, part.sent.n, part.sentSize)
	case oneOf(err, kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId, kafka.InvalidProducerEpoch,
		kafka.ProducerFenced, kafka.InvalidProducerIDMapping):
		p.outOfSequence(part, err)
	case moved(err):
		part.fail(fmt.Errorf("write to %s: %w", part, err), true)
	default:
		part.fail(fmt.Errorf("write to %s: %w", part, p.explain(err, part)), false)
	}
}

// outOfSequence goes on in a new epoch after the broker did not know what came
// before: it keeps this for a day, and loses it with the log.
func (p *Publisher) outOfSequence(part *partition, err error) {
	part.renewals++
	p.log.Warn("Kafka does not know what it has stored of ours; a new epoch begins", "partition", part.String(), "error", err)
	if part.renewals < maxRenewals {
		p.renew(part)
		return
	}
	part.sent, part.producer, part.renewals = span{}, nobody, 0
	p.abandonProducer()
	part.fail(fmt.Errorf("write to %s: %w", part, err), false)
}

// tooLarge makes what comes next smaller after n messages, of size bytes before
// compression, were too large together. A single one is dropped or the end.
func (p *Publisher) tooLarge(part *partition, batch []publisher.Message, n, size int) {
	if part.sent.n > 0 { // it will not be sent again as it was
		p.renew(part)
	}
	switch {
	case n > 1:
		part.full = size / 2
		return
	case part.sentTrace != "": // a trace is not to cost a message
		part.trace = ""
		return
	}
	m := &batch[part.rest()[0]]
	if p.cfg.SkipOversize {
		p.skip(m, size, part.topic)
		part.done++
		return
	}
	part.fail(publisher.Permanent(publisher.NamingKey(m.Key, fmt.Errorf(
		"write %s of %s with key %q to %s: message of %d bytes is larger than the topic's max.message.bytes%s: "+
			"raise it (kafka-configs.sh --alter --topic %s --add-config max.message.bytes=...), exclude a column, set publisher.kafka.compression, or set publisher.oversize: skip",
		m.Action, m.Table, m.Key, part, size, part.topic.limitText(), part.topic.name))), false)
}

// explain adds what to do to refusals.
func (p *Publisher) explain(err error, part *partition) error {
	switch {
	case oneOf(err, kafka.TopicAuthorizationFailed):
		return p.denied(err, part.topic.name)
	case oneOf(err, kafka.ClusterAuthorizationFailed):
		return publisher.Permanent(fmt.Errorf("%w: let user %q write with a producer id (operation IdempotentWrite on the cluster)", err, p.cfg.User))
	case oneOf(err, kafka.NotEnoughReplicas, kafka.NotEnoughReplicasAfterAppend, kafka.RequestTimedOut):
		return fmt.Errorf("%w: fewer replicas are in sync than the topic's min.insync.replicas asks for, or they are too slow", err)
	case oneOf(err, kafka.InvalidRecord):
		return publisher.Permanent(fmt.Errorf("%w: a topic with cleanup.policy compact takes no message without a key: set publisher.messageKeyFrom, or the policy to delete", err))
	case oneOf(err, kafka.InvalidTimestamp, kafka.UnsupportedForMessageFormat, kafka.UnsupportedCompressionType,
		kafka.PolicyViolation, kafka.InvalidRequiredAcks, kafka.InvalidTopic):
		return publisher.Permanent(err)
	}
	return err
}
