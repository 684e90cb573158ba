package kafka

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// decode reads a batch of records with kafka-go, and its header with franz-go.
func decode(t *testing.T, frame []byte) (kmsg.RecordBatch, []protocol.Record) {
	t.Helper()
	raw := frame[sizePrefix:]
	var header kmsg.RecordBatch
	if err := header.ReadFrom(raw); err != nil {
		t.Fatal(err)
	}
	if want := int32(crc32.Checksum(raw[atAttributes:], crc32.MakeTable(crc32.Castagnoli))); header.CRC != want {
		t.Errorf("checksum is %x, want %x", header.CRC, want)
	}
	var set protocol.RecordSet
	if _, err := set.ReadFrom(bytes.NewReader(frame)); err != nil {
		t.Fatal(err)
	}
	var records []protocol.Record
	for {
		r, err := set.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return header, records
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, *r)
	}
}

// same compares a decoded record with the message it was made of.
func same(t *testing.T, r *protocol.Record, m *publisher.Message, content publisher.Content) {
	t.Helper()
	key, err := protocol.ReadAll(r.Key)
	if err != nil {
		t.Fatal(err)
	}
	value, err := protocol.ReadAll(r.Value)
	if err != nil {
		t.Fatal(err)
	}
	if (len(m.Key) == 0) != (key == nil) || !bytes.Equal(key, m.Key) || !bytes.Equal(value, m.Body) {
		t.Errorf("record of %v has key %q and a value of %d bytes, want %q and %d", m.ID, key, len(value), m.Key, len(m.Body))
	}
	want := content.Attributes(nil, m, "ce_")
	if content.Type != "" {
		want = append(want, publisher.Attribute{Name: "content-type", Value: content.Type})
	}
	if content.Encoding != "" {
		want = append(want, publisher.Attribute{Name: "content-encoding", Value: content.Encoding})
	}
	if len(r.Headers) != len(want) {
		t.Fatalf("record has %d headers, want %d", len(r.Headers), len(want))
	}
	for i, h := range r.Headers {
		if h.Key != want[i].Name || string(h.Value) != want[i].Value {
			t.Errorf("header %d is %s: %q, want %s: %q", i, h.Key, h.Value, want[i].Name, want[i].Value)
		}
	}
}

// odd makes messages of all sizes at which a length takes another byte.
func odd(n int) []publisher.Message {
	rnd := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 10, 63, 64, 7900, 8000, 8191, 8192, 1<<20 - 300, 1 << 20}
	batch := publishertest.Changes("t", 0, n)
	for i := range batch {
		batch[i].Body = bytes.Repeat([]byte{byte(i)}, sizes[rnd.IntN(len(sizes)-2*(i%2))])
		batch[i].Key = batch[i].Key[:rnd.IntN(len(batch[i].Key)+1)]
		batch[i].Action = publisher.Action(1 + i%4)
	}
	return batch
}

func TestRecordsReadBackAsTheyWere(t *testing.T) {
	for _, content := range []publisher.Content{
		{},
		{Type: "application/json", Encoding: "gzip"},
		{Type: "application/json", CloudEvents: &publisher.CloudEvents{Source: "/walherald/shop", TypePrefix: "walherald."}},
	} {
		for code := compress.None; code <= compress.Zstd; code++ {
			e := newEncoder(content, code)
			for round := range 2 { // the second writes over the first
				batch := odd(20 + round)
				e.reset()
				e.begin()
				for i := range batch {
					e.add(&batch[i])
				}
				now := time.UnixMilli(1_700_000_000_123)
				raw, err := e.end(producer{id: 1 << 40, epoch: 3, sequence: 77}, now)
				if err != nil {
					t.Fatal(err)
				}
				header, records := decode(t, raw)
				if header.ProducerID != 1<<40 || header.ProducerEpoch != 3 || header.FirstSequence != 77 ||
					header.Magic != 2 || header.NumRecords != int32(len(batch)) || header.LastOffsetDelta != int32(len(batch)-1) ||
					header.Attributes != int16(code) || header.FirstTimestamp != now.UnixMilli() || header.MaxTimestamp != now.UnixMilli() {
					t.Errorf("header is %+v", header)
				}
				if len(records) != len(batch) {
					t.Fatalf("%v: %d records, want %d", code, len(records), len(batch))
				}
				for i := range records {
					if records[i].Offset != int64(i) {
						t.Errorf("record %d has offset %d", i, records[i].Offset)
					}
					same(t, &records[i], &batch[i], content)
				}
			}
		}
	}
}

func TestRecordTakenBackLeavesTheOthers(t *testing.T) {
	batch := odd(6)
	e := newEncoder(publisher.Content{}, compress.None)
	e.begin()
	for i := range batch {
		before := e.size()
		e.add(&batch[i])
		if i%2 == 1 {
			e.undo(before)
		}
	}
	raw, err := e.end(nobody, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	header, records := decode(t, raw)
	if header.ProducerID != -1 || header.ProducerEpoch != -1 || header.FirstSequence != -1 {
		t.Errorf("header of nobody is %+v", header)
	}
	if len(records) != 3 {
		t.Fatalf("%d records, want 3", len(records))
	}
	for i := range records {
		same(t, &records[i], &batch[2*i], publisher.Content{})
	}
}

// FuzzRecord looks for a message that does not read back.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("key"), []byte("body"), "public.t", int64(0))
	f.Add([]byte{}, []byte{}, "", int64(-1))
	f.Fuzz(func(t *testing.T, key, body []byte, table string, at int64) {
		m := publisher.Message{ID: publishertest.ID(1), Table: table, Action: publisher.Update, Key: key, Body: body, CommitTime: at % (1 << 53)}
		e := newEncoder(publisher.Content{Type: "application/json"}, compress.None)
		e.begin()
		e.add(&m)
		raw, err := e.end(nobody, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		_, records := decode(t, raw)
		if len(records) != 1 {
			t.Fatalf("%d records", len(records))
		}
		same(t, &records[0], &m, publisher.Content{Type: "application/json"})
	})
}

func TestHotPathAllocatesNothingForARecord(t *testing.T) {
	batch := publishertest.Changes("t", 0, 1000)
	e := newEncoder(publisher.Content{Type: "application/json"}, compress.None)
	write := func() {
		e.reset()
		e.begin()
		for i := range batch {
			e.add(&batch[i])
		}
		if _, err := e.end(nobody, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if n := testing.AllocsPerRun(10, write); n > 10 {
		t.Errorf("%v allocations for 1000 records", n)
	}
}
