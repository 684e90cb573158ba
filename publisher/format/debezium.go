package format

import (
	"encoding/base64"
	"strconv"

	"github.com/walherald/walherald/publisher"
)

// Debezium has the shape that Debezium's connector for PostgreSQL gives its
// values when Kafka Connect's schemas are disabled. Its bodies are JSON objects
// with these members in this order:
//
//	before              the row before the change, as far as the log holds it, or null
//	after               the row after the change, or null
//	message             of a logical message, in place of before and after: prefix, and
//	                    content in base64 (RFC 4648 section 4)
//	source              where the change comes from:
//	  version           walherald
//	  connector         postgresql
//	  name              the slot
//	  ts_ms ts_us ts_ns when the transaction committed, since the Unix epoch
//	  snapshot          false, as a string
//	  db schema table   the names as the database spells them
//	  txId              the transaction's number; null outside of transactions
//	  lsn               the position of the commit record in bytes, a number
//	  sequence          a string that holds a JSON array of two strings: lsn, and the
//	                    change's number within its transaction, from 0
//	  xmin              null
//	transaction         null
//	op                  c, u, d, t for TRUNCATE or m for a logical message
//	ts_ms ts_us ts_ns   those of source
//
// A large value that did not change is "__debezium_unavailable_value" in after,
// unless the old row holds it. Debezium itself has the position of the change in
// lsn, the positions of two records in sequence, and its own clock in the last
// three; here a redelivery has equal bytes, and sequence orders all changes.
type Debezium struct {
	// Source is what the members name and db tell.
	Source Source
}

var debeziumActions = words{
	publisher.Insert: "c", publisher.Update: "u", publisher.Delete: "d",
	publisher.Truncate: "t", publisher.LogicalMessage: "m",
}

// debeziumUnavailable stands for a value that the log leaves out: Debezium's
// default for unavailable.value.placeholder.
const debeziumUnavailable = `"__debezium_unavailable_value"`

// Plan implements [Envelope].
func (d Debezium) Plan(t *publisher.Table, _ map[string]string) Plan {
	p := &debeziumPlan{
		columns: newColumns(t), prefix: columnIndex(t, "prefix"),
		content: columnIndex(t, "content"), base64: columnIndex(t, "contentBase64"),
	}
	p.name = appendMember([]byte(`,"source":{"version":"walherald","connector":"postgresql"`), `,"name":`, d.Source.Slot)
	p.table = appendMember([]byte(`,"snapshot":"false"`), `,"db":`, d.Source.Database)
	p.table = appendMember(appendMember(p.table, `,"schema":`, t.Schema), `,"table":`, t.Name)
	p.table = append(p.table, `,"txId":`...)
	return p
}

// debeziumPlan holds the parts of a body that are the same in every event.
type debeziumPlan struct {
	name, table             []byte // of source, before and after its times
	columns                 columns
	prefix, content, base64 int // the columns of a logical message, or -1
}

// Append implements [Plan].
func (p *debeziumPlan) Append(dst []byte, e *publisher.Event) []byte {
	if e.Action == publisher.LogicalMessage {
		dst = p.appendMessage(dst, e)
	} else {
		dst = p.appendRows(dst, e)
	}
	dst = append(dst, p.name...)
	from := len(dst)
	dst = appendTimes(dst, e.CommitTime)
	to := len(dst)
	dst = append(dst, p.table...)
	dst = appendPosition(dst, e)
	dst = append(dst, `,"xmin":null},"transaction":null,"op":"`...)
	dst = append(dst, debeziumActions[e.Action]...)
	dst = append(dst, '"')
	dst = append(dst, dst[from:to]...)
	return append(dst, '}')
}

// appendRows appends before and after.
func (p *debeziumPlan) appendRows(dst []byte, e *publisher.Event) []byte {
	dst = append(dst, `{"before":`...)
	if len(e.Old) > 0 {
		dst = p.columns.appendOld(append(dst, '{'), e)
		dst = append(dst, `},"after":`...)
	} else {
		dst = append(dst, `null,"after":`...)
	}
	if !hasNew(e) {
		return append(dst, "null"...)
	}
	dst = p.appendAfter(append(dst, '{'), e)
	return append(dst, '}')
}

// appendAfter appends the members of the new row.
func (p *debeziumPlan) appendAfter(dst []byte, e *publisher.Event) []byte {
	comma := 1
	for i := range e.New {
		v := &e.New[i]
		if v.Kind == publisher.Unchanged {
			if v = unchangedValue(e, i); v == nil {
				dst = append(dst, p.columns[i].key[comma:]...)
				dst = append(dst, debeziumUnavailable...)
				comma = 0
				continue
			}
		}
		dst, comma = p.columns[i].append(dst, v, comma)
	}
	return dst
}

// appendMessage appends message.
func (p *debeziumPlan) appendMessage(dst []byte, e *publisher.Event) []byte {
	dst = append(dst, `{"message":{"prefix":`...)
	dst = AppendString(dst, textOf(e.New, p.prefix))
	dst = append(dst, `,"content":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, textOf(e.New, p.content))
	dst = append(dst, textOf(e.New, p.base64)...) // one of the two is empty
	return append(dst, `"}`...)
}

// appendTimes appends a time in microseconds in three units.
func appendTimes(dst []byte, micros int64) []byte {
	dst = append(dst, `,"ts_ms":`...)
	dst = strconv.AppendInt(dst, micros/1e3, 10)
	dst = append(dst, `,"ts_us":`...)
	dst = strconv.AppendInt(dst, micros, 10)
	dst = append(dst, `,"ts_ns":`...)
	return strconv.AppendInt(dst, micros*1e3, 10)
}

// appendPosition appends where in the log the event is: the value of txId, lsn
// and sequence.
func appendPosition(dst []byte, e *publisher.Event) []byte {
	if e.XID == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendUint(dst, uint64(e.XID), 10)
	}
	dst = append(dst, `,"lsn":`...)
	dst = strconv.AppendUint(dst, e.LSN, 10)
	dst = append(dst, `,"sequence":"[\"`...)
	dst = strconv.AppendUint(dst, e.LSN, 10)
	dst = append(dst, `\",\"`...)
	dst = strconv.AppendUint(dst, e.Ordinal, 10)
	return append(dst, `\"]"`...)
}
