package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher/nats"
)

// bookTime bounds the closing of the books.
const bookTime = 30 * time.Second

// ledger compares what was committed with what the stream holds.
type ledger struct {
	cfg  *config.Config
	shop *shop
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
// and prints the summary. It is an error if anything is missing, repeated or
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
	return errors.Join(waitErr, l.summary(held, want))
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

// holdings is what the stream holds.
type holdings struct {
	messages int
	ids      map[string]bool
	state    map[string]int // the version of each row, from the events alone
	backward int            // events older than one already seen of the same row
}

// readStream reads every message with a consumer of its own.
func (l *ledger) readStream(ctx context.Context) (*holdings, error) {
	nc, err := natsgo.Connect("nats://" + l.cfg.Publisher.Embedded.Listen)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, nats.StreamName(l.cfg.Publisher.Topic))
	if err != nil {
		return nil, err
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	h := &holdings{ids: make(map[string]bool), state: make(map[string]int)}
	for total := int(stream.CachedInfo().State.Msgs); h.messages < total; {
		batch, err := consumer.Fetch(min(500, total-h.messages))
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			id, _ := nats.EventID(m.Headers())
			if err := h.add(id, m.Data()); err != nil {
				return nil, err
			}
		}
		if batch.Error() != nil {
			return nil, batch.Error()
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return h, nil
}

// add takes one event into the books. A repeat counts and changes nothing.
func (h *holdings) add(id string, body []byte) error {
	h.messages++
	if h.ids[id] {
		return nil
	}
	h.ids[id] = true
	var e struct {
		Schema, Table, Action string
		Data, DataOld         struct {
			ID      json.Number
			SKU     string
			Version int
		}
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("read event %s: %w", id, err)
	}
	row := e.Data
	if e.Action == "DELETE" {
		row = e.DataOld
	}
	key := e.Schema + "." + e.Table + "/" + row.ID.String()
	if e.Table == "inventory" {
		key += row.SKU
	}
	if e.Action == "DELETE" {
		delete(h.state, key)
		return nil
	}
	if row.Version <= h.state[key] {
		h.backward++
	}
	h.state[key] = row.Version
	return nil
}

// summary prints the books and judges them.
func (l *ledger) summary(h *holdings, want map[string]int) error {
	s := l.shop
	lost := s.committed - len(h.ids)
	differ := 0
	for key := range merged(want, h.state) {
		if want[key] != h.state[key] {
			differ++
		}
	}
	p50, p99 := l.out.quantiles()
	l.out.say("\n%d transactions with %d changes committed", s.transactions, s.committed)
	l.out.say("%d events confirmed, %d read back from the stream", l.out.confirms, h.messages)
	l.out.say("%d lost, %d repeated, %d out of order", max(lost, 0), h.messages-len(h.ids), h.backward)
	l.out.say("%d rows in the tables, %d differ from what the events say", len(want), differ)
	l.out.say("commit to confirmation: p50 %v, p99 %v", p50, p99)
	switch {
	case s.doubtful > 0:
		return fmt.Errorf("%d changes have an unknown outcome, the books cannot be closed", s.doubtful)
	case lost > 0:
		return fmt.Errorf("%d changes are lost", lost)
	case lost < 0:
		return fmt.Errorf("%d events tell of changes nobody made", -lost)
	case h.messages > len(h.ids):
		return fmt.Errorf("%d events are repeated, although nobody else writes to the stream", h.messages-len(h.ids))
	case differ > 0 || h.backward > 0:
		return errors.New("the events do not tell what happened")
	}
	return nil
}

func merged(a, b map[string]int) map[string]bool {
	all := make(map[string]bool, len(a))
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return all
}

// quantiles returns the median and the 99th percentile of the latencies.
func (s *screen) quantiles() (p50, p99 time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.latencies) == 0 {
		return 0, 0
	}
	slices.Sort(s.latencies)
	at := func(q float64) time.Duration {
		return s.latencies[int(q*float64(len(s.latencies)-1))].Round(10 * time.Microsecond)
	}
	return at(0.50), at(0.99)
}
