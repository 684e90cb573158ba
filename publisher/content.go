package publisher

import (
	"math/bits"
	"time"
)

// Content says what the bodies of one output's messages are. It is fixed when
// the output is made.
type Content struct {
	// Type is the media type of the bodies (RFC 6838), such as application/json.
	Type string
	// Encoding is what the bodies are compressed with, in the words of HTTP's
	// Content-Encoding (RFC 9110, section 8.4.1): gzip, zstd, or empty for not.
	Encoding string
	// CloudEvents is set if the attributes of the event stand beside the body and
	// not in it (CloudEvents 1.0, binary content mode).
	CloudEvents *CloudEvents
}

// CloudEvents is what the attributes of CloudEvents 1.0 are made of.
type CloudEvents struct {
	// Source is the attribute source, a URI reference: "/walherald/shop".
	Source string
	// TypePrefix comes before the action, in lower case, in the attribute type:
	// "walherald." gives "walherald.insert".
	TypePrefix string
}

// Attribute is a name and a value that stand beside a body.
type Attribute struct {
	Name, Value string
}

// The names of the attributes that walherald puts beside bodies, as headers or
// whatever the destination calls them.
const (
	AttrID         = "walherald-id"          // the event's id
	AttrTable      = "walherald-table"       // schema.table
	AttrAction     = "walherald-action"      // INSERT, UPDATE, DELETE, TRUNCATE or MESSAGE
	AttrLSN        = "walherald-lsn"         // position of the commit record, such as 0/16B3748
	AttrCommitTime = "walherald-commit-time" // RFC 3339 in UTC with microseconds
)

// timeLayout is RFC 3339 with microseconds.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// AppendTime appends a Message's CommitTime as RFC 3339 in UTC with
// microseconds.
func AppendTime(dst []byte, micros int64) []byte {
	return time.UnixMicro(micros).UTC().AppendFormat(dst, timeLayout)
}

// AppendLSN appends a position in the log as PostgreSQL writes it: two
// hexadecimal numbers of 32 bits in capitals, without leading zeros.
func AppendLSN(dst []byte, lsn uint64) []byte {
	dst = appendHex(dst, uint32(lsn>>32))
	dst = append(dst, '/')
	return appendHex(dst, uint32(lsn))
}

// Attributes appends what stands beside m's body: the attributes walherald-…
// and, in the binary mode of CloudEvents, the event's attributes, with prefix
// before their names as the binding of the protocol wants it ("ce_" for Kafka,
// "ce-" for NATS and Pub/Sub, "cloudEvents:" for AMQP). Type and Encoding are
// not among them: protocols have places of their own for those.
func (c *Content) Attributes(dst []Attribute, m *Message, prefix string) []Attribute {
	id, at := m.ID.String(), string(AppendTime(nil, m.CommitTime))
	dst = append(
		dst,
		Attribute{AttrID, id},
		Attribute{AttrTable, m.Table},
		Attribute{AttrAction, m.Action.String()},
		Attribute{AttrLSN, string(AppendLSN(nil, m.ID.LSN()))},
		Attribute{AttrCommitTime, at},
	)
	if c.CloudEvents == nil {
		return dst
	}
	dst = append(
		dst,
		Attribute{prefix + "specversion", "1.0"},
		Attribute{prefix + "id", id},
		Attribute{prefix + "source", c.CloudEvents.Source},
		Attribute{prefix + "type", c.CloudEvents.TypePrefix + m.Action.lower()},
		Attribute{prefix + "subject", m.Table},
		Attribute{prefix + "time", at},
	)
	if len(m.Key) > 0 {
		dst = append(dst, Attribute{prefix + "partitionkey", string(m.Key)})
	}
	return dst
}

// appendHex appends v in capital hexadecimal digits without leading zeros.
func appendHex(dst []byte, v uint32) []byte {
	for shift := (bits.Len32(v|1) - 1) &^ 3; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789ABCDEF"[v>>shift&15])
	}
	return dst
}
