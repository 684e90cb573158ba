package listener

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/pgfake"
	"github.com/walherald/walherald/listener/pgoutput"
)

// Failure 16 of docs/failures.md.
func TestConnectionCutInAMessageCostsAndRepeatsNothing(t *testing.T) {
	for name, end := range map[string]pgfake.Step{"FIN": pgfake.Say(), "RST": pgfake.Reset()} {
		t.Run(name, func(t *testing.T) {
			s := newFake(t,
				robustDB.Serve(
					pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108),
					pgfake.Send(opened(0x200, "2", "3")...), pgfake.SendHalf(framed(0x200, insertMsg(1, "4", "x"))[0]), end,
				),
				robustDB.Serve(pgfake.Send(whole(0x200, "2", "3", "4")...), pgfake.AwaitFlush(0x208), pgfake.Hang()),
			)
			sink := newGuaranteeSink()
			r := s.start(sink)
			wantKeys(s.ctx, t, sink, "1", "2", "3", "4")
			s.awaitTold(0x208)
			r.stop()
			s.wantTold(0x10, 0x108, 0x208)
			if starts := s.fake.Starts(); len(starts) != 2 || starts[1] != 0x108 {
				t.Errorf("streams were asked for at %v, the second should begin at 0/108", starts)
			}
		})
	}
}

// Failure 20 of docs/failures.md.
func TestHalfAMessageAndThenSilenceIsADeadConnection(t *testing.T) {
	s := newFake(t,
		robustDB.Serve(pgfake.Send(opened(0x100, "1")...), pgfake.SendHalf(framed(0x100, insertMsg(1, "2", "x"))[0]), pgfake.Hang()),
		robustDB.Serve(pgfake.Send(whole(0x100, "1", "2")...), pgfake.AwaitFlush(0x108), pgfake.Hang()),
	)
	s.cfg.HeartbeatInterval = 50 * time.Millisecond
	sink := newGuaranteeSink()
	s.start(sink)
	wantKeys(s.ctx, t, sink, "1", "2")
	s.awaitTold(0x108)
	guaranteeWords(t, s.log.String(), errSilent.Error())
}

func TestKeepaliveThatGoesBackTakesNoPositionBack(t *testing.T) {
	s := newFake(t, robustDB.Serve(
		pgfake.Send(pgfake.Keepalive(0x5000, true)), pgfake.AwaitFlush(0x5000),
		pgfake.Send(pgfake.Keepalive(0x4000, true)), pgfake.AwaitStatuses(1),
		pgfake.Send(pgfake.Keepalive(0, true)), pgfake.AwaitStatuses(1),
		pgfake.Send(pgfake.Keepalive(0x6000, true)), pgfake.AwaitFlush(0x6000),
	))
	r := s.start(newGuaranteeSink())
	s.fake.AwaitPlayed(1)
	r.stop()
	if told := s.fake.Flushed(); !slices.IsSorted(told) {
		t.Errorf("flushed positions told are %v", told)
	}
}

// A keepalive in the middle of a transaction, or while a change is not yet
// confirmed, says nothing of what may be forgotten.
//
// Failure 15 of docs/failures.md.
func TestKeepaliveConfirmsNothingThatIsUnderWay(t *testing.T) {
	ask := func(n int) pgfake.Step {
		return func(c *pgfake.Conn) error {
			for range n {
				if err := pgfake.Send(pgfake.Keepalive(0x9000, true))(c); err != nil {
					return err
				}
				if err := pgfake.AwaitStatuses(1)(c); err != nil {
					return err
				}
			}
			return nil
		}
	}
	s := newFake(t, robustDB.Serve(
		pgfake.Send(opened(0x100, "1")...), ask(3),
		pgfake.Send(framed(0x100, commitMsg(0x100))...), ask(3),
	))
	s.cfg.DrainTimeout = 50 * time.Millisecond
	sink := newGuaranteeSink()
	sink.hold(0)
	s.start(sink)
	sink.awaitOffered(s.ctx, t, 1)
	s.fake.AwaitPlayed(1)
	s.wantTold(0x10)
}

// Every confirmation wakes the reader, whichever goroutine it comes from, while
// the reader answers keepalives: what arrives at the server are whole messages
// of positions that only grow. What they hold, pgfake reads byte by byte.
//
// Failure 14 of docs/failures.md.
func TestStatusUpdatesArriveWholeUnderConcurrentConfirmations(t *testing.T) {
	const transactions = 300
	var steps []pgfake.Step
	for i := range transactions {
		final := uint64(0x1000 * (i + 1))
		steps = append(steps, pgfake.Send(append(whole(final, "a", "b"), pgfake.Keepalive(pgoutput.LSN(final), true))...))
	}
	steps = append(steps, pgfake.AwaitFlush(0x1000*transactions+8))
	s := newFake(t, robustDB.Serve(steps...))
	sink := newGuaranteeSink()
	r := s.start(sink)
	sink.awaitAccepted(s.ctx, t, 2*transactions)
	s.fake.AwaitPlayed(1)
	r.stop()
	told := s.fake.Flushed()
	if len(told) < transactions || !slices.IsSorted(told) {
		t.Errorf("%d positions were told, want at least %d that only grow: %v", len(told), transactions, told)
	}
}

// Failure 20 of docs/failures.md.
func TestServerOfAnotherSystemIsNotReadFromWhereTheFirstWasLeft(t *testing.T) {
	other := robustDB
	other.System = "7999999999999999999"
	s := newFake(t,
		robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108)),
		other.Serve(pgfake.Send(whole(0x200, "2")...), pgfake.Hang()),
	)
	sink := newGuaranteeSink()
	r := s.start(sink)
	err := r.wait()
	if err == nil {
		t.Fatal("Run returned without an error")
	}
	guaranteeWords(t, err.Error(), "is another one than before", other.System, robustDB.System, "restart walherald")
	wantKeys(s.ctx, t, sink, "1")
	if n := len(s.fake.Starts()); n != 1 {
		t.Errorf("%d streams were asked for", n)
	}
	if strings.Contains(strings.Join(s.fake.Queries(), "\n"), "CREATE") {
		t.Error("something was made on a server that nobody meant")
	}
}
