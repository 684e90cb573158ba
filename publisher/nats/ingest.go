package nats

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/walherald/walherald/publisher"
)

// Operations of fast batch ingest: the last but one token of a reply subject
// <inbox>.<batch>.<flow>.<gap mode>.<sequence>.<operation>.$FI.
const (
	opStart  = "0"
	opAppend = "1"
	opCommit = "2"
)

// ingestFlow is how many messages we ask the server to let pass between two
// acknowledgements; it can choose fewer. ingestAhead such steps may be on
// their way, so that a round trip does not stop the flow.
const (
	ingestFlow  = 500
	ingestAhead = 4
)

// ingest writes the batch as one fast ingest batch and returns nil once the
// server has said that it stores all of it.
func (s *session) ingest(ctx context.Context, batch []publisher.Message) error {
	s.nextBatch()
	replies, ids := s.ingestStrings(batch)
	out := newOutgoing(s.p.beside)
	stall := newStall()
	defer stall.Stop()

	acked, ahead := 0, ingestFlow*ingestAhead
	for i := range batch {
		for i-acked >= ahead {
			ack, err := s.ingestAck(ctx, stall)
			if err != nil {
				return fmt.Errorf("ingest batch: %w", err)
			}
			if ack.Type == "" {
				return s.ended(ack, len(batch))
			}
			acked, ahead = int(ack.Seq), max(1, ack.Messages)*ingestAhead
		}
		if i == 0 && s.expect {
			out.expectAfter(s.lastSeq)
		}
		if err := s.send(out, &batch[i], replies.next(), ids.next()); err != nil {
			return fmt.Errorf("ingest batch: %w", err)
		}
		if i == 0 {
			out.expectNothing()
		}
	}
	for {
		ack, err := s.ingestAck(ctx, stall)
		if err != nil {
			return fmt.Errorf("ingest batch: %w", err)
		}
		if ack.Type == "" {
			return s.ended(ack, len(batch))
		}
	}
}

// nextBatch names the next batch. To the server the one token before the flow is all
// that tells batches of a stream apart, whoever writes them, and it keeps one that was
// abandoned for a while: the name has to be unique beyond the session.
func (s *session) nextBatch() {
	s.batches++
	token := s.inbox[strings.LastIndexByte(s.inbox, '.')+1:]
	s.batch = s.inbox + "." + token + "-" + strconv.FormatUint(s.batches, 10) + "."
}

// ended judges the acknowledgement that ends a batch of n messages. One that names a
// place before which the batch cannot end is not about this batch.
func (s *session) ended(ack pubAck, n int) error {
	if int(ack.Count) != n {
		return fmt.Errorf("ingest batch: server stored %d of %d messages", ack.Count, n)
	}
	if least := s.lastSeq + uint64(n); ack.Seq < least {
		return fmt.Errorf("ingest batch: server says it ends at sequence %d, which cannot be before %d", ack.Seq, least)
	}
	s.lastSeq = ack.Seq
	s.expect = false
	return nil
}

// ingestAck returns the next acknowledgement of the current batch, passing
// over those that still come for an earlier one.
func (s *session) ingestAck(ctx context.Context, stall *time.Timer) (pubAck, error) {
	for {
		m, err := s.awaitAck(ctx, stall)
		if err != nil {
			return pubAck{}, err
		}
		if !s.ofCurrentBatch(m.Subject) {
			continue
		}
		ack, err := parseAck(m)
		if err != nil || ack.Type != "gap" {
			return ack, err
		}
		// A gap is followed by the acknowledgement that ends the batch; what is
		// stored is known then. Nothing more can be added.
		s.p.log.Debug("server found a gap in the batch", "answer", string(m.Data))
	}
}

// ofCurrentBatch reports whether a reply subject is one of the current batch.
func (s *session) ofCurrentBatch(subject string) bool { return strings.HasPrefix(subject, s.batch) }

// ingestStrings prepares the reply subject and the id of each message.
func (s *session) ingestStrings(batch []publisher.Message) (replies, ids *texts) {
	replies, ids = s.texts()
	head := fmt.Sprintf("%s%d.fail.", s.batch, ingestFlow)
	for i := range batch {
		op := opAppend
		switch i {
		case len(batch) - 1:
			op = opCommit
		case 0:
			op = opStart
		}
		replies.buf = append(replies.buf, head...)
		replies.buf = strconv.AppendInt(replies.buf, int64(i+1), 10)
		replies.buf = append(replies.buf, '.')
		replies.buf = append(replies.buf, op...)
		replies.buf = append(replies.buf, ".$FI"...)
		replies.end()
		ids.id(&batch[i])
	}
	return replies, ids
}
