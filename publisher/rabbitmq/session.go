package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/publisher"
)

// Bounds of what is published and not yet confirmed. A broker confirms in
// groups: with less on its way it would run dry between them.
const (
	maxOutstanding      = 2048
	maxOutstandingBytes = 8 << 20 // and one message
)

// session is one connection with one channel. It is used by one goroutine and
// is over when either of them is.
type session struct {
	p    *Publisher
	conn *amqp.Connection
	raw  net.Conn // under conn
	ch   *amqp.Channel
	out  outgoing

	// The client sends to these without regard to whether anybody receives, and
	// they have room for all it may have to say between two Delivers.
	confirms chan amqp.Confirmation
	returns  chan amqp.Return
	blocks   chan amqp.Blocking
	closes   chan *amqp.Error

	// flights are the numbers, in the pending batch, of the messages on their
	// way, in the order in which they were published; bytes is their size.
	flights []int
	bytes   int
	// proven says that the broker has confirmed a message of this session.
	proven bool
	// heard is when it last confirmed one, or something was first on its way.
	heard time.Time
	// blocked is why the broker takes nothing; empty if it does.
	blocked string
	// returned are the messages that came back and whose confirm, which says
	// nothing then, has not come.
	returned map[string]amqp.Return
	// refusal is why the first message, in the order of the batch, was refused
	// of those that the current Deliver tried.
	refusal error
	// limit is the largest body the broker takes, 0 if that is not known.
	limit int
}

// newSession connects and makes sure of the exchange.
func newSession(ctx context.Context, p *Publisher) (*session, error) {
	s := &session{
		p: p, out: newOutgoing(&p.cfg.Content), returned: make(map[string]amqp.Return), limit: p.limit,
		confirms: make(chan amqp.Confirmation, 2*maxOutstanding), returns: make(chan amqp.Return, 2*maxOutstanding),
		blocks: make(chan amqp.Blocking, 64), closes: make(chan *amqp.Error, 2),
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.close(nil)
		return nil, err
	}
	return s, nil
}

func (s *session) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.p.patience)
	defer cancel()
	stop := s.endWith(ctx)
	err := s.openChannel()
	if !stop() {
		return fmt.Errorf("prepare exchange %q: %w", s.p.cfg.Exchange, ctx.Err())
	}
	return err
}

// openChannel makes sure of the exchange and opens the channel in confirm mode.
func (s *session) openChannel() error {
	if err := ensureExchange(s.conn, &s.p.cfg); err != nil {
		return err
	}
	var err error
	if s.ch, err = s.conn.Channel(); err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	s.ch.NotifyPublish(s.confirms)
	s.ch.NotifyReturn(s.returns)
	s.ch.NotifyClose(s.closes)
	if err := s.ch.Confirm(false); err != nil {
		return fmt.Errorf("ask for confirms: %w", err)
	}
	return nil
}

// endWith ends the connection when ctx ends before the function it returns is
// called: the client's calls heed no context.
func (s *session) endWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = s.raw.Close() })
}

// over reports whether the session cannot be used any more.
func (s *session) over() bool { return s.conn.IsClosed() || s.ch.IsClosed() }

// deliver publishes what is left of the batch and waits until all of it is
// settled.
func (s *session) deliver(ctx context.Context, batch []publisher.Message, w *waves) error {
	s.refusal, s.out.trace = nil, publisher.TraceParent(ctx)
	w.resume()
	if len(s.flights) == 0 {
		s.heard = time.Now()
	}
	timer := time.NewTimer(s.p.patience)
	defer timer.Stop()
	if err := s.awaitUnblocked(ctx, timer); err != nil {
		return err
	}
	for {
		if err := s.publishReady(batch, w); err != nil {
			return err
		}
		switch {
		case w.left == 0:
			return nil
		case len(s.flights) == 0:
			return s.refusal
		}
		timer.Reset(s.p.patience)
		if err := s.await(ctx, timer, batch, w); err != nil {
			return err
		}
	}
}

// publishReady publishes what may leave.
func (s *session) publishReady(batch []publisher.Message, w *waves) error {
	for s.hasRoom() {
		i, ok := w.take()
		if !ok {
			return nil
		}
		if settled, err := s.leaveOut(&batch[i]); err != nil {
			s.refuse(i, w, err)
			continue
		} else if settled {
			w.settle(i)
			continue
		}
		if err := s.out.publish(s.ch, s.p.cfg.Exchange, &batch[i]); err != nil {
			w.lose(i)
			s.abort()
			return s.lost(batch, w)
		}
		if len(s.flights) == 0 {
			s.heard = time.Now()
		}
		s.flights = append(s.flights, i)
		s.bytes += len(batch[i].Body)
	}
	return nil
}

// hasRoom reports whether another message may be on its way.
func (s *session) hasRoom() bool {
	if !s.proven {
		return len(s.flights) == 0
	}
	return len(s.flights) < maxOutstanding && s.bytes < maxOutstandingBytes
}

// maxRoutingKey is the longest routing key in bytes (AMQP 0-9-1, shortstr).
const maxRoutingKey = 255

// leaveOut judges whether a message can be published at all: settled means that
// it is dropped.
func (s *session) leaveOut(m *publisher.Message) (settled bool, err error) {
	if len(m.Topic) > maxRoutingKey {
		return false, publisher.Permanent(fmt.Errorf(
			"publish %s of %s: routing key %q has %d bytes and AMQP allows %d: shorten publisher.topicPrefix or map the table in listener.topicsMap",
			m.Action, m.Table, m.Topic, len(m.Topic), maxRoutingKey))
	}
	if s.limit == 0 || len(m.Body) <= s.limit {
		return false, nil
	}
	if !s.p.cfg.SkipOversize {
		return false, oversizeError(m, s.limit)
	}
	s.p.log.Error("message dropped because it is too large (publisher.oversize: skip)", "table", m.Table,
		"action", m.Action, "key", string(m.Key), "id", m.ID, "bytes", len(m.Body), "limit", s.limit)
	if s.p.hooks.Skipped != nil {
		s.p.hooks.Skipped(*m)
	}
	return true, nil
}

// await waits until the broker has said something and notes all it has said.
func (s *session) await(ctx context.Context, timer *time.Timer, batch []publisher.Message, w *waves) error {
	select {
	case c, ok := <-s.confirms:
		if !ok {
			return s.lost(batch, w)
		}
		s.answered(c, batch, w)
		return s.drain(batch, w)
	case b, ok := <-s.blocks:
		s.noteBlocked(b, ok)
		return s.blockedError()
	case <-ctx.Done():
		return fmt.Errorf("wait for %d confirms of RabbitMQ: %w", len(s.flights), ctx.Err())
	case <-timer.C:
		return s.silence()
	}
}

// drain notes the answers that are there already.
func (s *session) drain(batch []publisher.Message, w *waves) error {
	for {
		select {
		case c, ok := <-s.confirms:
			if !ok {
				return s.lost(batch, w)
			}
			s.answered(c, batch, w)
		default:
			return nil
		}
	}
}

// silence is the error for a broker that does not answer.
func (s *session) silence() error {
	since := time.Since(s.heard)
	if since > s.p.stall {
		s.abort()
	}
	return fmt.Errorf("no confirm from RabbitMQ for %s, of %d messages: see whether its queues have a leader and their disks keep up",
		since.Round(time.Millisecond), len(s.flights))
}

// answered notes one confirm. The client delivers them in the order of
// publishing, and a return always before the confirm of the same message.
func (s *session) answered(c amqp.Confirmation, batch []publisher.Message, w *waves) {
	if len(s.flights) == 0 { // a confirm of nothing
		return
	}
	i := s.flights[0]
	s.flights = s.flights[1:]
	s.proven, s.heard = true, time.Now()
	s.collectReturns()
	var refusal error
	if batch != nil {
		s.bytes -= len(batch[i].Body)
		refusal = s.refused(c, &batch[i])
	} else if _, back := s.returned[w.ids[i].String()]; back || !c.Ack {
		refusal = errNotTaken
	}
	if refusal == nil {
		w.settle(i)
		return
	}
	s.refuse(i, w, refusal)
}

// refuse notes that a message was refused.
func (s *session) refuse(i int, w *waves, err error) {
	if i < w.bound {
		s.refusal = err
	}
	w.refuse(i)
}

func (s *session) collectReturns() {
	for {
		select {
		case r, ok := <-s.returns:
			if !ok {
				s.returns = nil // a closed channel would be received from for ever
				return
			}
			r.Body = nil
			s.returned[r.MessageId] = r
		default:
			return
		}
	}
}

// refused returns why the broker did not take a message, or nil if it did.
func (s *session) refused(c amqp.Confirmation, m *publisher.Message) error {
	if !c.Ack {
		return nackError(m, s.p.cfg.Exchange)
	}
	if len(s.returned) == 0 {
		return nil
	}
	id := m.ID.String()
	r, back := s.returned[id]
	if !back {
		return nil
	}
	delete(s.returned, id)
	return returnError(m, s.p.cfg.Exchange, r)
}

// lost ends a session whose connection or channel has ended and says why.
func (s *session) lost(batch []publisher.Message, w *waves) error {
	s.abort()
	for c := range s.confirms {
		s.answered(c, batch, w)
	}
	var reason *amqp.Error
	for e := range s.closes {
		reason = e
	}
	if limit, ok := sizeLimit(reason); ok {
		s.p.limit = limit
		return fmt.Errorf("%w (%w)", errTooLarge, reason)
	}
	return lostError(reason, &s.p.cfg)
}

// abort ends the connection at once. What is in the broker's socket and not read
// is dropped there (RST): it is going to be published again.
func (s *session) abort() {
	reset(s.raw)
	_ = s.raw.Close()
	_ = s.conn.Close()
}

// close ends the session; w, if there is one, learns what was confirmed.
func (s *session) close(w *waves) {
	if len(s.flights) > 0 || s.blocked != "" {
		s.abort()
	} else if err := s.conn.CloseDeadline(time.Now().Add(time.Second)); err != nil && !errors.Is(err, amqp.ErrClosed) {
		s.p.log.Debug("RabbitMQ connection ended without a farewell", "error", err)
	}
	if s.ch == nil {
		return
	}
	for c := range s.confirms { // closed with the channel
		if w != nil {
			s.answered(c, nil, w)
		}
	}
}
