package pubsub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/walherald/walherald/publisher"
)

const (
	// tailAck is how long the function that Tail hands messages to has for those
	// of one pull.
	tailAck = 5 * time.Minute
	// tailExpiry is when Pub/Sub removes the subscription of a Tail that was
	// killed; a day is its minimum.
	tailExpiry = 24 * time.Hour
	// tailRemoval bounds the removal of a subscription.
	tailRemoval = 10 * time.Second
)

// Tail reads what subscribers of the topics get, until ctx ends, which is no
// error. Topics are ids, or patterns in which * stands for any characters, of
// topics that exist. emit is called by one goroutine at a time; its error ends
// Tail.
//
// It makes a temporary subscription of each topic, with message ordering, and
// removes it at the end, for which it needs the role roles/pubsub.editor. A new
// subscription gets what is published after it was made. StartOldest is possible
// only where the topic itself retains messages; elsewhere it is an error.
func Tail(ctx context.Context, cfg Config, topics []string, from publisher.Start, emit func(publisher.Received) error) error {
	t, err := newTail(&cfg, emit)
	if err != nil {
		return err
	}
	defer t.close()
	ids, err := t.find(ctx, topics)
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	readers, inner := errgroup.WithContext(ctx)
	for _, id := range ids {
		readers.Go(func() error { return t.topic(inner, id, from) })
	}
	return ignoreEnd(ctx, readers.Wait())
}

// ignoreEnd drops an error that comes from the end of ctx.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// tail is one Tail.
type tail struct {
	project string
	p       *Publisher // for its client of topics
	subs    *pubsub.SubscriptionAdminClient

	mu   sync.Mutex // held while emit runs
	emit func(publisher.Received) error
}

func newTail(cfg *Config, emit func(publisher.Received) error) (*tail, error) {
	t := &tail{project: cfg.Project, p: New(*cfg, Hooks{}, slog.New(slog.DiscardHandler)), emit: emit}
	if err := t.p.open(); err != nil {
		return nil, err
	}
	opts, err := cfg.clientOptions()
	if err == nil {
		t.subs, err = pubsub.NewSubscriptionAdminClient(context.Background(), opts...)
	}
	if err != nil {
		return nil, errors.Join(err, t.p.Close())
	}
	return t, nil
}

// close gives up the connections; nothing can be lost with them.
func (t *tail) close() {
	_ = t.p.Close()
	_ = t.subs.Close()
}

// find returns the ids of the topics that are meant.
func (t *tail) find(ctx context.Context, patterns []string) ([]string, error) {
	if !slices.ContainsFunc(patterns, func(p string) bool { return strings.Contains(p, "*") }) {
		var ids []string
		for _, p := range patterns {
			ids = append(ids, TopicID(p))
		}
		return ids, nil
	}
	existing, err := list(ctx, t.p.client, t.project)
	if err != nil {
		return nil, fmt.Errorf("list the topics of project %s: %w", t.project, err)
	}
	var ids []string
	for _, p := range patterns {
		ids = append(ids, matching(existing, p)...)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("read Pub/Sub: no topic of project %s matches %s", t.project, strings.Join(patterns, ", "))
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// topic reads one topic through a subscription of its own.
func (t *tail) topic(ctx context.Context, id string, from publisher.Start) error {
	since, err := t.since(ctx, id, from)
	if err != nil {
		return err
	}
	sub := &pubsubpb.Subscription{
		Name:                  "projects/" + t.project + "/subscriptions/walherald-tail-" + strings.ToLower(rand.Text()),
		Topic:                 topicName(t.project, id),
		EnableMessageOrdering: true,
		AckDeadlineSeconds:    int32(tailAck / time.Second),
		ExpirationPolicy:      &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(tailExpiry)},
		// An expiry of a day allows no longer retention than that.
		MessageRetentionDuration: durationpb.New(tailExpiry),
	}
	if _, err := t.subs.CreateSubscription(ctx, sub); err != nil {
		return fmt.Errorf("make a temporary subscription of Pub/Sub topic %s: %w", id, err)
	}
	defer t.remove(ctx, sub.Name)
	if !since.IsZero() {
		if _, err := t.subs.Seek(ctx, &pubsubpb.SeekRequest{
			Subscription: sub.Name, Target: &pubsubpb.SeekRequest_Time{Time: timestamppb.New(since)},
		}); err != nil {
			return fmt.Errorf("go back to what Pub/Sub topic %s retains: %w", id, err)
		}
	}
	for {
		if err := t.pull(ctx, id, sub.Name); err != nil {
			return err
		}
	}
}

// remove removes a subscription, also once ctx has ended.
func (t *tail) remove(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tailRemoval)
	defer cancel()
	_ = t.subs.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: name}) // else it expires
}

// since returns where StartOldest begins, and the zero time for StartNow.
func (t *tail) since(ctx context.Context, id string, from publisher.Start) (time.Time, error) {
	if from == publisher.StartNow {
		return time.Time{}, nil
	}
	topic, err := t.p.client.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: topicName(t.project, id)})
	if err != nil {
		return time.Time{}, fmt.Errorf("ask how long Pub/Sub topic %s retains messages: %w", id, err)
	}
	if topic.MessageRetentionDuration == nil {
		return time.Time{}, fmt.Errorf("read Pub/Sub topic %s from its oldest message: a new subscription gets what comes after it, and the topic retains nothing: "+
			"read from now, or change that for the future: gcloud pubsub topics update %s --project=%s --message-retention-duration=7d", id, id, t.project)
	}
	return time.Now().Add(-topic.MessageRetentionDuration.AsDuration()), nil
}

// pull takes what there is, or waits for some.
func (t *tail) pull(ctx context.Context, id, sub string) error {
	resp, err := t.subs.Pull(ctx, &pubsubpb.PullRequest{Subscription: sub, MaxMessages: MaxRequestMessages})
	if status.Code(err) == codes.DeadlineExceeded && ctx.Err() == nil {
		return nil // a minute without a message
	}
	if err != nil {
		return fmt.Errorf("read Pub/Sub topic %s: %w", id, err)
	}
	if len(resp.ReceivedMessages) == 0 {
		return nil
	}
	acks := make([]string, 0, len(resp.ReceivedMessages))
	t.mu.Lock()
	for _, r := range resp.ReceivedMessages {
		if err = t.emit(received(id, r.Message)); err != nil {
			break
		}
		acks = append(acks, r.AckId)
	}
	t.mu.Unlock()
	if err != nil {
		return err
	}
	if err := t.subs.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: sub, AckIds: acks}); err != nil {
		return fmt.Errorf("acknowledge messages of Pub/Sub topic %s: %w", id, err)
	}
	return nil
}

// received is a message as a consumer gets it, its attributes in the order of
// their names since Pub/Sub keeps none.
func received(topic string, m *pubsubpb.PubsubMessage) publisher.Received {
	r := publisher.Received{
		Topic: topic, Key: []byte(m.OrderingKey), Encoding: m.Attributes[AttrContentEncoding],
		Body: m.Data, Stored: m.PublishTime.AsTime(),
	}
	for _, name := range slices.Sorted(maps.Keys(m.Attributes)) {
		r.Attributes = append(r.Attributes, publisher.Attribute{Name: name, Value: m.Attributes[name]})
	}
	return r
}
