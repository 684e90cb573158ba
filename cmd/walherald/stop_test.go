package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
)

// slotPosition returns how far the slot is confirmed; it must exist.
func slotPosition(t *testing.T, s *pgserver.Server, slot string) (position string) {
	t.Helper()
	ctx := bounded(t)
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", slot).Scan(&position); err != nil {
		t.Fatalf("slot %s: %v", slot, err)
	}
	return position
}

// stop sends a signal and wants exit code 0 and no word of cutting anything off.
func (d *daemon) stop(sig os.Signal) {
	d.t.Helper()
	d.mustRun()
	before := len(d.log())
	if err := d.proc.Signal(sig); err != nil {
		d.t.Fatal(err)
	}
	if code := d.exit(); code != exitOK {
		d.t.Errorf("exit code %d after %v", code, sig)
	}
	if log := d.log()[before:]; !strings.Contains(log, "walherald stopped") || strings.Contains(log, `"level":"ERROR"`) {
		d.t.Errorf("after %v the process has logged:\n%s", sig, log)
	}
}

// Failure 23 of docs/failures.md.
func TestStopUnderLoadExitsZeroAndTheNextStartGoesOn(t *testing.T) {
	s, broker, rng := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{}), dice(t)
	db := prepare(t, s)
	d := newDaemon(t, source(s, db), toNATS(broker.URL()))
	d.start()
	d.awaitReady()
	l := startLoad(t, rng, s.DSN(db), false)
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT} {
		l.makeLarge()
		pause(t.Context(), rng, time.Second)
		d.awaitReady() // before that, a signal would not find its handler
		d.stop(sig)
		slotPosition(t, s, db)
		d.start()
	}
	l.finish()
	awaitConfirmed(t, d, s.DSN(db), db)
	if strings.Contains(d.log(), "before everything read was delivered") {
		t.Error("a stop with a broker that takes messages has not delivered all that was read")
	}
	balance(t, l, openStream(t, broker.URL()))
}

// What cannot be delivered within the bound is not confirmed: it comes again.
//
// Failure 23 of docs/failures.md.
func TestStopWithoutABrokerEndsWithinItsBoundAndLosesNothing(t *testing.T) {
	s, broker, rng := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{}), dice(t)
	db := prepare(t, s)
	d := newDaemon(t, source(s, db)+"  drainTimeout: 500ms\n", toNATS(broker.URL()))
	d.start()
	d.awaitReady()
	l := startLoad(t, rng, s.DSN(db), false)
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if err := broker.Kill(); err != nil {
			t.Fatal(err)
		}
		d.awaitBlocked("nats")
		d.stop(sig)
		if !strings.Contains(d.log(), "before everything read was delivered") {
			t.Error("the log does not say that something was left undelivered")
		}
		if err := broker.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.start()
		d.awaitReady()
	}
	l.finish()
	awaitConfirmed(t, d, s.DSN(db), db)
	balance(t, l, openStream(t, broker.URL()))
}

// The bound for what was read is longer than the test waits: nothing was read,
// so nothing is waited for.
func TestStopIsAnsweredWhileNothingCanBeReached(t *testing.T) {
	s := pgserver.Shared(t)
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		unreachable := fmt.Sprintf("nats://127.0.0.1:%d", freePort(t))
		d := newDaemon(t, strings.Replace(source(s, "none")+"  drainTimeout: 1m\n", fmt.Sprintf("port: %d", s.Port()), fmt.Sprintf("port: %d", freePort(t)), 1),
			toNATS(unreachable))
		d.start()
		d.awaitBlocked("postgres")
		d.awaitBlocked("nats")
		d.stop(sig)
	}
}
