package nats

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/walherald/walherald/publisher"
)

// publishChain publishes each message with its id and with the id of the one it
// has to follow, without waiting in between. It rests on the stream having no
// other writer at the moment: a message of another one breaks the chain, and
// all behind it is refused. Sequences would not do as links: the message after
// the refused one would find the sequence it expects taken by the other writer's.
// Not for replicated streams: there the server checks this link when it applies
// what all replicas have agreed on, and a refusal stops the stream.
func (s *session) publishChain(ctx context.Context, batch []publisher.Message) error {
	replies, ids := s.chainStrings(batch)
	out := newOutgoing(s.writer)
	stall := newStall()
	defer stall.Stop()

	acked := 0
	for i := range batch {
		for i-acked >= maxOutstanding {
			if err := s.chainAck(ctx, stall, &acked); err != nil {
				return fmt.Errorf("publish message %d of %d: %w", acked+1, len(batch), err)
			}
		}
		id := ids.next()
		out.messageID(id)
		if s.lastMsgID == "" {
			out.expectAfter(s.lastSeq)
		} else {
			out.expectNothing()
			out.expectAfterID(s.lastMsgID)
		}
		s.lastMsgID = id
		if err := s.send(out, &batch[i], replies.next(), id[:idLen]); err != nil {
			return fmt.Errorf("publish message %d of %d: %w", i+1, len(batch), err)
		}
	}
	for acked < len(batch) {
		if err := s.chainAck(ctx, stall, &acked); err != nil {
			return fmt.Errorf("publish message %d of %d: %w", acked+1, len(batch), err)
		}
	}
	s.lastSeq += uint64(len(batch))
	return nil
}

// chainAck takes one acknowledgement. The server answers in the order of the
// messages, so the one after acked is meant.
func (s *session) chainAck(ctx context.Context, stall stallTimer, acked *int) error {
	m, err := s.awaitAck(ctx, stall)
	if err != nil {
		return err
	}
	ack, err := parseAck(m)
	if err != nil {
		return err
	}
	*acked++
	if want := s.lastSeq + uint64(*acked); ack.Seq != want {
		return fmt.Errorf("%w (stored as %d, expected %d)", errWrongSequence, ack.Seq, want)
	}
	return nil
}

// publishEach publishes one message after the other, each confirmed before the
// next leaves: slow, but in order in any company.
func (s *session) publishEach(ctx context.Context, batch []publisher.Message) error {
	replies, ids := s.chainStrings(batch)
	out := newOutgoing(s.writer)
	stall := newStall()
	defer stall.Stop()
	for i := range batch {
		id := ids.next()
		out.messageID(id)
		if err := s.send(out, &batch[i], replies.next(), id[:idLen]); err != nil {
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

// idLen is how much of a message id is the event's.
const idLen = 36

// chainStrings prepares the reply subject and the message id of each message:
// the event's id and what it is unique within. The same position can hold
// another change on another timeline, which the server must not take for a repeat.
func (s *session) chainStrings(batch []publisher.Message) (replies, ids *texts) {
	replies, ids = newTexts(len(batch)), newTexts(len(batch))
	for i := range batch {
		replies.buf = append(replies.buf, s.inbox...)
		replies.buf = append(replies.buf, '.')
		replies.buf = strconv.AppendInt(replies.buf, int64(i), 10)
		replies.end()
		ids.buf, _ = batch[i].ID.AppendText(ids.buf)
		ids.buf = append(ids.buf, '.')
		ids.buf = append(ids.buf, s.writer...)
		ids.end()
	}
	return replies.seal(), ids.seal()
}

type stallTimer = *time.Timer
