package listener

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/internal/faultproxy"
	"github.com/walherald/walherald/internal/pgserver"
)

// pair is a primary and its standby, with a proxy through which listeners reach
// the one that is the source.
type pair struct {
	*pgSource
	standby *pgserver.Server
	proxy   *faultproxy.Proxy
}

// newPair starts both. From PostgreSQL 17 on the standby keeps copies of
// failover slots, and the slot is one.
func newPair(t *testing.T, settings map[string]string) *pair {
	t.Helper()
	p := &pair{pgSource: pgOwn(t, pgserver.Options{Settings: settings})}
	var sync map[string]string
	if p.server.Version() >= 17 {
		sync = map[string]string{"sync_replication_slots": "on"}
		p.cfg.Failover = true
	}
	p.standby = p.server.StandbyForTest(t, sync)
	p.proxy = p.proxied()
	return p
}

// there connects to the standby, or to what has become of it.
func (p *pair) there() *pgx.Conn {
	p.t.Helper()
	conn, err := pgx.Connect(p.ctx, p.standby.DSN("postgres"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close(p.ctx) })
	return conn
}

// awaitCopy waits until the standby has a copy of the slot that is as far as the
// slot was when this was called. A copy is kept once the slot has passed what the
// standby still has of the catalogue. What moves the slot on an idle primary, and
// wakes the worker of the standby, is done here.
func (p *pair) awaitCopy() {
	p.t.Helper()
	conn, want := p.there(), p.confirmed().String()
	p.eventually("a copy of the slot", func() (done bool) {
		p.exec("SELECT pg_log_standby_snapshot()", "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 40000))")
		_, err := conn.Exec(p.ctx, "SELECT pg_reload_conf()")
		if err == nil {
			err = conn.QueryRow(p.ctx, "SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name = $1 AND synced AND NOT temporary "+
				"AND confirmed_flush_lsn >= $2::text::pg_lsn", p.cfg.SlotName, want).Scan(&done)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		return done
	})
}

// failover kills the primary, promotes the standby and leads the listeners there.
func (p *pair) failover() {
	p.t.Helper()
	if err := p.server.Kill(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.standby.Promote(p.ctx); err != nil {
		p.t.Fatal(err)
	}
	p.proxy.Retarget(net.JoinHostPort(p.standby.Host(), strconv.Itoa(p.standby.Port())))
	p.conn = p.there()
}

// Failure 20 of docs/failures.md.
func TestFailoverIsFollowedAndLosesNothing(t *testing.T) {
	if s := pgShared(t); s.server.Version() < 17 {
		s.cfg.Failover = true
		guaranteeWords(t, s.refused().Error(), "listener.failover needs PostgreSQL 17", "remove it")
		return
	}
	p := newPair(t, map[string]string{"synchronized_standby_slots": "standby_1"})
	p.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	p.stream(sink)
	p.exec("INSERT INTO t VALUES (1)")
	sink.awaitAccepted(p.ctx, t, 1)
	p.awaitCopy()
	// What the copy of the slot does not know of yet comes again, or is
	// remembered.
	for id := 2; id <= 20; id++ {
		p.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", id))
	}
	sink.awaitAccepted(p.ctx, t, 20)
	if err := p.standby.CatchUp(p.ctx); err != nil {
		t.Fatal(err)
	}
	p.failover()
	p.exec("INSERT INTO t VALUES (21)")
	sink.await(p.ctx, t, "the change on the promoted server", func() bool {
		n := len(sink.accepted)
		return n > 0 && strings.Contains(sink.accepted[n-1].Body, `"id":21`)
	})
	ids := make(map[string]string) // of events, by row
	for _, m := range sink.messages() {
		if first, seen := ids[m.Key]; seen && first != m.ID.String() {
			t.Errorf("row %s came again with another id", m.Key)
		}
		ids[m.Key] = m.ID.String()
	}
	if len(ids) != 21 {
		t.Errorf("%d of 21 rows arrived", len(ids))
	}
}

// Failure 20 of docs/failures.md.
func TestFailoverThatLosesChangesGivesTheirIDsToNobodyElse(t *testing.T) {
	p := newPair(t, nil)
	p.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	r := p.stream(sink)
	p.exec("INSERT INTO t VALUES (1)")
	p.awaitConfirmedOf(sink, 1)
	copied := p.server.Version() >= 17
	if copied {
		p.awaitCopy()
	}
	if err := p.standby.CatchUp(p.ctx); err != nil {
		t.Fatal(err)
	}
	// From here on the standby hears of nothing.
	if _, err := p.there().Exec(p.ctx, "ALTER SYSTEM SET primary_conninfo = ''"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.there().Exec(p.ctx, "SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	p.eventually("the standby's silence", func() bool {
		return p.value("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'standby_1'") == "0"
	})
	p.exec("INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)")
	lost := sink.awaitAccepted(p.ctx, t, 3)[1:]
	p.failover()
	if !copied {
		// Without a copy of the slot walherald knows that there is a gap.
		guaranteeWords(t, r.wait().Error(), "slot "+p.cfg.SlotName+" was dropped", "--accept-gap=")
		return
	}
	for id := 4; id < 8; id++ {
		p.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", id))
	}
	sink.await(p.ctx, t, "the last change", func() bool {
		n := len(sink.accepted)
		return n > 0 && strings.Contains(sink.accepted[n-1].Body, `"id":7`)
	})
	for _, m := range sink.messages() {
		for _, l := range lost {
			if m.ID == l.ID && m.Body != l.Body {
				t.Errorf("%s and %s have one id", l.Body, m.Body)
			}
		}
		if m.Key == "7" && m.Writer == lost[0].Writer {
			t.Error("both timelines have one writer")
		}
	}
}

// awaitConfirmedOf waits until the nth change that the sink accepted is
// confirmed.
func (s *pgSource) awaitConfirmedOf(sink *guaranteeSink, n int) {
	s.t.Helper()
	commit := sink.awaitAccepted(s.ctx, s.t, n)[n-1].ID.LSN()
	s.eventually("confirmation", func() bool { return uint64(s.confirmed()) > commit })
}

// Failure 20 of docs/failures.md.
func TestStandbyIsReadFrom(t *testing.T) {
	p := newPair(t, nil)
	p.exec("CREATE TABLE t (id int PRIMARY KEY)")
	p.cfg.Failover, p.cfg.HeartbeatInterval = false, 200*time.Millisecond
	source := *p.pgSource
	source.db.Host, source.db.Port = p.standby.Host(), p.standby.Port()
	if p.server.Version() < 16 {
		guaranteeWords(t, source.refused().Error(), "server is a standby", "16", "name the primary")
		return
	}
	guaranteeWords(t, source.refused().Error(), `publication "walherald" does not exist`, "create it on the primary")
	p.exec("CREATE PUBLICATION walherald FOR ALL TABLES")
	if err := p.standby.CatchUp(p.ctx); err != nil {
		t.Fatal(err)
	}
	first := newGuaranteeSink()
	r := source.start(first)
	p.eventually("streaming from the standby", func() bool {
		p.exec("SELECT pg_log_standby_snapshot()") // the primary is idle otherwise
		return r.postgres().Ready
	})
	p.exec("INSERT INTO t VALUES (1)")
	commit := first.awaitAccepted(p.ctx, t, 1)[0].ID.LSN()
	there := p.there()
	p.eventually("confirmation on the standby", func() (done bool) {
		err := there.QueryRow(p.ctx, "SELECT confirmed_flush_lsn > $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $2",
			FormatLSN(commit), p.cfg.SlotName).Scan(&done)
		if err != nil {
			t.Fatal(err)
		}
		return done
	})
	r.stop()
	p.exec("INSERT INTO t VALUES (2)")
	second := newGuaranteeSink()
	r = source.start(second)
	guaranteeSame(t, guaranteeLines(t, second.awaitAccepted(p.ctx, t, 1)), []string{"INSERT public.t map[id:2] map[]"})
	// Promoted, it is followed like any other.
	if err := p.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.standby.Promote(p.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := there.Exec(p.ctx, "INSERT INTO t VALUES (3)"); err != nil {
		t.Fatal(err)
	}
	second.await(p.ctx, t, "the change on the promoted server", func() bool {
		return strings.Contains(second.accepted[len(second.accepted)-1].Body, `"id":3`)
	})
}
