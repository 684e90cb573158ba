package nats

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/walherald/walherald/publisher"
)

// publishChain publishes each message with its id and with the id of the one it
// has to follow, without waiting in between. It rests on the stream having no
// other writer at the moment: a message of another one breaks the chain, and
// all behind it is refused. Sequences would not do as links: the message after
// the refused one would find the sequence it expects taken by the other writer's.
// Since a message is only stored behind the one it names, an acknowledgement of
// one speaks for all before it: only that of every ackEvery'th is asked for.
//
// Not for replicated streams: there the server checks this link when it applies
// what all replicas have agreed on, and a refusal stops the stream.
func (s *session) publishChain(ctx context.Context, batch []publisher.Message) error {
	replies, ids := s.chainStrings(batch)
	out := newOutgoing(s.p.beside)
	stall := newStall()
	defer stall.Stop()

	acked := 0
	defer func() { s.lastMsgID = strings.Clone(s.lastMsgID) }()
	for i := range batch {
		for i-acked >= maxOutstanding {
			if err := s.chainAck(ctx, stall, &acked, len(batch)); err != nil {
				return fmt.Errorf("publish messages %d to %d of %d: %w", acked+1, i, len(batch), err)
			}
		}
		id, reply := ids.next(), replies.next()
		if i+1 != ackAfter(i, len(batch)) {
			reply = ""
		}
		out.messageID(id)
		if s.lastMsgID == "" {
			out.expectAfter(s.lastSeq)
		} else {
			out.expectNothing()
			out.expectAfterID(s.lastMsgID)
		}
		s.lastMsgID = id
		if err := s.send(out, &batch[i], reply, id); err != nil {
			return fmt.Errorf("publish message %d of %d: %w", i+1, len(batch), err)
		}
	}
	for acked < len(batch) {
		if err := s.chainAck(ctx, stall, &acked, len(batch)); err != nil {
			return fmt.Errorf("publish messages %d to %d: %w", acked+1, len(batch), err)
		}
	}
	s.lastSeq += uint64(len(batch))
	return nil
}

// ackEvery is how many messages one acknowledgement speaks for.
const ackEvery = 256

// ackAfter returns the number of messages, of n, that are stored when the first
// acknowledgement after that for acked of them comes. The first message has one
// of its own: when a batch is refused in the middle, the next attempt begins
// with the message that was refused, and so is told the reason.
func ackAfter(acked, n int) int {
	if acked == 0 {
		return 1
	}
	return min((acked/ackEvery+1)*ackEvery, n)
}

// chainAck takes one acknowledgement, the next after the one for acked of n
// messages: the server answers in their order.
func (s *session) chainAck(ctx context.Context, stall *time.Timer, acked *int, n int) error {
	m, err := s.awaitAck(ctx, stall)
	if err != nil {
		return err
	}
	ack, err := parseAck(m)
	if err != nil {
		return err
	}
	*acked = ackAfter(*acked, n)
	if want := s.lastSeq + uint64(*acked); ack.Seq != want {
		return fmt.Errorf("%w (stored as %d, expected %d)", errWrongSequence, ack.Seq, want)
	}
	return nil
}

// publishEach publishes one message after the other, each confirmed before the
// next leaves: slow, but in order in any company.
func (s *session) publishEach(ctx context.Context, batch []publisher.Message) error {
	replies, ids := s.chainStrings(batch)
	out := newOutgoing(s.p.beside)
	stall := newStall()
	defer stall.Stop()
	for i := range batch {
		id := ids.next()
		out.messageID(id)
		if err := s.send(out, &batch[i], replies.next(), id); err != nil {
			return fmt.Errorf("publish message %d of %d: %w", i+1, len(batch), err)
		}
		m, err := s.awaitAck(ctx, stall)
		if err != nil {
			return fmt.Errorf("publish message %d of %d: %w", i+1, len(batch), err)
		}
		ack, err := parseAck(m)
		if err != nil {
			return fmt.Errorf("publish message %d of %d: %w", i+1, len(batch), err)
		}
		s.lastSeq = ack.Seq
	}
	return nil
}

// chainStrings prepares the reply subject and the message id of each message.
func (s *session) chainStrings(batch []publisher.Message) (replies, ids *texts) {
	replies, ids = s.texts()
	for i := range batch {
		replies.buf = append(replies.buf, s.inbox...)
		replies.buf = append(replies.buf, '.')
		replies.buf = strconv.AppendInt(replies.buf, int64(i), 10)
		replies.end()
		ids.id(&batch[i])
	}
	return replies, ids
}
