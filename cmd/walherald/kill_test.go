package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/publisher/nats"
)

const kills = 12

// bothModes runs a test against a stream with fast ingest, which walherald
// makes, and against one without.
func bothModes(t *testing.T, test func(t *testing.T, broker *natsserver.Server, mode string)) {
	for _, mode := range []string{nats.ModeFast, nats.ModeMsgID} {
		t.Run(mode, func(t *testing.T) {
			broker := natsserver.ForTest(t, natsserver.Options{})
			if mode == nats.ModeMsgID {
				plainStream(t, broker.URL())
			}
			test(t, broker, mode)
		})
	}
}

func TestKillAnywhereLosesNothing(t *testing.T) {
	bothModes(t, func(t *testing.T, broker *natsserver.Server, mode string) {
		s, rng := pgserver.Shared(t), dice(t)
		db := prepare(t, s)
		d := newDaemon(t, source(s, db), toNATS(broker.URL()))
		d.start()
		d.awaitReady() // the slot is there: from here on everything counts
		l := startLoad(t, rng, s.DSN(db), false)
		for round := range kills {
			if round%4 == 1 {
				l.makeLarge()
			}
			pause(t.Context(), rng, 900*time.Millisecond)
			d.kill()
			d.start()
		}
		l.finish()
		awaitConfirmed(t, d, s.DSN(db), db)
		expectMode(t, d, mode)
		balance(t, l, openStream(t, broker.URL()))
	})
}

func TestBothKilledAtOnceLoseNothing(t *testing.T) {
	s, rng := pgserver.Shared(t), dice(t)
	db, listen := prepare(t, s), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	d := newDaemon(t, source(s, db),
		fmt.Sprintf("publisher: {type: nats, topic: cdc, embedded: {listen: '%s', storeDir: '%s'}}\n", listen, t.TempDir()))
	d.start()
	d.awaitReady()
	l := startLoad(t, rng, s.DSN(db), false)
	for round := range kills / 2 {
		if round%4 == 1 {
			l.makeLarge()
		}
		pause(t.Context(), rng, 1200*time.Millisecond)
		d.kill() // and the JetStream server that is in it
		d.start()
	}
	l.finish()
	awaitConfirmed(t, d, s.DSN(db), db)
	balance(t, l, openStream(t, "nats://"+listen))
}
