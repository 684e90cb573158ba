package publisher

import (
	"strings"
	"time"
)

// Received is a message as a consumer of the destination gets it. Its slices
// are valid until the function it was handed to returns.
type Received struct {
	// Topic is where it was found: a subject, topic, routing key or file.
	Topic string
	// Key is the message's key; empty where the destination keeps none.
	Key []byte
	// Attributes is what stands beside the body, in the destination's order.
	Attributes []Attribute
	// Encoding is what the body is compressed with; see [Content].
	Encoding string
	// Body is the body as it is stored.
	Body []byte
	// Stored is when the destination took it; zero where it does not say.
	Stored time.Time
}

// Start says where reading a destination begins.
type Start uint8

const (
	// StartNow reads what comes from now on.
	StartNow Start = iota
	// StartOldest reads everything the destination still holds, then what comes.
	StartOldest
)

// MatchTopic reports whether each * in the pattern can stand for something, or
// nothing, that makes it the topic. Case counts.
func MatchTopic(pattern, topic string) bool {
	head, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == topic
	}
	tail, ok := strings.CutPrefix(topic, head)
	for ok && !MatchTopic(rest, tail) {
		if ok = tail != ""; ok {
			tail = tail[1:]
		}
	}
	return ok
}
