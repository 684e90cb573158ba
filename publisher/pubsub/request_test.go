package pubsub

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// requests delivers a batch and returns the requests that were made of it.
func requests(t *testing.T, messages func(topic string) []publisher.Message, change ...func(*Config)) []*pubsubpb.PublishRequest {
	t.Helper()
	f, topic := fakeWithTopic(t)
	var mu sync.Mutex
	var made []*pubsubpb.PublishRequest
	f.Inject(publishes(func(_ int64, req *pubsubpb.PublishRequest, handle func() (any, error)) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		made = append(made, proto.CloneOf(req))
		return handle()
	}))
	publishertest.Deliver(t, open(t, f.Addr(), change...), messages(topic))
	return made
}

func TestRequestsHoldOneKeyAndAsManyOfItsMessagesAsAllowed(t *testing.T) {
	const size = 10 * publishertest.Keys
	all := func(topic string) []publisher.Message { return publishertest.Changes(topic, 0, size) }
	for limit, want := range map[int]int{0: publishertest.Keys, 4: publishertest.Keys * 3, 1: size} {
		made := requests(t, all, func(cfg *Config) { cfg.MaxBatchMessages = limit })
		if len(made) != want {
			t.Errorf("with %d messages at most, %d requests, want %d", limit, len(made), want)
		}
		for _, req := range made { // that it is one key is asked by the server
			if !strings.HasPrefix(req.Messages[0].OrderingKey, "key") || limit > 0 && len(req.Messages) > limit {
				t.Errorf("a request of %d messages of %q", len(req.Messages), req.Messages[0].OrderingKey)
			}
		}
	}
}

func TestRequestsStayBelowTheirSize(t *testing.T) {
	const limit = 3000
	largest := 0
	for _, req := range requests(t, func(topic string) []publisher.Message { return publishertest.Changes(topic, 0, 300) },
		func(cfg *Config) { cfg.MaxBatchBytes = limit }) {
		largest = max(largest, proto.Size(req))
	}
	one := publishertest.Changes("t", 0, 1)[0]
	if largest > limit || largest < limit-3*len(one.Body) {
		t.Errorf("the largest request has %d bytes, want close to %d", largest, limit)
	}
	made := requests(t, func(topic string) []publisher.Message {
		batch := publishertest.Changes(topic, 0, 3*publishertest.Keys)
		batch[publishertest.Keys].Body = []byte(fmt.Sprintf("%d %5000s", publishertest.Keys, "."))
		return batch
	}, func(cfg *Config) { cfg.MaxBatchBytes = limit })
	alone := 0
	for _, req := range made {
		if proto.Size(req) > limit {
			alone++
			if len(req.Messages) > 1 {
				t.Errorf("a message above the limit shares a request of %d messages", len(req.Messages))
			}
		}
	}
	if alone != 1 {
		t.Errorf("%d requests are above the limit, want that of the message above it", alone)
	}
}

// A request is as large as was counted, or messages at the limit would be told
// from those above it in the wrong place.
func TestSizesAreExact(t *testing.T) {
	f, topic := fakeWithTopic(t)
	p := open(t, f.Addr())
	batch := publishertest.Changes(topic, 0, 1)
	size := func() int {
		queues, err := p.plan(batch, "")
		if err != nil {
			return -1
		}
		return proto.Size(p.request(queues[0]))
	}
	batch[0].Body = append(batch[0].Body, make([]byte, 9_000_000)...)
	batch[0].Body = append(batch[0].Body, make([]byte, MaxRequestBytes-size())...)
	if got := size(); got != MaxRequestBytes {
		t.Fatalf("made is a request of %d bytes", got)
	}
	publishertest.Deliver(t, p, batch)
	batch[0].Body = append(batch[0].Body, 0)
	publishertest.ExpectPermanent(t, p.Deliver(t.Context(), batch), fmt.Sprint(MaxRequestBytes+1), "publisher.oversize")
	expectExactly(t, stored(t, f, topic), 1)
}

func TestWithoutOrderingRequestsHoldManyKeys(t *testing.T) {
	made := requests(t, func(topic string) []publisher.Message { return publishertest.Changes(topic, 0, 500) }, withoutOrdering)
	if len(made) > lanes {
		t.Errorf("%d requests, want %d at most", len(made), lanes)
	}
	for _, req := range made {
		for _, m := range req.Messages {
			if m.OrderingKey != "" {
				t.Fatalf("a message has the ordering key %q", m.OrderingKey)
			}
		}
	}
}

func TestMessagesWithoutAKeyAreInTheOrderOfTheirTable(t *testing.T) {
	made := requests(t, func(topic string) []publisher.Message {
		batch := publishertest.Changes(topic, 0, 50)
		for i := range batch {
			batch[i].Key, batch[i].Table = nil, fmt.Sprintf("public.t%d", i%2)
		}
		return batch
	})
	if len(made) != 2 {
		t.Fatalf("%d requests, want one for each table", len(made))
	}
	for _, req := range made {
		last := -1
		for _, m := range req.Messages {
			var n int
			if _, err := fmt.Sscanf(string(m.Data), "%d", &n); err != nil || n <= last || m.OrderingKey != fmt.Sprintf("public.t%d", n%2) {
				t.Fatalf("change %d with ordering key %s comes behind %d (%v)", n, m.OrderingKey, last, err)
			}
			last = n
		}
	}
}

func TestKeysThatPubSubRefusesAreRepresentedByADigest(t *testing.T) {
	binary, table := publisher.CloudEvents{Source: "/walherald/shop"}, strings.Repeat("ä", 600)
	content := publisher.Content{Type: "application/json", CloudEvents: &binary}
	keys := []string{"\xff\xfe", strings.Repeat("k", maxKey), strings.Repeat("k", maxKey+1), strings.Repeat("k", maxKey+2)}
	made := requests(t, func(topic string) []publisher.Message { // the server refuses what is too long
		batch := publishertest.Changes(topic, 0, len(keys))
		for i := range batch {
			batch[i].Key, batch[i].Table = []byte(keys[i]), table
		}
		return batch
	}, func(cfg *Config) { cfg.Content = content })
	var got []string
	for _, req := range made {
		m := req.Messages[0]
		got = append(got, m.OrderingKey)
		if m.Attributes[partitionKey] != m.OrderingKey {
			t.Errorf("the partition key is %q, the ordering key %q", m.Attributes[partitionKey], m.OrderingKey)
		}
		if cut := m.Attributes[publisher.AttrTable]; !strings.HasPrefix(table, cut) || len(cut) != maxAttribute {
			t.Errorf("of a name of %d bytes %d are left: %q", len(table), len(cut), cut)
		}
	}
	var want []string
	for i, k := range keys {
		if i != 1 {
			k = fmt.Sprintf("%x", sha256.Sum256([]byte(k)))
		}
		want = append(want, k)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("ordering keys are %q, want %q", got, want)
	}
}

func TestAttributeValuesAreMadeValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "bytes")
		text := strings.Repeat(rapid.String().Draw(t, "text")+string(v), rapid.IntRange(1, 60).Draw(t, "times"))
		got := attributeValue(text)
		if !utf8.ValidString(got) || len(got) > maxAttribute || !strings.HasPrefix(strings.ToValidUTF8(text, "\uFFFD"), got) {
			t.Fatalf("%q becomes %q", text, got)
		}
		if utf8.ValidString(text) && len(text) <= maxAttribute && got != text {
			t.Fatalf("%q is valid and becomes %q", text, got)
		}
	})
}

func TestTopicIDsAreValidAndDiffer(t *testing.T) {
	for topic, want := range map[string]string{
		"cdc.public_users": "cdc.public_users",
		"cdc.public_größe": "cdc.public_gr%C3%B6%C3%9Fe",
		"a b/c*":           "a%20b%2Fc%2A",
		"googly":           "topic-googly",
		"9.public_t":       "topic-9.public_t",
		"ab":               "topic-ab",
		"":                 "topic-",
	} {
		if got := TopicID(topic); got != want {
			t.Errorf("%q becomes %q, want %q", topic, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		long := rapid.StringN(0, 300, 600)
		one, other := long.Draw(t, "one"), long.Draw(t, "other")
		id := TopicID(one)
		if !validID(id) || TopicID(id) != id {
			t.Fatalf("%q becomes %q", one, id)
		}
		if one != other && TopicID(other) == id && id != other && id != one {
			t.Fatalf("%q and %q both become %q", one, other, id)
		}
	})
}
