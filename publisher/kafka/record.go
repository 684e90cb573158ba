package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"github.com/walherald/walherald/publisher"
)

// Places in the header of a record batch
// (https://kafka.apache.org/documentation/#recordbatch).
const (
	atLength       = 8  // of what follows it, 4 bytes
	atMagic        = 16 // 1 byte
	atCRC          = 17 // of all that follows it, 4 bytes
	atAttributes   = 21
	atLastDelta    = 23
	atFirstTime    = 27
	atMaxTime      = 35
	atProducerID   = 43
	atEpoch        = 51
	atSequence     = 53
	atRecords      = 57
	batchHeader    = 61 // bytes of the whole header
	sizePrefix     = 4  // bytes of the size that stands before a batch in requests
	magic          = 2
	noSequence     = -1
	guessedVarint  = 2 // bytes of the length of nearly every record
	maxVarintBytes = 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encoder writes record batches, one after the other, into one buffer that is
// used again and again. Records have the time at which they are written, as
// those of any producer: a topic's retention and its limits to timestamps count
// from there. The commit's time is a header.
type encoder struct {
	content publisher.Content
	codec   compress.Codec // nil for none
	code    int8           // of the codec

	buf     []byte
	start   int // of the batch that is being written
	records int
	packed  bytes.Buffer // what compression makes of the records

	constant     []byte // the headers that are the same in all records
	constants    int
	attributes   []publisher.Attribute
	at           int64  // commit time that is in atText
	atText       []byte // never nil
	lsn          [20]byte
	headerPrefix [5][]byte
	trace        string // header traceparent of the batch; empty for none
}

func newEncoder(content publisher.Content, compression compress.Compression) *encoder {
	e := &encoder{content: content, codec: compression.Codec(), code: int8(compression), atText: publisher.AppendTime(nil, 0)}
	for _, h := range []publisher.Attribute{{Name: "content-type", Value: content.Type}, {Name: "content-encoding", Value: content.Encoding}} {
		if h.Value != "" {
			e.constant = appendText(appendText(e.constant, h.Name), h.Value)
			e.constants++
		}
	}
	for i, name := range []string{
		publisher.AttrID, publisher.AttrTable, publisher.AttrAction, publisher.AttrLSN, publisher.AttrCommitTime,
	} {
		e.headerPrefix[i] = appendText(nil, name)
	}
	return e
}

// keptBuffer is the largest buffer that is kept for the next request.
const keptBuffer = 4 * usualRequest

// reset forgets all batches.
func (e *encoder) reset() {
	if e.buf = e.buf[:0]; cap(e.buf) > keptBuffer {
		e.buf, e.packed = nil, bytes.Buffer{}
	}
}

// begin begins a batch.
func (e *encoder) begin() {
	var header [batchHeader]byte
	e.buf = append(e.buf, header[:sizePrefix]...)
	e.start, e.records = len(e.buf), 0
	e.buf = append(e.buf, header[:]...)
}

// cancel takes the batch back.
func (e *encoder) cancel() { e.buf = e.buf[:e.start-sizePrefix] }

// size is the number of bytes the batch has so far, uncompressed.
func (e *encoder) size() int { return len(e.buf) - e.start }

// producer is who a batch says it is from, and the sequence number of its first
// record. By them the broker knows repeats and holes.
type producer struct {
	id       int64 // negative: nobody
	epoch    int16
	sequence int32
}

// nobody makes batches that the broker takes as they come.
var nobody = producer{id: -1, epoch: -1, sequence: noSequence}

// end ends the batch and returns it with its size before it, 4 bytes, as requests
// have it. It is valid until reset.
func (e *encoder) end(p producer, now time.Time) ([]byte, error) {
	if err := e.pack(); err != nil {
		return nil, err
	}
	b := e.buf[e.start:]
	be := binary.BigEndian
	be.PutUint32(b[atLength:], uint32(len(b)-atLength-4))
	be.PutUint32(b[atLength+4:], 0xffffffff) // partition leader epoch: set by the broker
	b[atMagic] = magic
	be.PutUint16(b[atAttributes:], uint16(e.code))
	be.PutUint32(b[atLastDelta:], uint32(e.records-1))
	be.PutUint64(b[atFirstTime:], uint64(now.UnixMilli()))
	be.PutUint64(b[atMaxTime:], uint64(now.UnixMilli()))
	be.PutUint64(b[atProducerID:], uint64(p.id))
	be.PutUint16(b[atEpoch:], uint16(p.epoch))
	be.PutUint32(b[atSequence:], uint32(p.sequence))
	be.PutUint32(b[atRecords:], uint32(e.records))
	be.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
	frame := e.buf[e.start-sizePrefix:]
	be.PutUint32(frame, uint32(len(b)))
	return frame, nil
}

// pack compresses the records of the batch.
func (e *encoder) pack() error {
	if e.codec == nil {
		return nil
	}
	records := e.buf[e.start+batchHeader:]
	e.packed.Reset()
	w := e.codec.NewWriter(&e.packed)
	_, err := w.Write(records)
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("compress records with %s: %w", e.codec.Name(), err)
	}
	e.buf = append(e.buf[:e.start+batchHeader], e.packed.Bytes()...)
	return nil
}

// add adds a record to the batch
// (https://kafka.apache.org/documentation/#record).
func (e *encoder) add(m *publisher.Message) {
	start := len(e.buf)
	b := append(e.buf, 0, 0, 0, 0) // length, guessed; attributes; time after the batch's first
	b = binary.AppendVarint(b, int64(e.records))
	if len(m.Key) == 0 {
		b = binary.AppendVarint(b, -1)
	} else {
		b = appendText(b, m.Key)
	}
	b = appendText(b, m.Body)
	b = e.appendHeaders(b, m)
	e.buf = putLength(b, start)
	e.records++
}

// undo takes back the record that made the batch larger than size.
func (e *encoder) undo(size int) {
	e.buf = e.buf[:e.start+size]
	e.records--
}

// putLength writes the length of the record that begins at start before it. Its
// place is the number of bytes that nearly all lengths have.
func putLength(b []byte, start int) []byte {
	var length [maxVarintBytes]byte
	n := binary.PutVarint(length[:], int64(len(b)-start-guessedVarint))
	if n > guessedVarint {
		b = append(b, length[:n-guessedVarint]...) // room
	}
	if n != guessedVarint {
		copy(b[start+n:], b[start+guessedVarint:])
		if n < guessedVarint {
			b = b[:len(b)-guessedVarint+n]
		}
	}
	copy(b[start:], length[:n])
	return b
}

// appendHeaders appends what stands beside the body. Without the attributes of
// CloudEvents it is what publisher.Content.Attributes returns, made without a
// string for each.
func (e *encoder) appendHeaders(b []byte, m *publisher.Message) []byte {
	if e.content.CloudEvents != nil {
		e.attributes = e.content.Attributes(e.attributes[:0], m, "ce_")
		b = binary.AppendVarint(b, int64(len(e.attributes)+e.others()))
		for _, a := range e.attributes {
			b = appendText(appendText(b, a.Name), a.Value)
		}
		return e.appendOthers(b)
	}
	if m.CommitTime != e.at {
		e.at, e.atText = m.CommitTime, publisher.AppendTime(e.atText[:0], m.CommitTime)
	}
	b = binary.AppendVarint(b, int64(len(e.headerPrefix)+e.others()))
	b = append(b, e.headerPrefix[0]...)
	b = binary.AppendVarint(b, int64(len("01234567-0123-0123-0123-0123456789ab")))
	b, _ = m.ID.AppendText(b)
	b = appendText(append(b, e.headerPrefix[1]...), m.Table)
	b = appendText(append(b, e.headerPrefix[2]...), m.Action.String())
	b = appendText(append(b, e.headerPrefix[3]...), publisher.AppendLSN(e.lsn[:0], m.ID.LSN()))
	b = appendText(append(b, e.headerPrefix[4]...), e.atText)
	return e.appendOthers(b)
}

// others is how many headers there are beside the attributes.
func (e *encoder) others() int {
	if e.trace == "" {
		return e.constants
	}
	return e.constants + 1
}

// appendOthers appends the headers beside the attributes.
func (e *encoder) appendOthers(b []byte) []byte {
	b = append(b, e.constant...)
	if e.trace == "" {
		return b
	}
	return appendText(appendText(b, publisher.HeaderTraceParent), e.trace)
}

// appendText appends a length and the bytes.
func appendText[T ~[]byte | ~string](b []byte, text T) []byte {
	return append(binary.AppendVarint(b, int64(len(text))), text...)
}
