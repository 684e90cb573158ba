package main

import (
	"testing"
	"time"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
)

func TestBrokerKilledUnderLoadLosesNothing(t *testing.T) {
	bothModes(t, func(t *testing.T, broker *natsserver.Server, mode string) {
		s, rng := pgserver.Shared(t), dice(t)
		db := prepare(t, s)
		d := newDaemon(t, source(s, db), toNATS(broker.URL()))
		d.start()
		d.awaitReady()
		l := startLoad(t, rng, s.DSN(db), false)
		for round := range 5 {
			if round%3 == 1 {
				l.makeLarge()
			}
			pause(t.Context(), rng, 1200*time.Millisecond)
			if err := broker.Kill(); err != nil {
				t.Fatal(err)
			}
			pause(t.Context(), rng, 400*time.Millisecond)
			if err := broker.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.mustRun()
		}
		l.finish()
		awaitConfirmed(t, d, s.DSN(db), db)
		d.awaitReady()
		expectMode(t, d, mode)
		balance(t, l, openStream(t, broker.URL()))
	})
}

// Whether a commit happened that a restart cut off the client does not know.
// The tables do.
func TestPostgresRestartUnderLoadLosesNothing(t *testing.T) {
	s, broker, rng := pgserver.ForTest(t, pgserver.Options{}), natsserver.ForTest(t, natsserver.Options{}), dice(t)
	db := prepare(t, s)
	d := newDaemon(t, source(s, db), toNATS(broker.URL()))
	d.start()
	d.awaitReady()
	l := startLoad(t, rng, s.DSN(db), true)
	for round := range 6 {
		if round%3 == 1 {
			l.makeLarge()
		}
		pause(t.Context(), rng, 1500*time.Millisecond)
		if err := s.Stop(t.Context(), []pgserver.StopMode{pgserver.Fast, pgserver.Immediate}[round%2]); err != nil {
			t.Fatal(err)
		}
		pause(t.Context(), rng, 300*time.Millisecond)
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.mustRun()
	}
	l.finish()
	awaitConfirmed(t, d, s.DSN(db), db)
	d.awaitReady()
	balance(t, l, openStream(t, broker.URL()))
}
