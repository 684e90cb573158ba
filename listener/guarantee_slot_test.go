package listener

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/listener/pgoutput"
)

// guaranteeWords wants all words in a text.
func guaranteeWords(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}

// Failure 17 of docs/failures.md.
func TestSlotInUseIsWaitedFor(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	first, second := newGuaranteeSink(), newGuaranteeSink()
	holder := s.stream(first)
	waiting := s.start(second)
	s.eventually("word of the slot in use", func() bool {
		return strings.Contains(waiting.postgres().Reason, "is active for PID "+s.slot("active_pid")) &&
			strings.Contains(waiting.postgres().Reason, "walherald from 127.0.0.1, since 20")
	})
	if waiting.postgres().Ready {
		t.Error("who waits for the slot is ready")
	}
	s.exec("INSERT INTO t VALUES (1)")
	s.awaitConfirmed(pgoutput.LSN(first.awaitAccepted(s.ctx, t, 1)[0].ID.LSN()) + 1)
	holder.stop()
	s.exec("INSERT INTO t VALUES (2)")
	guaranteeSame(t, guaranteeLines(t, second.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.t map[id:2] map[]"})
	waiting.awaitReady()
}

// Failure 18 of docs/failures.md.
func TestSlotDroppedWhileStreamingIsNotMadeAnew(t *testing.T) {
	s := pgShared(t)
	proxy := s.proxied()
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.exec("INSERT INTO t VALUES (1)")
	s.awaitConfirmed(pgoutput.LSN(sink.awaitAccepted(s.ctx, t, 1)[0].ID.LSN()) + 1)

	proxy.Refuse(true)
	proxy.Cut()
	s.eventually("end of the walsender", func() bool { return s.slot("active_pid") == "" })
	s.exec("SELECT pg_drop_replication_slot("+quoteLiteral(s.cfg.SlotName)+")", "INSERT INTO t VALUES (2)")
	proxy.Refuse(false)
	err := r.wait()
	if err == nil {
		t.Fatal("Run returned without an error")
	}
	guaranteeWords(t, err.Error(), "slot "+s.cfg.SlotName, "was dropped", "--accept-gap="+r.flush().String())
	if s.slot("slot_name") != "" {
		t.Error("the slot was made anew: nobody will ever know of the changes in between")
	}
}

func TestAnotherServerAtTheSameAddressIsRefusedAndLeftAlone(t *testing.T) {
	s := pgShared(t)
	other := pgOwn(t, pgserver.Options{})
	other.exec("CREATE DATABASE " + s.db.Name)
	other.db.Name = s.db.Name
	other.conn = other.connect()
	r := s.newRun(newGuaranteeSink())
	streaming, lost := context.WithCancel(s.ctx)
	if stream, err := r.session(streaming, lost); stream == nil {
		t.Fatalf("first session: %v", err)
	} else {
		stream.farewell()
	}
	r.db = other.db // as if a name led elsewhere now
	_, err := r.session(s.ctx, func() { t.Error("the other server's log is read") })
	if !isFatal(err) {
		t.Fatalf("session with another server: %v", err)
	}
	guaranteeWords(t, err.Error(), "is another one than before", fmt.Sprint(other.db.Port), "restart walherald")
	if made := other.value("SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)"); made != "0" {
		t.Error("slot or publication was made on a server that nobody meant")
	}
}
