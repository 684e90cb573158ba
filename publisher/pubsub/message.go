package pubsub

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/walherald/walherald/publisher"
)

// The attributes of a message beside those of walherald and CloudEvents.
const (
	// AttrContentType holds the media type of the body.
	AttrContentType = "content-type"
	// AttrContentEncoding holds what the body is compressed with, if it is.
	AttrContentEncoding = "content-encoding"
)

const (
	// attributePrefix is CloudEvents' in HTTP, which Google's own events have in
	// Pub/Sub as well.
	attributePrefix = "ce-"
	partitionKey    = attributePrefix + "partitionkey"
	// maxKey is the largest ordering key in bytes, maxAttribute the largest value
	// of an attribute (https://cloud.google.com/pubsub/quotas).
	maxKey       = 1024
	maxAttribute = 1024
	// maxShown is how much of a key an error or a log record shows.
	maxShown = 200
)

// traced appends the attribute of a traced batch. Google's own clients write theirs
// as googclient_traceparent: names that begin with goog are not for others.
func traced(attrs []publisher.Attribute, parent string) []publisher.Attribute {
	if parent == "" {
		return attrs
	}
	return append(attrs, publisher.Attribute{Name: publisher.HeaderTraceParent, Value: parent})
}

// encode makes a message of m and what stands beside its body. It returns its size
// in bytes, which is known here and costs much of the time to find out by
// proto.Size: that asks the map by reflection.
func (p *Publisher) encode(pb *pubsubpb.PubsubMessage, m *publisher.Message, attrs []publisher.Attribute) (size int) {
	pb.Data = m.Body
	pb.Attributes = make(map[string]string, len(attrs)+2)
	for _, a := range attrs {
		if a.Name == partitionKey {
			pb.Attributes[a.Name] = keyText(a.Value)
		} else {
			pb.Attributes[a.Name] = attributeValue(a.Value)
		}
	}
	if p.cfg.Content.Type != "" {
		pb.Attributes[AttrContentType] = p.cfg.Content.Type
	}
	if p.cfg.Content.Encoding != "" {
		pb.Attributes[AttrContentEncoding] = p.cfg.Content.Encoding
	}
	if p.cfg.EnableOrdering {
		pb.OrderingKey = OrderingKey(m)
	}
	for name, value := range pb.Attributes {
		size += fieldSize(fieldSize(len(name)) + fieldSize(len(value)))
	}
	for _, n := range []int{len(pb.Data), len(pb.OrderingKey)} {
		if n > 0 { // what is empty is not written
			size += fieldSize(n)
		}
	}
	return size
}

// OrderingKey returns the ordering key of a message: its key or, if it has none,
// its table's name, so that the changes of a table without a key stay in order.
// What Pub/Sub does not take as a key, because it is longer than 1024 bytes or
// no UTF-8, is represented by its SHA-256 in 64 hexadecimal digits.
func OrderingKey(m *publisher.Message) string {
	if len(m.Key) == 0 {
		return keyText(m.Table)
	}
	return keyText(string(m.Key))
}

func keyText(key string) string {
	if len(key) <= maxKey && utf8.ValidString(key) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// attributeValue makes an attribute's value valid: its end is cut off if it is
// too long, as the prefix of a logical message can be.
func attributeValue(v string) string {
	if len(v) <= maxAttribute && utf8.ValidString(v) {
		return v
	}
	v = strings.ToValidUTF8(v, "\uFFFD")
	if len(v) <= maxAttribute {
		return v
	}
	end := maxAttribute
	for !utf8.RuneStart(v[end]) {
		end--
	}
	return v[:end]
}

// shown is the part of a key that errors and log records show.
func shown(key []byte) []byte { return key[:min(len(key), maxShown)] }
