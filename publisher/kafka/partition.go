package kafka

import (
	"cmp"
	"math"
	"strconv"

	"github.com/walherald/walherald/publisher"
)

// partition is one partition of a topic: what it holds of ours, what of the
// current batch is for it, and what was sent to it and not confirmed.
type partition struct {
	topic  *topic
	index  int32
	leader int32 // node id; negative if there is none

	// confirmed is the last message of writer that the partition is known to
	// hold. What is not after it is not sent again.
	confirmed publisher.ID
	writer    string

	// producer is what the next batch of records begins with.
	producer producer
	// sent is the batch of records that was sent at producer.sequence and is not
	// confirmed, so that it may be stored or not, or be on its way. Nothing else
	// is sent with the same sequence number and epoch.
	sent span
	// sentTrace is the header traceparent of the records that were written last,
	// which are those of sent if there are any.
	sentTrace string

	// trace is the header traceparent of the current batch; empty if it is not
	// traced, or if a message is too large with it.
	trace string
	// queue is the places in the current batch of what is for this partition, of
	// which the first done are behind us.
	queue []int32
	done  int
	// full is what batches of records are filled up to after the broker has
	// refused larger ones; 0 is what the topic says.
	full int
	// sentSize is the size of what was sent, before compression.
	sentSize int
	// renewals counts how often in a row the broker did not accept the sequence.
	renewals int
	// err is why the partition does not go on in this round; again says that
	// another round may mend it at once.
	err   error
	again bool
}

// span is some messages of a writer in a row. Its ids and their number tell it
// from any other.
type span struct {
	writer      string
	first, last publisher.ID
	n           int
}

func newPartition(t *topic, index int32) *partition {
	return &partition{topic: t, index: index, leader: -1, producer: nobody}
}

// String names the partition in errors.
func (p *partition) String() string {
	return "partition " + strconv.Itoa(int(p.index)) + " of topic " + p.topic.name
}

// holds reports whether m is known to be stored.
func (p *partition) holds(m *publisher.Message) bool {
	return p.writer == m.Writer && m.ID.Compare(p.confirmed) <= 0 && m.Writer != ""
}

// rest is the places of what is still to be sent.
func (p *partition) rest() []int32 { return p.queue[p.done:] }

// spanOf describes the next n messages.
func (p *partition) spanOf(batch []publisher.Message, n int) span {
	rest := p.rest()
	first, last := &batch[rest[0]], &batch[rest[n-1]]
	return span{writer: last.Writer, first: first.ID, last: last.ID, n: n}
}

// confirm takes what was sent for stored.
func (p *partition) confirm() {
	p.confirmed, p.writer = p.sent.last, p.sent.writer
	p.producer.sequence = addSequence(p.producer.sequence, p.sent.n)
	p.done += p.sent.n
	p.sent, p.renewals = span{}, 0
}

// fail ends the round for the partition.
func (p *partition) fail(err error, again bool) { p.err, p.again = err, again }

// addSequence adds n to a sequence number, which begins at 0 again after the
// largest; nobody's stays.
func addSequence(sequence int32, n int) int32 {
	if sequence == noSequence {
		return noSequence
	}
	return int32((int64(sequence) + int64(n)) & math.MaxInt32)
}

// renew begins a new epoch, in which sequence numbers begin at 0. From its first
// batch of records on, the broker refuses what still comes of an earlier epoch,
// and until then what comes is only a repeat in front: nothing can come between
// or behind. It is false when there is no epoch left, and another producer id is
// needed; the partition then has none.
func (p *partition) renew() bool {
	p.sent = span{}
	switch {
	case p.producer.id < 0:
		return true
	case p.producer.epoch == math.MaxInt16:
		p.producer = nobody
		return false
	}
	p.producer.epoch++
	p.producer.sequence = 0
	return true
}

// resends reports whether the next messages are the ones that were sent and are
// not confirmed.
func (p *partition) resends(batch []publisher.Message) bool {
	n := p.sent.n
	return n > 0 && n <= len(p.rest()) && p.sent == p.spanOf(batch, n)
}

// encode writes the next messages as one batch of records and returns how many
// they are. What was sent and is not confirmed is written as it was, also where
// the batch has a trace of its own by now.
func (p *partition) encode(e *encoder, batch []publisher.Message) (n int) {
	rest, full := p.rest(), cmp.Or(p.full, p.topic.full)
	resend := p.resends(batch)
	if resend {
		rest = rest[:p.sent.n]
	} else {
		p.sentTrace = p.trace
	}
	e.trace = p.sentTrace
	e.begin()
	for n < len(rest) {
		before := e.size()
		e.add(&batch[rest[n]])
		if n > 0 && e.size() > full && !resend {
			e.undo(before)
			break
		}
		n++
	}
	return n
}
