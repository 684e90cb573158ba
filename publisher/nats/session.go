package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/walherald/walherald/publisher"
)

var (
	errLost          = errors.New("connection to NATS lost")
	errStalled       = errors.New("no acknowledgement from JetStream")
	errWrongSequence = errors.New("a message of ours was refused, or the stream holds one of another writer, or of an earlier session, where the next would follow")
)

// maxOutstanding bounds the messages published and not yet acknowledged. It is
// far below the 100,000 at which a server starts to refuse.
const maxOutstanding = 4096

// writeBuffer is how much is gathered before the client writes to the socket,
// in bytes.
const writeBuffer = 128 << 10

// session is one connection and what was learnt over it. It is used by one
// goroutine and is over at its first error.
type session struct {
	p      *Publisher
	nc     *nats.Conn
	conn   *corkedConn // under nc; nil if it is no network connection
	corked bool
	stream streamInfo
	mode   string
	limit  int // bytes a message may have with its headers

	inbox  string         // replies arrive at <inbox>.>
	acks   chan *nats.Msg // and from there come here
	closed chan struct{}  // closed when the connection is

	// lastSeq is the stream's last sequence if nobody else writes to it, held
	// the id of the last message of writer. They are read when the session
	// begins and kept up to date by what it writes.
	lastSeq uint64
	writer  string
	held    publisher.ID
	// lastMsgID is the message id of the last message this session published;
	// empty if there is none.
	lastMsgID string
	// expect says that the next message has to follow lastSeq.
	expect bool
	// trace is the header traceparent of the current batch; empty if it is not
	// traced.
	trace string

	subjects map[string]bool // subjects known to be taken by the stream
	batches  uint64          // numbers ingest batches
	batch    string          // what the reply subjects of the current one begin with
	replies  texts           // of the current batch
	ids      texts
}

// newSession connects, finds or makes the stream and chooses the mode.
func newSession(ctx context.Context, p *Publisher) (*session, error) {
	s := &session{
		p: p, closed: make(chan struct{}), acks: make(chan *nats.Msg, 2*maxOutstanding),
		subjects: make(map[string]bool),
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		err = s.leaderError(s.rightsError(err))
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) connect(ctx context.Context) error {
	own, err := s.p.cfg.options()
	if err != nil {
		return connectError(s.p.cfg.URLs, err)
	}
	d := &dialer{ctx: ctx, timeout: s.p.stall}
	opts := append([]nats.Option{
		nats.Name("walherald"),
		nats.NoReconnect(),
		nats.SkipSubjectValidation(),
		nats.WriteBufferSize(writeBuffer),
		nats.PingInterval(5 * time.Second),
		nats.Timeout(s.p.stall),
		nats.FlusherTimeout(s.p.stall), // a write that blocks heeds no context
		nats.MaxPingsOutstanding(2),
		nats.ClosedHandler(func(*nats.Conn) { close(s.closed) }),
		// Without a handler the client prints errors of its own accord.
		nats.ErrorHandler(func(nc *nats.Conn, _ *nats.Subscription, err error) {
			s.p.log.Debug("NATS client reported an error", "error", err)
			if errors.Is(err, nats.ErrPermissionViolation) {
				nc.Close() // what was asked for will not be answered
			}
		}),
		nats.SetCustomDialer(d),
	}, own...)
	s.nc, err = nats.Connect(strings.Join(s.p.cfg.URLs, ","), opts...)
	if err != nil {
		return connectError(s.p.cfg.URLs, err)
	}
	s.conn = d.conn
	s.inbox = s.nc.NewInbox()
	if _, err := s.nc.ChanSubscribe(s.inbox+".>", s.acks); err != nil {
		s.close()
		return fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	return nil
}

func (s *session) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.p.stall)
	defer cancel()
	info, err := s.p.cfg.ensureStream(ctx, s.nc)
	if err != nil {
		return err
	}
	s.p.tellOfStream(info)
	s.stream = info
	s.limit = int(s.nc.MaxPayload())
	if info.maxMsgSize > 0 {
		s.limit = min(s.limit, info.maxMsgSize)
	}
	s.mode = ModeMsgID
	if info.fast {
		s.mode = ModeFast
	}
	return nil
}

// errNoLeader stands for a cluster in which nobody answers.
var errNoLeader = errors.New("JetStream has no leader at the moment, or is not enabled for the account")

// leaderError makes errNoLeader of what a node says that has just been started:
// that nobody answers. It is the same that one says whose account has no JetStream.
func (s *session) leaderError(err error) error {
	enabled, _ := s.nc.ConnectedServerJetStream()
	if !enabled || s.nc.ConnectedClusterName() == "" || !errors.Is(err, nats.ErrNoResponders) {
		return err
	}
	return fmt.Errorf("%w: %w", errNoLeader, err)
}

// lost reports whether the connection is gone.
func (s *session) lost() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// close ends the connection and waits for its end.
func (s *session) close() {
	s.nc.Close()
	<-s.closed
}

// deliver writes the batch, without what the stream holds already.
func (s *session) deliver(ctx context.Context, batch []publisher.Message) error {
	if len(batch) == 0 {
		return s.ping(ctx)
	}
	s.trace = publisher.TraceParent(ctx)
	for len(batch) > 0 {
		if s.writer != batch[0].Writer {
			if err := s.resume(ctx, batch[0].Writer); err != nil {
				return err
			}
		}
		// A batch has one writer but for the moment at which it changes.
		n := 1
		for n < len(batch) && batch[n].Writer == s.writer {
			n++
		}
		if err := s.write(ctx, s.withoutHeld(batch[:n])); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// ping asks the server for a sign of life.
func (s *session) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.p.stall)
	defer cancel()
	if err := s.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("ping NATS: %w", err)
	}
	return nil
}

// withoutHeld leaves out the messages the stream holds already.
func (s *session) withoutHeld(batch []publisher.Message) []publisher.Message {
	n := 0
	for n < len(batch) && batch[n].ID.Compare(s.held) <= 0 {
		n++
	}
	if n > 0 {
		s.p.log.Info("messages the stream holds already are left out", "stream", s.stream.name, "count", n,
			"first", batch[0].ID, "last", batch[n-1].ID)
		if s.p.hooks.Held != nil {
			s.p.hooks.Held(n)
		}
	}
	return batch[n:]
}

// write publishes the runs of messages between those that are too large.
func (s *session) write(ctx context.Context, batch []publisher.Message) error {
	start := 0
	for i := range batch {
		m := &batch[i]
		if err := s.checkSubject(m); err != nil {
			return cmp.Or(s.publish(ctx, batch[start:i]), err)
		}
		size := len(m.Body) + s.headerSize(m)
		if size <= s.limit {
			continue
		}
		if err := s.publish(ctx, batch[start:i]); err != nil {
			return err
		}
		if !s.p.cfg.SkipOversize {
			return oversizeError(m, size, s.limit)
		}
		s.p.log.Error("message dropped because it is too large (publisher.oversize: skip)", "table", m.Table,
			"action", m.Action, "key", string(m.Key), "id", m.ID, "bytes", size, "limit", s.limit)
		if s.p.hooks.Skipped != nil {
			s.p.hooks.Skipped(*m)
		}
		start = i + 1
	}
	return s.publish(ctx, batch[start:])
}

// publish writes messages that all fit and keeps the position up to date.
func (s *session) publish(ctx context.Context, batch []publisher.Message) error {
	if len(batch) == 0 {
		return nil
	}
	defer s.uncork()
	var err error
	switch {
	case s.mode == ModeFast:
		err = s.ingest(ctx, batch)
	case s.expect && !s.stream.replicated:
		err = s.publishChain(ctx, batch)
	default:
		err = s.publishEach(ctx, batch)
	}
	if err != nil {
		return err
	}
	s.held = batch[len(batch)-1].ID
	return nil
}

// headerSize is the number of bytes the message's headers add.
func (s *session) headerSize(m *publisher.Message) int {
	const line = len(": \r\n")
	id := 36 + len(".") + len(m.Writer)
	n := len("NATS/1.0\r\n\r\n") + len(HeaderID) + id + line + s.p.beside.size(m)
	if s.mode == ModeMsgID {
		return n + len(nats.MsgIdHdr) + id + line + len(nats.ExpectedLastMsgIdHdr) + id + line
	}
	// The expectation is in few messages, but where it is counts.
	return n + len(nats.ExpectedLastSeqHdr) + 20 + line
}

// checkSubject makes sure that the stream takes the message's subject: to
// others the server would only say that nobody answers.
func (s *session) checkSubject(m *publisher.Message) error {
	if s.subjects[m.Topic] {
		return nil
	}
	if !slices.ContainsFunc(s.stream.subjects, func(p string) bool { return subjectMatches(p, m.Topic) }) {
		return publisher.Permanent(fmt.Errorf(
			"publish %s of %s: stream %s takes %s, not subject %q: add the subject to the stream or map the table in listener.topicsMap",
			m.Action, m.Table, s.stream.name, strings.Join(s.stream.subjects, ", "), m.Topic))
	}
	s.subjects[m.Topic] = true
	return nil
}

// texts returns the places for the reply subjects and ids of a batch, emptied.
func (s *session) texts() (replies, ids *texts) {
	s.replies.reset()
	s.ids.reset()
	return &s.replies, &s.ids
}

// send publishes one message of a batch. Until awaitAck has to wait it may stay
// on this side.
func (s *session) send(out *outgoing, m *publisher.Message, reply, id string) error {
	if !s.corked && s.conn != nil {
		s.conn.cork()
		s.corked = true
	}
	if s.trace != "" {
		out.trace(s.traceOf(m))
	}
	return out.send(s.nc, m, reply, id)
}

// traceOf is the header traceparent of a message: none if the message would be too
// large with it.
func (s *session) traceOf(m *publisher.Message) string {
	size := len(publisher.HeaderTraceParent) + len(": \r\n") + len(s.trace)
	if len(m.Body)+s.headerSize(m)+size > s.limit {
		return ""
	}
	return s.trace
}

// uncork lets go what send has held back.
func (s *session) uncork() {
	if s.corked {
		s.conn.uncork()
		s.corked = false
	}
}

// awaitAck returns the next acknowledgement.
func (s *session) awaitAck(ctx context.Context, stall *time.Timer) (*nats.Msg, error) {
	select {
	case m := <-s.acks:
		return m, nil
	default:
	}
	s.uncork()
	stall.Reset(s.p.stall)
	select {
	case m := <-s.acks:
		return m, nil
	case <-stall.C:
		return nil, fmt.Errorf("%w for %v", errStalled, s.p.stall)
	case <-s.closed:
		if err := s.nc.LastError(); err != nil {
			return nil, fmt.Errorf("%w: %w", errLost, err)
		}
		return nil, errLost
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
