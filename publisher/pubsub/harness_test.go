package pubsub

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/walherald/walherald/internal/faultproxy"
	"github.com/walherald/walherald/internal/pubsubserver"
	"github.com/walherald/walherald/publisher"
)

const (
	// testTimeout bounds what a test waits for.
	testTimeout = time.Minute
	testProject = "shop-1234"
	testKeys    = 7
)

var topics atomic.Int64

// newTopicID is the id of a topic that no other test has.
func newTopicID() string { return fmt.Sprintf("cdc.t%d", topics.Add(1)) }

// admin looks at a server and prepares it, past all proxies.
type admin struct {
	topics *pubsub.TopicAdminClient
	subs   *pubsub.SubscriptionAdminClient
}

func adminOf(t *testing.T, addr string) *admin {
	t.Helper()
	opts := []option.ClientOption{
		option.WithEndpoint(addr), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
	topics, err := pubsub.NewTopicAdminClient(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = topics.Close() })
	subs, err := pubsub.NewSubscriptionAdminClient(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = subs.Close() })
	return &admin{topics, subs}
}

func (a *admin) createTopic(t *testing.T, id string) {
	t.Helper()
	if _, err := a.topics.CreateTopic(t.Context(), &pubsubpb.Topic{Name: topicName(testProject, id)}); err != nil {
		t.Fatal(err)
	}
}

// fakeWithTopic starts a fake server with one topic.
func fakeWithTopic(t *testing.T) (*pubsubserver.Fake, string) {
	t.Helper()
	f := pubsubserver.FakeForTest(t)
	topic := newTopicID()
	adminOf(t, f.Addr()).createTopic(t, topic)
	return f, topic
}

// through puts a proxy before a server.
func through(t *testing.T, addr string) *faultproxy.Proxy {
	t.Helper()
	proxy, err := faultproxy.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return proxy
}

// open makes a Publisher with ordering keys that ends with the test; change may
// alter its configuration.
func open(t *testing.T, addr string, change ...func(*Config)) *Publisher {
	t.Helper()
	p := newPublisher(addr, Hooks{}, change...)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func newPublisher(addr string, hooks Hooks, change ...func(*Config)) *Publisher {
	cfg := Config{
		Project: testProject, Content: publisher.Content{Type: "application/json"}, EnableOrdering: true, Emulator: addr,
	}
	for _, c := range change {
		c(&cfg)
	}
	return New(cfg, hooks, slog.New(slog.DiscardHandler))
}

func withoutOrdering(cfg *Config) { cfg.EnableOrdering = false }

func withPolicy(policy MissingTopic) func(*Config) {
	return func(cfg *Config) { cfg.MissingTopic = policy }
}

func testID(n int) publisher.ID {
	id, err := publisher.NewID(uint64(1000+n/10), uint64(n%10), 42)
	if err != nil {
		panic(err)
	}
	return id
}

func testKey(n int) string { return fmt.Sprintf("key%d", n%testKeys) }

// changes makes the messages of the changes from first on, n of them.
func changes(topic string, first, n int) []publisher.Message {
	batch := make([]publisher.Message, n)
	for i := range batch {
		c := first + i
		batch[i] = publisher.Message{
			ID: testID(c), Writer: "writer-a", Topic: topic, Table: "public.t", Action: publisher.Insert,
			Key: []byte(testKey(c)), Body: fmt.Appendf(nil, "%d %*s", c, 200, "."),
		}
	}
	return batch
}

func mustDeliver(t *testing.T, d publisher.Deliverer, batch []publisher.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if err := d.Deliver(ctx, batch); err != nil {
		t.Fatal(err)
	}
}

// retrying wraps p as the service does and counts the attempts that failed.
func retrying(p *Publisher, failed *int) publisher.Deliverer {
	return publisher.Retry(p, testTimeout, publisher.RetryHooks{
		Failed: func(error, *publisher.Message, time.Duration) { *failed++ },
	})
}

// stored reads the numbers of the changes that a fake server holds, in its order.
func stored(t *testing.T, f *pubsubserver.Fake, topic string) []int {
	t.Helper()
	var numbers []int
	for _, m := range f.Messages(topicName(testProject, topic)) {
		var n int
		if _, err := fmt.Sscanf(string(m.Data), "%d", &n); err != nil {
			t.Fatalf("body %q: %v", m.Data, err)
		}
		if got := m.Attributes[publisher.AttrID]; got != testID(n).String() {
			t.Fatalf("change %d has id %s", n, got)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// expectOrder wants the changes from 0 to n-1 and no others, the first
// occurrences of each key's in order, and returns how many were repeated.
func expectOrder(t *testing.T, numbers []int, n int) (repeats int) {
	t.Helper()
	next := make(map[string]int, testKeys)
	for c := range testKeys {
		next[testKey(c)] = c
	}
	for at, c := range numbers {
		switch want := next[testKey(c)]; {
		case c > want, c >= n:
			t.Fatalf("change %d is stored before %d, at place %d", c, want, at)
		case c < want:
			repeats++
		default:
			next[testKey(c)] += testKeys
		}
	}
	for key, c := range next {
		if c < n {
			t.Errorf("change %d of %s is missing", c, key)
		}
	}
	return repeats
}

// expectExactly is expectOrder without repeats.
func expectExactly(t *testing.T, numbers []int, n int) {
	t.Helper()
	if repeats := expectOrder(t, numbers, n); repeats > 0 {
		t.Errorf("%d changes are stored again", repeats)
	}
}

// expectPermanent wants a permanent error that says all of the words.
func expectPermanent(t *testing.T, err error, words ...string) {
	t.Helper()
	if !publisher.IsPermanent(err) {
		t.Fatalf("got %v, want a permanent error", err)
	}
	expectWords(t, err, words...)
}

// expectTemporary wants an error that is worth another attempt and says all of
// the words.
func expectTemporary(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil || publisher.IsPermanent(err) {
		t.Fatalf("got %v, want a temporary error", err)
	}
	expectWords(t, err, words...)
}

func expectWords(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
}
