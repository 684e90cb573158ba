package listener

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

// statusPause is the least time between two status updates that only tell of a
// newly confirmed position.
const statusPause = 20 * time.Millisecond

// silences is how many heartbeat intervals without a word from a server that
// was asked for one make a dead connection.
const silences = 3

// errSilent ends a connection that was cut without a word.
var errSilent = errors.New("server does not answer")

// stream is an open replication connection. One goroutine, the one in run,
// owns the socket: it reads, and it alone writes. Others may only call wake.
type stream struct {
	l  *Listener
	nc net.Conn
	fe *pgproto3.Frontend
	// pid is the process of the server at the other end.
	pid uint32

	changes *changes
	encoded []encoded       // the current event, by the outputs that have encoded it
	wanted  []int           // the outputs that want the current event
	ctx     context.Context // ends the session; set by run
	ended   error           // what ended the session while a change waited for room

	woken      atomic.Bool // there may be a position to report, or failed is set
	failed     atomic.Pointer[error]
	lastStatus time.Time
	lastFlush  pgoutput.LSN
	feed       *feed
	heard      bool   // since lastHeard was set
	total      uint64 // what had come then
	lastHeard  time.Time
}

// startStream starts replication and takes the connection over from the link.
func (l *Listener) startStream(ctx context.Context, lk *link, publication string, from pgoutput.LSN) (*stream, error) {
	args := []string{"proto_version '1'", "publication_names " + quoteLiteral(quoteIdent(publication))}
	if l.cfg.DropForeignOrigin {
		if lk.version < 160000 {
			return nil, fatalf("listener.dropForeignOrigin needs PostgreSQL 16 or newer, the server is version %d", lk.version/10000)
		}
		args = append(args, "origin 'none'")
	}
	switch {
	case lk.version >= 140000:
		// Wanted or not, they count: or the ids of a transaction's other changes
		// would be others once listener.messages is set or no longer is.
		args = append(args, "messages 'true'")
	case len(l.cfg.Messages) > 0:
		return nil, fatalf("listener.messages needs PostgreSQL 14 or newer, the server is version %d", lk.version/10000)
	}
	startCtx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	err := pglogrepl.StartReplication(startCtx, lk.pg, l.cfg.SlotName, pglogrepl.LSN(from),
		pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication, PluginArgs: args})
	if err != nil {
		return nil, fmt.Errorf("start replication from slot %s: %w", l.cfg.SlotName, err)
	}
	hijacked, err := lk.pg.Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over connection: %w", err)
	}
	s := &stream{l: l, nc: hijacked.Conn, fe: hijacked.Frontend, feed: lk.feed, pid: hijacked.PID, encoded: make([]encoded, len(l.outputs))}
	s.changes = newChanges(ctx, l.router, s, &patient{newCatalogue(l.sql), s}, lk.id.source(), l.cfg.MaxTransactionSize, l.transactionTooLarge)
	lk.feed.onDry = l.wake
	return s, nil
}

// wake makes the owner look for a position to report, and for the end of its
// context, soon. It may be called from any goroutine.
func (s *stream) wake() {
	s.woken.Store(true)
	_ = s.nc.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed socket
}

// fail ends the session with err. It may be called from any goroutine.
func (s *stream) fail(err error) {
	s.failed.Store(&err)
	s.wake()
}

// run reads until ctx ends or the connection fails. Its error is never nil.
func (s *stream) run(ctx context.Context) error {
	s.ctx = ctx
	stop := context.AfterFunc(ctx, s.wake)
	defer stop()
	s.lastHeard = time.Now()
	if err := s.maintain(); err != nil {
		return err
	}
	for {
		msg, err := s.fe.Receive()
		switch {
		case err == nil:
			s.heard = true
			err = s.take(msg)
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = s.maintain()
		default:
			err = fmt.Errorf("read from server: %w", err)
		}
		if err != nil {
			return err
		}
	}
}

// take handles one message of the server.
func (s *stream) take(msg pgproto3.BackendMessage) error {
	switch m := msg.(type) {
	case *pgproto3.CopyData:
		return s.takeData(m.Data)
	case *pgproto3.ErrorResponse:
		return s.explain(pgconn.ErrorResponseToPgError(m))
	case *pgproto3.NoticeResponse:
		// To PostgreSQL 18 and newer a missing publication is no error: it warns,
		// and skips what should have been read through it.
		if m.Code == codeNotReady {
			return s.noPublication(pgconn.ErrorResponseToPgError((*pgproto3.ErrorResponse)(m)))
		}
	case *pgproto3.CopyDone:
		return errors.New("server ended the replication")
	}
	return nil // other notices and parameter changes are of no interest
}

func (s *stream) takeData(data []byte) error {
	if len(data) > 0 && data[0] == pgoutput.TagKeepalive {
		return s.takeKeepalive(data)
	}
	x, err := pgoutput.DecodeXLogData(data)
	if err != nil {
		return s.unreadable(err)
	}
	s.changes.sent = x.ServerTime
	err = s.changes.handle(x.Data)
	switch {
	case err == nil:
		return nil
	case s.ended != nil:
		return s.ended // the message is as good as any, and comes again
	case errors.As(err, new(*temporaryError)):
		return err
	}
	at := x.Start
	if errors.As(err, new(*undescribedError)) && s.l.undescribed != at {
		s.l.undescribed = at
		return fmt.Errorf("at %v: %w, asking for it in a new session", at, err)
	}
	if at == 0 { // the description of a table has no position of its own
		at = pgoutput.LSN(s.changes.event.LSN)
	}
	return s.unreadable(fmt.Errorf("at %v: %w", at, err))
}

// unreadable is the end of a stream that cannot be understood.
func (s *stream) unreadable(err error) error {
	s.l.met.Problem(metrics.ProblemParse)
	return &fatalError{err}
}

func (s *stream) takeKeepalive(data []byte) error {
	k, err := pgoutput.DecodeKeepalive(data)
	if err != nil {
		return s.unreadable(err)
	}
	s.l.serverEnd(k.ServerEnd)
	if k.ReplyRequested {
		// A server that shuts down waits until all of its log is confirmed.
		s.l.urge()
		return s.sendStatus(false)
	}
	return nil
}

// explain adds to an error of the server what to do about it.
func (s *stream) explain(err error) error {
	if sqlState(err) == "42704" && strings.Contains(err.Error(), "publication") {
		return s.noPublication(err)
	}
	if state := sqlState(err); state == "22P05" || state == "22021" {
		return s.noUTF8(err)
	}
	return fmt.Errorf("read slot %s behind %v: %w", s.l.cfg.SlotName, s.l.queued(), err)
}

// noUTF8 explains that the server cannot send a row. It says where: the error's
// context names the position of the change.
func (s *stream) noUTF8(err error) error {
	var where string
	if pg := new(pgconn.PgError); errors.As(err, &pg) {
		where = pg.Where
	}
	return fatalf("read slot %s: %w (%s): the server cannot write a character of this row in UTF-8, and sends nothing behind it; "+
		"to give the row's transaction up, move the slot past its commit: walherald slot advance --to LSN",
		s.l.cfg.SlotName, err, where)
}

func (s *stream) noPublication(err error) error {
	slot := s.l.cfg.SlotName
	return fatalf("read slot %s: %w: it was dropped, or made after the slot, and a slot needs one that is older than itself; "+
		"changes after %v cannot be read: drop the slot to accept that and start from now: walherald slot drop",
		slot, err, s.l.flush())
}

// maintain does what is due by the clock and sets the deadline of the next
// read to the moment at which something will be.
func (s *stream) maintain() error {
	for {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		s.woken.Store(false)
		if err := s.failed.Load(); err != nil {
			return *err
		}
		s.reload()
		now := time.Now()
		// A large row can take longer than any silence may: its bytes count.
		if s.heard || s.feed.total != s.total {
			s.heard, s.total, s.lastHeard = false, s.feed.total, now
		}
		interval := s.l.cfg.HeartbeatInterval
		silent := now.Sub(s.lastHeard)
		if silent > silences*interval {
			return fmt.Errorf("%w for %v", errSilent, silent.Round(time.Second))
		}
		due := s.lastStatus.Add(interval)
		if s.l.tellable() > s.lastFlush {
			due = s.lastStatus.Add(statusPause)
		}
		if !due.After(now) {
			// One that is silent is asked for an answer.
			if err := s.sendStatus(silent >= interval); err != nil {
				return err
			}
			due = now.Add(interval)
		}
		if err := s.nc.SetReadDeadline(due); err != nil {
			return fmt.Errorf("read from server: %w", err)
		}
		if !s.woken.Load() {
			return nil
		}
	}
}

// sendStatus tells the server the flushed position.
func (s *stream) sendStatus(reply bool) error {
	now := time.Now()
	s.lastFlush, s.lastStatus = s.l.tellable(), now
	f := s.lastFlush
	if err := s.nc.SetWriteDeadline(now.Add(connectTimeout)); err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	s.fe.Send(&pgproto3.CopyData{Data: pgoutput.AppendStandbyStatus(nil, f, f, f, now, reply)})
	if err := s.fe.Flush(); err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	s.l.met.Flushed(uint64(f))
	s.l.alive.Beat()
	return nil
}

// begin, emit and commit make stream the sink of its changes.

func (s *stream) begin() { s.l.begin() }

func (s *stream) commit(end pgoutput.LSN) {
	s.l.commit(end)
	s.reload()              // in a flood nothing else is between two transactions
	if s.changes.next > 0 { // servers before PostgreSQL 15 send empty ones too
		s.l.met.Transaction()
	}
}

// emit puts the event into the windows of the outputs that want it, waiting for
// room if need be: in all of them first, so that an event that has to come again
// is in none. While it waits the server is kept informed, so that outputs that
// are down for an hour do not cost the connection.
func (s *stream) emit(p *plan, e *publisher.Event) error {
	if e.ID.Compare(s.l.queuedID) <= 0 {
		return nil // queued before the connection was lost
	}
	s.wanted = s.wanted[:0]
	for _, i := range p.to[e.Action] {
		if p.outs[i].wants(e) {
			s.wanted = append(s.wanted, i)
		}
	}
	for _, i := range s.wanted {
		if o := s.l.outputs[i]; o.window.full() {
			if s.ended = s.awaitRoom(o); s.ended != nil {
				return s.ended
			}
		}
	}
	if len(s.wanted) > 0 && s.l.deps.Recent.Takes() {
		s.watch(p, e)
	}
	m := publisher.Message{ID: e.ID, Writer: s.l.writer, Table: p.qualified, Action: e.Action, CommitTime: e.CommitTime}
	for _, i := range s.wanted {
		o, out := s.l.outputs[i], &p.outs[i]
		m.Topic = out.topics[e.Action]
		if out.like >= 0 && p.outs[out.like].pass[e.Action] {
			o.window.appendCopy(m, s.encoded[out.like])
		} else {
			s.encoded[i] = o.window.append(m, out, e)
		}
	}
	s.l.queuedID = e.ID
	return nil
}

// watch keeps the event for those who look on.
func (s *stream) watch(p *plan, e *publisher.Event) {
	seen := metrics.RecentEvent{
		ID: e.ID, LSN: e.LSN, Table: p.qualified, Action: e.Action.String(), Committed: time.UnixMicro(e.CommitTime),
	}
	for _, i := range s.wanted {
		hop := metrics.RecentHop{Output: s.l.outputs[i].name}
		if out := &p.outs[i]; out.selects == nil { // what is selected goes to no topic
			hop.Topic = out.topics[e.Action]
		}
		seen.Hops = append(seen.Hops, hop)
	}
	s.l.deps.Recent.Add(seen)
}

// deafInterval is how often the server hears of us at the least while we do not
// listen. It holds the time since our last word against its wal_sender_timeout,
// and the requests it sends meanwhile wait behind what we have no room for.
const deafInterval = 300 * time.Millisecond

func (s *stream) awaitRoom(o *output) error {
	start := time.Now()
	defer func() { o.met.HeldUp(time.Since(start)) }()
	s.l.wake()
	tick := s.deafTicker()
	defer tick.Stop()
	for o.window.full() {
		s.heard = true // we do not listen, so silence means nothing
		// An output that is slow rather than down lets no tick pass, batch by
		// batch: it is the time since the last status that counts.
		if time.Since(s.lastStatus) >= deafInterval {
			if err := s.sendStatus(false); err != nil {
				return err
			}
		}
		select {
		case <-o.window.room:
		case <-tick.C:
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
	return nil
}

func (s *stream) deafTicker() *time.Ticker {
	return time.NewTicker(min(s.l.cfg.HeartbeatInterval, deafInterval))
}

// farewellTimeout bounds how long the server has to take the last position.
const farewellTimeout = time.Second

// farewell tells the last position, ends the copy and closes the connection
// once the server has closed its side. What it still sends is thrown away: a
// connection that is closed with bytes unread is reset, and a server that meets
// the reset first never reads the position.
func (s *stream) farewell() {
	defer s.nc.Close()
	if s.sendStatus(false) != nil {
		return
	}
	s.fe.Send(&pgproto3.CopyDone{})
	s.fe.Send(&pgproto3.Terminate{})
	if s.fe.Flush() != nil {
		return
	}
	end := time.Now().Add(farewellTimeout)
	for err := os.ErrDeadlineExceeded; errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(end); {
		_ = s.nc.SetReadDeadline(end) // fails only on a closed socket
		_, err = io.Copy(io.Discard, s.nc)
	}
}

// idleUntil keeps the server informed, without reading what it sends, until
// done is closed.
func (s *stream) idleUntil(done <-chan struct{}) {
	tick := s.deafTicker()
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if s.sendStatus(false) != nil {
				<-done
				return
			}
		}
	}
}
