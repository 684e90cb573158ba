package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pubsubserver"
	pubsubout "github.com/walherald/walherald/publisher/pubsub"
)

// The kinds of topics: with ordering keys and without.
const (
	orderedKind   = "ordered"
	unorderedKind = "unordered"
)

const (
	// project is the Google Cloud project that the topics are in.
	project = "walherald-bench"
	// keyColumn is the column whose values are the ordering keys, orderingKeys
	// how many there are. A request holds messages of one key only, so with
	// primary keys each would hold one, of a thousand it may.
	keyColumn    = "name"
	orderingKeys = 1000
	// pullSize is the most messages that a request to pull returns.
	pullSize = 1000
	// ackDeadline in seconds keeps what was pulled from being handed out again
	// while it is counted.
	ackDeadline = 600
	// maxAnswer is how large an answer with pulled messages may be, in bytes.
	maxAnswer = 64 << 20
)

// pubsubServer is the emulator or the server that stands in for it.
type pubsubServer interface {
	fmt.Stringer
	Addr() string
	Close() error
}

// pubsubBroker is a Pub/Sub server.
type pubsubBroker struct {
	server  pubsubServer
	topics  *pubsub.TopicAdminClient
	subs    *pubsub.SubscriptionAdminClient
	subject string // what walherald puts behind the topic
}

// startPubSub starts the emulator where there is one.
func startPubSub(ctx context.Context) (pubsubServer, error) {
	if pubsubserver.Find() == "" {
		return pubsubserver.StartFake(nil)
	}
	return pubsubserver.StartEmulator(ctx)
}

// openPubSub also sets the environment variable by which all clients find the
// server, those in this process and those in its children.
func openPubSub(ctx context.Context, b *bench) (*broker, error) {
	server, err := startPubSub(ctx)
	if err != nil {
		return nil, err
	}
	p := &pubsubBroker{server: server, subject: b.shape.subject}
	if err := errors.Join(os.Setenv(pubsubout.EmulatorVariable, server.Addr()), p.connect(ctx)); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return &broker{
		version: server.String(), address: server.Addr(), close: p.close,
		destination: func(kind string) destination { return pubsubTopic{p, kind == orderedKind} },
	}, nil
}

func (p *pubsubBroker) connect(ctx context.Context) (err error) {
	opts := []option.ClientOption{
		option.WithEndpoint(p.server.Addr()), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer))),
	}
	if p.topics, err = pubsub.NewTopicAdminClient(ctx, opts...); err != nil {
		return fmt.Errorf("connect to Pub/Sub: %w", err)
	}
	if p.subs, err = pubsub.NewSubscriptionAdminClient(ctx, opts...); err != nil {
		return fmt.Errorf("connect to Pub/Sub: %w", err)
	}
	return nil
}

func (p *pubsubBroker) close() error {
	var errs []error
	if p.topics != nil {
		errs = append(errs, p.topics.Close())
	}
	if p.subs != nil {
		errs = append(errs, p.subs.Close())
	}
	return errors.Join(append(errs, p.server.Close())...)
}

// pubsubTopic is a topic with one subscription.
type pubsubTopic struct {
	*pubsubBroker
	ordered bool
}

// pubsubTopicName is the full name of the only topic that the rows of a run go to.
func pubsubTopicName(topic, subject string) string {
	return "projects/" + project + "/topics/" + pubsubout.TopicID(topic+"."+subject)
}

func subscriptionName(topic string) string { return "projects/" + project + "/subscriptions/" + topic }

func (p pubsubTopic) create(ctx context.Context, topic string) error {
	name := pubsubTopicName(topic, p.subject)
	if _, err := p.topics.CreateTopic(ctx, &pubsubpb.Topic{Name: name}); err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	_, err := p.subs.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name: subscriptionName(topic), Topic: name, AckDeadlineSeconds: ackDeadline,
	})
	if err != nil {
		return fmt.Errorf("create subscription %s: %w", topic, err)
	}
	return nil
}

func (p pubsubTopic) section(topic string) []string {
	section := []string{"type: " + config.PublisherPubSub, "pubSubProjectID: " + project, "topic: " + topic}
	if p.ordered {
		return append(section, "messageKeyFrom: ["+keyColumn+"]")
	}
	return append(section, "enableOrdering: false")
}

func (p pubsubTopic) finish(ctx context.Context, topic string, messages int) error {
	subscription := subscriptionName(topic)
	seen := make(map[string]bool, messages)
	if err := poll(ctx, func() error { return p.drain(ctx, subscription, seen, messages) }); err != nil {
		return err
	}
	if err := stored("subscription", topic, len(seen), messages); err != nil {
		return err
	}
	if err := p.subs.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: subscription}); err != nil {
		return fmt.Errorf("delete subscription %s: %w", topic, err)
	}
	name := pubsubTopicName(topic, p.subject)
	if err := p.topics.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: name}); err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	return nil
}

// drain pulls what is stored until there is nothing more, and adds the ids that
// the server gave the messages to seen. Fewer than there should be are an error.
func (p pubsubTopic) drain(ctx context.Context, subscription string, seen map[string]bool, messages int) error {
	for {
		n, err := p.pull(ctx, subscription, seen)
		if err != nil {
			return fmt.Errorf("count the messages of subscription %s: %w", subscription, err)
		}
		if n == 0 {
			break
		}
	}
	if len(seen) < messages {
		return stored("subscription", subscription, len(seen), messages)
	}
	return nil
}

// pull takes some messages from the subscription and returns how many.
func (p pubsubTopic) pull(ctx context.Context, subscription string, seen map[string]bool) (int, error) {
	resp, err := p.subs.Pull(ctx, &pubsubpb.PullRequest{
		Subscription: subscription, MaxMessages: pullSize,
		ReturnImmediately: true, //nolint:staticcheck // deprecated, and the only way to learn that there is nothing more
	})
	if err != nil || len(resp.ReceivedMessages) == 0 {
		return 0, err
	}
	acks := make([]string, 0, len(resp.ReceivedMessages))
	for _, m := range resp.ReceivedMessages {
		seen[m.Message.MessageId] = true
		acks = append(acks, m.AckId)
	}
	return len(acks), p.subs.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: subscription, AckIds: acks})
}
