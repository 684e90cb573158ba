package listener

import (
	"log/slog"
	"testing"

	"github.com/walherald/walherald/listener/pgoutput"
)

func TestStartWarnsOnceOfWhatTheCheckWarnsOf(t *testing.T) {
	s := pgShared(t)
	proxy := s.proxied()
	s.exec("CREATE TABLE keyless (id int)", "CREATE TABLE t (id int PRIMARY KEY)")
	s.cfg.Filter.Tables = map[string][]string{"t": {"insert"}, "T": {"insert"}}
	sink := newGuaranteeSink()
	r, log := s.startLogged(sink)
	r.awaitReady()
	s.exec("INSERT INTO t VALUES (1)")
	s.awaitConfirmed(pgoutput.LSN(sink.awaitAccepted(s.ctx, t, 1)[0].ID.LSN()) + 1)
	proxy.Cut()
	s.exec("INSERT INTO t VALUES (2)")
	sink.awaitAccepted(s.ctx, t, 2)
	for _, words := range [][]string{
		{"(1): public.keyless", "path=listener.publication", "REPLICA IDENTITY FULL"},
		{"no table has the name T", "path=listener.filter.tables[T]", "did you mean public.t?"},
	} {
		if lines := log.with(append(words, "level=WARN")...); len(lines) != 1 {
			t.Errorf("%q is told %d times", words, len(lines))
		}
	}
	if lines := log.with("path="); len(lines) != 2 {
		t.Errorf("%d findings are told, want 2", len(lines))
	}
	if len(log.with("msg=streaming")) < 2 {
		t.Error("the connection was not made anew")
	}
}

func TestStartGoesOnWhereItCannotLookForWhatToWarnOf(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	l := s.newRun(newGuaranteeSink())
	log := &logLines{}
	l.log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	lk := s.link()
	s.exec("BEGIN", "LOCK TABLE pg_catalog.pg_inherits IN ACCESS EXCLUSIVE MODE")
	l.advise(s.ctx, lk)
	s.exec("COMMIT")
	if lines := log.with("level=DEBUG", "statement timeout"); len(lines) != 1 {
		t.Errorf("that it could not look is told %d times: %s", len(lines), log.with())
	}
	// The connection is as it was.
	if got, err := lk.value(s.ctx, "SHOW statement_timeout"); err != nil || got != "0" {
		t.Errorf("statement_timeout is %q, %v", got, err)
	}
}

func TestStartSaysOfASilentPublicationWhatIsMissing(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)",
		"CREATE PUBLICATION walherald FOR TABLE other WITH (publish = 'insert')")
	s.cfg.Filter.Tables = map[string][]string{"t": {"insert"}, "other": {"delete"}}
	r, log := s.startLogged(newGuaranteeSink())
	r.awaitReady()
	for _, words := range []string{`"walherald" does not publish table public.t`, "asks for delete, which publication"} {
		if lines := log.with("level=WARN", words); len(lines) != 1 {
			t.Errorf("%q is told %d times", words, len(lines))
		}
	}
}
