package listener

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgfake"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

func TestCommitThatNothingBeganIsNeverConfirmed(t *testing.T) {
	s := newFake(t, robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108),
		pgfake.Send(framed(0x200, commitMsg(0x200))...), pgfake.Hang()))
	r := s.start(newGuaranteeSink())
	s.awaitEndOr(r, 0x208)
	s.wantTold(0x10, 0x108)
}

func TestTransactionInsideATransactionIsNeverConfirmed(t *testing.T) {
	s := newFake(t, robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108),
		pgfake.Send(opened(0x200, "2")...), pgfake.Send(whole(0x300, "3")...), pgfake.Hang()))
	r := s.start(newGuaranteeSink())
	s.awaitEndOr(r, 0x308)
	s.wantTold(0x10, 0x108)
}

func TestRowThatTakesLongerThanAnySilenceArrives(t *testing.T) {
	row := framed(0x100, insertMsg(1, "1", strings.Repeat("x", 1000)))[0]
	slow := func(c *pgfake.Conn) error {
		msg := append([]byte{'d', 0, 0, byte((len(row) + 4) >> 8), byte(len(row) + 4)}, row...)
		for len(msg) > 0 {
			n := min(len(msg), 100)
			if err := pgfake.SendRaw(msg[:n])(c); err != nil {
				return err
			}
			if msg = msg[n:]; len(msg) > 0 {
				if err := pgfake.AwaitStatuses(1)(c); err != nil {
					return err
				}
			}
		}
		return nil
	}
	s := newFake(t, robustDB.Serve(pgfake.Send(opened(0x100)...), slow, pgfake.Send(framed(0x100, commitMsg(0x100))...), pgfake.AwaitFlush(0x108)))
	s.cfg.HeartbeatInterval = 50 * time.Millisecond
	sink := newGuaranteeSink()
	s.start(sink)
	wantKeys(s.ctx, t, sink, "1")
	s.awaitTold(0x108)
}

func TestServerThatFallsSilentBeforeTheStreamIsLeft(t *testing.T) {
	silent := pgfake.Answer(append([]pgfake.Rule{pgfake.On("pg_publication", pgfake.Silence())}, robustDB.Rules()...)...)
	s := newFake(t, pgfake.Script{pgfake.Login(), silent}, robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108), pgfake.Hang()))
	sink := newGuaranteeSink()
	s.start(sink)
	wantKeys(s.ctx, t, sink, "1")
	s.awaitTold(0x108)
}

func TestSlotInUseInMidStreamIsTold(t *testing.T) {
	s := newFake(t,
		robustDB.Serve(pgfake.Send(opened(0x200, "2")...), pgfake.Refuse("55006", "replication slot is active")),
		robustDB.Serve(pgfake.Send(whole(0x200, "2", "3")...), pgfake.AwaitFlush(0x208), pgfake.Hang()),
	)
	sink := newGuaranteeSink()
	s.start(sink)
	wantKeys(s.ctx, t, sink, "2", "3")
	s.awaitTold(0x208)
	guaranteeWords(t, s.log.String(), "55006")
}

func TestErrorInMidStreamNamesSlotAndPosition(t *testing.T) {
	s := newFake(t, robustDB.Serve(pgfake.Send(opened(0x200, "2")...), pgfake.Refuse("42501", "permission denied")))
	err := s.start(newGuaranteeSink()).wait()
	guaranteeWords(t, err.Error(), "read slot herald behind 0/10", "42501")
}

func TestRefusedConnectionNamesTheKeyToCorrect(t *testing.T) {
	for _, code := range []string{"28P01", "28000", "3D000"} {
		s := newFake(t, pgfake.Script{pgfake.Refuse(code, "message")})
		err := s.start(newGuaranteeSink()).wait()
		guaranteeWords(t, err.Error(), "database.")
	}
}

func TestRefusedDeliveryNamesTableAndPosition(t *testing.T) {
	s := newFake(t, robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.Hang()))
	sink := newGuaranteeSink()
	sink.fail(publisher.Permanent(errors.New("refused for good")))
	err := s.start(sink).wait()
	guaranteeWords(t, err.Error(), "public.t", "0/100")
}

func TestCatalogueThatHangsDoesNotStarveTheServer(t *testing.T) {
	typed := wire("R").i32(1).str("public").str("t").i8('d').i16(2).
		i8(1).str("id").i32(oidText).i32(-1).i8(0).str("note").i32(16390).i32(-1)
	s := newFake(t, robustDB.Serve(
		pgfake.Send(framed(0x100, beginMsg(0x100), typed, insertMsg(1, "1", "x"), commitMsg(0x100))...), pgfake.AwaitStatuses(5), pgfake.Hang()))
	s.cfg.HeartbeatInterval = 500 * time.Millisecond
	s.ordinary = pgfake.Play(robustDB.Ordinary(pgfake.On("pg_catalog.pg_type", pgfake.Silence())))
	r := s.start(newGuaranteeSink())
	s.eventually("reason", func() bool { a := r.postgres(); return !a.Ready && a.Reason != "starting" })
}

// awaitEndOr waits until the run has ended, or the position has been told.
func (s *fakeSource) awaitEndOr(r *guaranteeRun, lsn pgoutput.LSN) {
	s.t.Helper()
	s.eventually("end or confirmation", func() bool {
		select {
		case <-r.ended:
			return true
		default:
			return slices.Contains(s.fake.Flushed(), lsn)
		}
	})
}

func TestServerThatIsTooOldIsRefused(t *testing.T) {
	old := append([]pgfake.Rule{pgfake.On("server_version_num", pgfake.Row("120019"))}, robustDB.Rules()...)
	s := newFake(t, pgfake.Script{pgfake.Login(), pgfake.Answer(old...)})
	guaranteeWords(t, s.start(newGuaranteeSink()).wait().Error(), "PostgreSQL 12", "13 or newer", "upgrade")
	found := Check(s.ctx, s.cfg, s.db)
	expectFinding(t, found, config.FindingError, "database.host", "PostgreSQL 12", "upgrade the server")
}
