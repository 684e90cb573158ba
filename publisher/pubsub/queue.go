package pubsub

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

const (
	// inFlight is how many requests may wait for their confirmation. With a key's
	// messages in requests of their own many are needed: 256 at the service's
	// usual 20 ms are 12,800 keys a second.
	inFlight = 256
	// lanes is how many queues a topic has without ordering keys: so many that a
	// large batch is on its way at once.
	lanes = 16
	// requestTimeout bounds one request. The service answers in well below a
	// second; a connection that is silent for so long is taken for dead.
	requestTimeout = 20 * time.Second
)

// identity tells messages apart: two writers can have something to say of one event.
type identity struct {
	id     publisher.ID
	writer string
}

func identityOf(m *publisher.Message) identity { return identity{m.ID, m.Writer} }

// outgoing is a message as it will be sent.
type outgoing struct {
	id   identity
	pb   *pubsubpb.PubsubMessage
	size int // within a request
}

// queue is what has to be sent in order.
type queue struct {
	topic    string // its id
	table    string // that of the first message, for errors
	messages []outgoing
	sent     int // how many of them are confirmed
}

// place says which queue a message belongs to.
type place struct {
	topic, key string
	lane       uint8
}

var seed = maphash.MakeSeed()

func (p *Publisher) placeOf(m *publisher.Message, key string) place {
	if p.cfg.EnableOrdering {
		return place{topic: m.Topic, key: key}
	}
	hash := maphash.Bytes(seed, m.Key)
	if len(m.Key) == 0 {
		hash = maphash.String(seed, m.Table)
	}
	return place{topic: m.Topic, lane: uint8(hash % lanes)}
}

// plan splits a batch into queues. What is confirmed already is left out, and
// what is too large, if so configured; otherwise the batch ends before the first
// such message, and the error says why. trace is the attribute traceparent; empty
// if the batch is not traced.
func (p *Publisher) plan(batch []publisher.Message, trace string) ([]*queue, error) {
	var (
		queues []*queue
		places = make(map[place]*queue)
		pbs    = make([]pubsubpb.PubsubMessage, len(batch))
		attrs  []publisher.Attribute
	)
	for i := range batch {
		m := &batch[i]
		if _, held := p.confirmed[identityOf(m)]; held {
			continue
		}
		attrs = p.cfg.Content.Attributes(attrs[:0], m, attributePrefix)
		out := outgoing{identityOf(m), &pbs[i], fieldSize(p.encode(&pbs[i], m, traced(attrs, trace)))}
		if trace != "" && p.requestOverhead(m.Topic)+out.size > MaxRequestBytes { // a trace is not to cost a message
			out.size = fieldSize(p.encode(&pbs[i], m, attrs))
		}
		if size := p.requestOverhead(m.Topic) + out.size; size > MaxRequestBytes {
			if err := p.tooLarge(m, size); err != nil {
				return queues, err
			}
			continue
		}
		at := p.placeOf(m, pbs[i].OrderingKey)
		q := places[at]
		if q == nil {
			q = &queue{topic: m.Topic, table: m.Table}
			places[at], queues = q, append(queues, q)
		}
		q.messages = append(q.messages, out)
		p.lastTopic = m.Topic
	}
	return queues, nil
}

// tooLarge drops a message that no request can hold, or says why it is the end.
func (p *Publisher) tooLarge(m *publisher.Message, size int) error {
	if !p.cfg.SkipOversize {
		return publisher.Permanent(publisher.NamingKey(shown(m.Key), fmt.Errorf("publish %s of %s with key %q to Pub/Sub topic %s: message of %d bytes exceeds the limit of %d bytes: "+
			"exclude a column, compress bodies (publisher.bodyCompression), or set publisher.oversize: skip",
			m.Action, m.Table, shown(m.Key), m.Topic, size, MaxRequestBytes)))
	}
	p.log.Warn("Message dropped: larger than Pub/Sub takes", "table", m.Table, "action", m.Action.String(), "key", shown(m.Key),
		"id", m.ID.String(), "bytes", size, "limit", MaxRequestBytes)
	if p.hooks.Skipped != nil {
		p.hooks.Skipped(*m)
	}
	// Should the batch fail, it must not be told again.
	p.confirmed[identityOf(m)] = struct{}{}
	return nil
}

// requestOverhead is the size of a request without messages.
func (p *Publisher) requestOverhead(topic string) int { return fieldSize(len(p.topicName(topic))) }

// fieldSize is the size of a field with n bytes in it and a number below 16.
func fieldSize(n int) int { return 1 + protowire.SizeBytes(n) }

// request makes the next request of a queue.
func (p *Publisher) request(q *queue) *pubsubpb.PublishRequest {
	req := &pubsubpb.PublishRequest{Topic: p.topicName(q.topic)}
	size := p.requestOverhead(q.topic)
	for _, m := range q.messages[q.sent:] {
		size += m.size
		if n := len(req.Messages); n == p.cfg.MaxBatchMessages || n > 0 && size > p.cfg.MaxBatchBytes {
			break
		}
		req.Messages = append(req.Messages, m.pb)
	}
	return req
}

// flight is the sending of some queues side by side.
type flight struct {
	p *Publisher

	mu      sync.Mutex
	queues  []*queue        // not begun
	over    bool            // no other is begun
	err     error           // the first, or the first that is permanent
	created map[string]bool // topics
}

// send sends the queues and returns when all is confirmed or something has
// failed, and nothing is on its way any more.
func (p *Publisher) send(ctx context.Context, queues []*queue) error {
	f := &flight{p: p, queues: queues, created: make(map[string]bool)}
	var workers sync.WaitGroup
	for range min(inFlight, len(queues)) {
		workers.Go(func() {
			defer metrics.ReportPanic()
			f.work(ctx)
		})
	}
	workers.Wait()
	return f.err
}

// work sends queues one after the other. After a failure no other is begun, as
// it would most likely fail as well: the next attempt goes on with them. Only a
// topic that is waited for says nothing of the others.
func (f *flight) work(ctx context.Context) {
	for {
		q := f.next()
		if q == nil {
			return
		}
		if err := f.drain(ctx, q); err != nil {
			f.fail(err)
		}
	}
}

func (f *flight) next() *queue {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || len(f.queues) == 0 {
		return nil
	}
	q := f.queues[0]
	f.queues = f.queues[1:]
	return q
}

func (f *flight) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	permanent := publisher.IsPermanent(err)
	f.over = f.over || permanent || status.Code(err) != codes.NotFound
	if f.err == nil || permanent && !publisher.IsPermanent(f.err) {
		f.err = err
	}
}

// drain sends the requests of a queue, each once the one before is confirmed.
func (f *flight) drain(ctx context.Context, q *queue) error {
	for q.sent < len(q.messages) {
		req := f.p.request(q)
		err := f.p.call(ctx, req)
		if status.Code(err) == codes.NotFound {
			if err = f.missing(ctx, q.topic, err); err == nil {
				err = f.p.call(ctx, req)
			}
		}
		if err != nil {
			return f.p.explain(ctx, err, fmt.Sprintf("publish %d messages of %s to Pub/Sub topic %s", len(req.Messages), q.table, q.topic))
		}
		q.sent += len(req.Messages)
	}
	return nil
}

// call makes one request. Only an answer that speaks for every message is one.
func (p *Publisher) call(ctx context.Context, req *pubsubpb.PublishRequest) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := p.client.Publish(ctx, req)
	if err != nil {
		return err
	}
	if len(resp.MessageIds) != len(req.Messages) {
		return fmt.Errorf("%d messages are confirmed, want %d", len(resp.MessageIds), len(req.Messages))
	}
	return nil
}
