package pubsub

import (
	"fmt"
	"log/slog"
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
	"github.com/walherald/walherald/publisher/publishertest"
)

const (
	// testTimeout bounds what a test waits for.
	testTimeout = time.Minute
	testProject = "shop-1234"
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
	return publishertest.Closed(t, proxy)
}

// open makes a Publisher with ordering keys that ends with the test; change may
// alter its configuration.
func open(t *testing.T, addr string, change ...func(*Config)) *Publisher {
	t.Helper()
	return publishertest.Closed(t, newPublisher(addr, Hooks{}, change...))
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

// stored reads the numbers of the changes that a fake server holds, in its order.
func stored(t *testing.T, f *pubsubserver.Fake, topic string) []int {
	t.Helper()
	var numbers []int
	for _, m := range f.Messages(topicName(testProject, topic)) {
		numbers = append(numbers, publishertest.Number(t, m.Data, m.Attributes[publisher.AttrID]))
	}
	return numbers
}

// expectExactly wants the changes below n without repeats.
func expectExactly(t *testing.T, numbers []int, n int) {
	t.Helper()
	if repeats := publishertest.ExpectOrder(t, numbers, n); repeats > 0 {
		t.Errorf("%d changes are stored again", repeats)
	}
}
