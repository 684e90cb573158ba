package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	"github.com/jackc/pgx/v5"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/publisher/nats"
)

// openStream returns the stream cdc of a server.
func openStream(t *testing.T, url string) jetstream.Stream {
	t.Helper()
	stream, err := jetStream(t, url).Stream(bounded(t), "cdc")
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// jetStream connects to a server until the test ends.
func jetStream(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// readStream hands every message of the stream to each, in order.
func readStream(t *testing.T, stream jetstream.Stream, each func(m jetstream.Msg)) {
	t.Helper()
	ctx := bounded(t)
	info, err := stream.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for left := int(info.State.Msgs); left > 0; {
		batch, err := consumer.Fetch(min(left, 1000))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			each(m)
			left--
		}
		if batch.Error() != nil || ctx.Err() != nil {
			t.Fatalf("read the stream, %d messages to go: %v, %v", left, batch.Error(), ctx.Err())
		}
	}
}

// event is the body of a message about one of the tables of a load.
type event struct {
	ID, Table, Action, LSN string
	Seq                    int
	Data, DataOld          struct {
		Worker           int
		N, Number        int64
		Version, Changes int
	}
}

// books are kept of a stream, message by message. They hold the stream to be
// the transactions of a load, each complete, in commit order.
type books struct {
	seen     map[string][sha256.Size]byte
	repeats  int
	last     event
	items    map[key]int // the version of each row, by the events alone
	versions map[key]int // also of those deleted since
	txs      map[key]int
	faults   []string
}

func newBooks() *books {
	return &books{
		seen:  make(map[string][sha256.Size]byte),
		items: make(map[key]int), versions: make(map[key]int), txs: make(map[key]int),
	}
}

func (b *books) wrong(format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// add enters a message.
func (b *books) add(id string, body []byte) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		b.wrong("message %s: %v", id, err)
		return
	}
	if e.ID != id {
		b.wrong("message %s says that it is %s", id, e.ID)
	}
	digest := sha256.Sum256(body)
	if before, repeated := b.seen[id]; repeated {
		b.repeats++
		if before != digest {
			b.wrong("message %s came again with another body", id)
		}
		return
	}
	b.seen[id] = digest
	b.follows(&e)
	b.apply(&e)
	b.last = e
}

// follows holds the event to come right after the last one.
func (b *books) follows(e *event) {
	if e.ID <= b.last.ID {
		b.wrong("event %s comes after %s", e.ID, b.last.ID)
	}
	switch {
	case e.LSN == b.last.LSN && e.Seq != b.last.Seq+1:
		b.wrong("transaction %s: change %d comes after %d", e.LSN, e.Seq, b.last.Seq)
	case e.LSN != b.last.LSN && e.Seq != 0:
		b.wrong("transaction %s begins with change %d", e.LSN, e.Seq)
	case e.LSN != b.last.LSN:
		b.complete()
	}
}

// complete holds the last transaction to have ended.
func (b *books) complete() {
	if b.last.ID != "" && (b.last.Table != "txs" || b.last.Data.Changes != b.last.Seq+1) {
		b.wrong("transaction %s ends with change %d of table %s", b.last.LSN, b.last.Seq, b.last.Table)
	}
}

// apply makes the event's change, which must be possible.
func (b *books) apply(e *event) {
	if e.Table == "txs" {
		b.txs[key{e.Data.Worker, e.Data.Number}] = e.Data.Changes
		return
	}
	k := key{e.Data.Worker, e.Data.N}
	if e.Action == "DELETE" {
		k = key{e.DataOld.Worker, e.DataOld.N}
	}
	_, here := b.items[k]
	possible := here
	switch e.Action {
	case "INSERT":
		possible = !here && e.Data.Version > b.versions[k]
	case "UPDATE":
		possible = here && e.Data.Version == b.versions[k]+1
	}
	if !possible {
		b.wrong("%s of row %v to version %d comes when it is there: %v, at version %d", e.Action, k, e.Data.Version, here, b.versions[k])
	}
	if e.Action == "DELETE" {
		delete(b.items, k)
		return
	}
	b.items[k], b.versions[k] = e.Data.Version, e.Data.Version
}

// balance reads the stream and compares it with the tables of the load. No
// message may be there twice.
func balance(t *testing.T, l *load, stream jetstream.Stream) {
	t.Helper()
	b := newBooks()
	readStream(t, stream, func(m jetstream.Msg) {
		id, _ := nats.EventID(m.Headers())
		b.add(id, m.Data())
	})
	b.complete()
	for _, fault := range b.faults[:min(len(b.faults), 20)] {
		t.Error(fault)
	}
	items, txs := l.tables()
	compare(t, "transactions", txs, b.txs)
	compare(t, "rows", items, b.items)
	if b.repeats > 0 {
		t.Errorf("%d of %d messages are repeats", b.repeats, b.repeats+len(b.seen))
	}
	t.Logf("%d transactions, %d messages, %d rows", len(txs), len(b.seen)+b.repeats, len(items))
}

// compare compares a table with what the events make of it.
func compare(t *testing.T, what string, table, events map[key]int) {
	t.Helper()
	if maps.Equal(table, events) {
		return
	}
	differ := 0
	all := maps.Clone(table)
	maps.Copy(all, events)
	for k := range all {
		have, inTable := table[k]
		told, inEvents := events[k]
		if inTable == inEvents && have == told {
			continue
		}
		if differ++; differ <= 5 {
			t.Errorf("%s: %v is %d (%v) in the table, %d (%v) in the events", what, k, have, inTable, told, inEvents)
		}
	}
	t.Errorf("%s: %d differ of %d in the table and %d in the events", what, differ, len(table), len(events))
}

// awaitConfirmed waits until the slot is confirmed up to where the log ends now.
func awaitConfirmed(t *testing.T, d *daemon, dsn, slot string) {
	t.Helper()
	ctx := bounded(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var end string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&end); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slot to be confirmed up to "+end, func(ctx context.Context) (done bool, err error) {
		d.mustRun()
		err = conn.QueryRow(ctx, "SELECT confirmed_flush_lsn >= $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2", end, slot).Scan(&done)
		return done, err
	})
}

// plainStream makes the stream without fast ingest: messages have ids there.
func plainStream(t *testing.T, url string) {
	t.Helper()
	cfg := jetstream.StreamConfig{Name: "cdc", Subjects: []string{"cdc.>"}}
	if _, err := jetStream(t, url).CreateStream(bounded(t), cfg); err != nil {
		t.Fatal(err)
	}
}

// expectMode wants the stream to have been written in the given way.
func expectMode(t *testing.T, d *daemon, mode string) {
	t.Helper()
	if !bytes.Contains([]byte(d.log()), fmt.Appendf(nil, `"mode":%q`, mode)) {
		t.Errorf("the log does not tell of mode %s", mode)
	}
}
