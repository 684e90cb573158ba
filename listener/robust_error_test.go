package listener

import (
	"errors"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walherald/walherald/internal/pgfake"
)

// Failure 22 of docs/failures.md.
func TestErrorInMidStreamIsRiddenOutUnlessOnlyAHumanCanMendIt(t *testing.T) {
	for _, tt := range []struct{ code, message string }{
		{"57P01", "terminating connection due to administrator command"},
		{"57P02", "terminating connection because of crash of another server process"},
		{"57P03", "the database system is shutting down"},
		{"53400", "all replication slots are in use"},
		{"53300", "sorry, too many clients already"},
		{"53100", "could not write to file: No space left on device"},
		{"XX000", "could not read from reorderbuffer spill file"},
		{"XX001", "invalid record length"},
	} {
		t.Run(tt.code, func(t *testing.T) {
			s := newFake(t,
				robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108),
					pgfake.Send(opened(0x200, "2")...), pgfake.Refuse(tt.code, tt.message)),
				robustDB.Serve(pgfake.Send(whole(0x200, "2", "3")...), pgfake.AwaitFlush(0x208), pgfake.Hang()),
			)
			sink := newGuaranteeSink()
			r := s.start(sink)
			wantKeys(s.ctx, t, sink, "1", "2", "3")
			s.awaitTold(0x208)
			r.stop()
			s.wantTold(0x10, 0x108, 0x208)
			guaranteeWords(t, s.log.String(), tt.code, tt.message[:16])
		})
	}
	for _, tt := range []struct {
		code, message string
		words         []string
	}{
		{"42704", `publication "walherald" does not exist`, []string{"slot herald", "it was dropped, or made after the slot", "0/108", "drop the slot to accept that"}},
		{"42501", "permission denied for table t", []string{"permission denied"}},
		{"28P01", `password authentication failed for user "ada"`, []string{"password authentication failed"}},
		{"3D000", `database "shop" does not exist`, []string{`database "shop" does not exist`}},
		{"0A000", "logical decoding is not supported here", []string{"not supported"}},
		{"55000", `can no longer get changes from replication slot "herald"`, []string{"herald"}},
	} {
		t.Run(tt.code, func(t *testing.T) {
			s := newFake(t, robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108),
				pgfake.Send(opened(0x200, "2")...), pgfake.Refuse(tt.code, tt.message)))
			s.wantFatal(tt.code, tt.words...)
			s.wantTold(0x10, 0x108)
		})
	}
}

// wantFatal wants the listener to end at once with an error of the server's code
// that says all of the words.
func (s *fakeSource) wantFatal(code string, words ...string) {
	s.t.Helper()
	err := s.start(newGuaranteeSink()).wait()
	if err == nil {
		s.t.Fatal("Run returned without an error")
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != code {
		s.t.Errorf("%v does not keep the server's code %s", err, code)
	}
	guaranteeWords(s.t, err.Error(), words...)
}

// Failure 21 of docs/failures.md.
func TestErrorOfConnectingIsRiddenOutUnlessOnlyAHumanCanMendIt(t *testing.T) {
	for _, tt := range []struct{ code, message string }{
		{"57P03", "the database system is starting up"},
		{"53300", "sorry, too many clients already"},
		{"08P01", "unsupported startup parameter: replication"}, // a pooler, which may be gone soon
	} {
		t.Run(tt.code, func(t *testing.T) {
			s := newFake(t,
				pgfake.Script{pgfake.Refuse(tt.code, tt.message)},
				robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108), pgfake.Hang()),
			)
			sink := newGuaranteeSink()
			r := s.start(sink)
			wantKeys(s.ctx, t, sink, "1")
			s.awaitTold(0x108)
			r.awaitReady()
			guaranteeWords(t, s.log.String(), tt.code, tt.message)
		})
	}
	for _, tt := range []struct{ code, message string }{
		{"28P01", `password authentication failed for user "ada"`},
		{"28000", `role "ada" is not permitted to log in`},
		{"3D000", `database "shop" does not exist`},
		{"42501", "must be superuser or replication role to start walsender"},
	} {
		t.Run(tt.code, func(t *testing.T) {
			s := newFake(t, pgfake.Script{pgfake.Refuse(tt.code, tt.message)})
			s.wantFatal(tt.code, tt.message, s.fake.Host(), strconv.Itoa(s.fake.Port()), "ada")
		})
	}
}

// Failure 17 of docs/failures.md.
func TestSlotThatIsTakenWhenTheStreamShouldBeginIsWaitedFor(t *testing.T) {
	busy := pgfake.Answer(append([]pgfake.Rule{
		pgfake.On("START_REPLICATION", pgfake.Error("55006", `replication slot "herald" is active for PID 4711`)),
	}, robustDB.Rules()...)...)
	s := newFake(t,
		pgfake.Script{pgfake.Login(), busy}, pgfake.Script{pgfake.Login(), busy},
		robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108), pgfake.Hang()),
	)
	sink := newGuaranteeSink()
	r := s.start(sink)
	s.eventually("word of the slot in use", func() bool {
		at := r.postgres()
		return at.Ready || at.Reason != "starting"
	})
	wantKeys(s.ctx, t, sink, "1")
	s.awaitTold(0x108)
	guaranteeWords(t, s.log.String(), "another process reads the slot", "4711", "herald")
}

// Failure 18 of docs/failures.md.
func TestSlotThatCannotBeReadAnyMoreIsRefusedAtEveryVersionsWord(t *testing.T) {
	for name, columns := range map[string]map[string]string{
		"wal_status is lost":  {"wal_status": "lost"},
		"restart_lsn is null": {"restart_lsn": pgfake.Null},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFake(t, robustDB.WithSlot(columns).Serve())
			err := s.start(newGuaranteeSink()).wait()
			if err == nil {
				t.Fatal("Run returned without an error")
			}
			guaranteeWords(t, err.Error(), "slot herald", "0/10")
			if len(s.fake.Starts()) != 0 {
				t.Error("the slot was read")
			}
		})
	}
}
