package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/walherald/walherald/config"
)

// bookTime bounds the closing of the books.
const bookTime = 30 * time.Second

// ledger compares what was committed with what the stream holds and what the receiver
// has accepted.
type ledger struct {
	cfg  *config.Config
	shop *shop
	recv *receiver
	out  *screen

	serviceEnded bool
}

// awaitReady waits until walherald says that it is ready.
func (l *ledger) awaitReady(ctx context.Context, ended <-chan error) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/ready", l.cfg.Listener.ServerPort)
	return l.poll(ctx, ended, "walherald to be ready", func(ctx context.Context) (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, nil // not listening yet
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
}

// poll asks done again and again until it says so, walherald ends, or time is
// up.
func (l *ledger) poll(ctx context.Context, ended <-chan error, what string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, bookTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case err := <-ended:
			l.serviceEnded = true
			return errors.Join(errors.New("walherald ended"), err)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

// close waits until everything committed is confirmed, reads the stream back
// and prints the books. It is an error if anything is missing, repeated or
// out of order.
func (l *ledger) close(ctx context.Context, ended <-chan error) error {
	waitErr := l.awaitConfirmed(ctx, ended)
	if l.serviceEnded {
		return waitErr
	}
	ctx, cancel := context.WithTimeout(ctx, bookTime)
	defer cancel()
	held, err := l.readStream(ctx)
	if err != nil {
		return errors.Join(waitErr, fmt.Errorf("read the stream back: %w", err))
	}
	want, err := l.shop.rows(ctx)
	if err != nil {
		return errors.Join(waitErr, err)
	}
	// What is delivered from the parking is accepted before it is no longer parked,
	// so this order finds each in one of the two.
	parked, err := l.shop.parked(ctx)
	if err != nil {
		return errors.Join(waitErr, err)
	}
	return errors.Join(waitErr, l.summary(held, want), l.notified(held, parked).summary(l.out))
}

// awaitConfirmed waits until the server has been told that its log is not
// needed up to where it ends now.
func (l *ledger) awaitConfirmed(ctx context.Context, ended <-chan error) error {
	var end string
	if err := l.shop.conn.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&end); err != nil {
		return fmt.Errorf("read the end of the log: %w", err)
	}
	return l.poll(ctx, ended, "the last change to be confirmed", func(ctx context.Context) (done bool, err error) {
		err = l.shop.conn.QueryRow(ctx, "SELECT confirmed_flush_lsn >= $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2",
			end, l.cfg.Listener.SlotName).Scan(&done)
		return done, err
	})
}
