package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walherald/walherald/internal/pubsubserver"
	"github.com/walherald/walherald/publisher/publishertest"
)

// publishes makes a Fault of publish requests alone; n counts them from 1.
func publishes(fault func(n int64, req *pubsubpb.PublishRequest, handle func() (any, error)) (any, error)) pubsubserver.Fault {
	var n atomic.Int64
	return func(_ context.Context, _ string, req any, handle func() (any, error)) (any, error) {
		if publish, ok := req.(*pubsubpb.PublishRequest); ok {
			return fault(n.Add(1), publish, handle)
		}
		return handle()
	}
}

func TestRequestWhoseAnswerIsLostIsRepeatedBeforeAnythingNewer(t *testing.T) {
	for _, code := range []codes.Code{codes.DeadlineExceeded, codes.Unavailable, codes.Internal, codes.Aborted, codes.Canceled, codes.Unknown} {
		t.Run(code.String(), func(t *testing.T) {
			f, topic := fakeWithTopic(t)
			var lost atomic.Int64
			f.Inject(publishes(func(n int64, req *pubsubpb.PublishRequest, handle func() (any, error)) (any, error) {
				resp, err := handle()
				if n%5 == 2 && err == nil {
					lost.Add(int64(len(req.Messages)))
					return nil, status.Error(code, "lost")
				}
				return resp, err
			}))
			failed := 0
			d := publishertest.Retrying(open(t, f.Addr(), func(cfg *Config) { cfg.MaxBatchMessages = 3 }), &failed)
			publishertest.Deliver(t, d, publishertest.Changes(topic, 0, 100))
			if repeats := publishertest.ExpectOrder(t, stored(t, f, topic), 100); failed == 0 || repeats != int(lost.Load()) {
				t.Errorf("%d changes are repeated after %d failures, want the %d whose confirmation was lost", repeats, failed, lost.Load())
			}
		})
	}
}

func TestRefusedRequestsAreRepeatedAndNoOthers(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.Internal, codes.FailedPrecondition} {
		t.Run(code.String(), func(t *testing.T) {
			f, topic := fakeWithTopic(t)
			f.Inject(publishes(func(n int64, _ *pubsubpb.PublishRequest, handle func() (any, error)) (any, error) {
				if n%4 == 3 {
					return nil, status.Error(code, "refused")
				}
				return handle()
			}))
			failed := 0
			d := publishertest.Retrying(open(t, f.Addr(), func(cfg *Config) { cfg.MaxBatchMessages = 5 }), &failed)
			publishertest.Deliver(t, d, publishertest.Changes(topic, 0, 200))
			if failed == 0 {
				t.Error("no attempt has failed: the test shows nothing")
			}
			expectExactly(t, stored(t, f, topic), 200)
		})
	}
}

func TestConfirmedMessageOfOneWriterHoldsBackNoneOfAnother(t *testing.T) {
	f, topic := fakeWithTopic(t)
	f.Inject(publishes(func(n int64, _ *pubsubpb.PublishRequest, handle func() (any, error)) (any, error) {
		if n == 2 {
			return nil, status.Error(codes.Unavailable, "later")
		}
		return handle()
	}))
	p := open(t, f.Addr(), func(cfg *Config) { cfg.MaxBatchMessages = 1 })
	batch := publishertest.Changes(topic, 0, 2)
	batch[1].Key = batch[0].Key // of the same queue
	publishertest.ExpectTemporary(t, p.Deliver(t.Context(), batch), "later")
	other := publishertest.Changes(topic, 0, 1)
	other[0].Writer = "another"
	publishertest.Deliver(t, p, other)
	if got := stored(t, f, topic); !slices.Equal(got, []int{0, 0}) {
		t.Errorf("stored are %v, want the change once of each writer", got)
	}
}

func TestFailuresAreNotRetriedUnseen(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Aborted} {
		f, topic := fakeWithTopic(t)
		var calls atomic.Int64
		f.Inject(publishes(func(n int64, _ *pubsubpb.PublishRequest, _ func() (any, error)) (any, error) {
			calls.Store(n)
			return nil, status.Error(code, "later")
		}))
		publishertest.ExpectTemporary(t, open(t, f.Addr()).Deliver(t.Context(), publishertest.Changes(topic, 0, 1)), "later", topic, "public.t")
		if n := calls.Load(); n != 1 {
			t.Errorf("%v: %d requests are made of one attempt", code, n)
		}
	}
}

func TestConfirmationOfFewerMessagesThanSentIsNone(t *testing.T) {
	f, topic := fakeWithTopic(t)
	f.Inject(publishes(func(int64, *pubsubpb.PublishRequest, func() (any, error)) (any, error) {
		return &pubsubpb.PublishResponse{MessageIds: []string{"1"}}, nil
	}))
	p := open(t, f.Addr(), withoutOrdering)
	batch := publishertest.Changes(topic, 0, 2)
	batch[1].Key = batch[0].Key // of the same request
	publishertest.ExpectTemporary(t, p.Deliver(t.Context(), batch), "1 messages are confirmed, want 2")
	f.Inject(nil)
	publishertest.Deliver(t, p, batch)
	if got := stored(t, f, topic); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("stored are %v", got)
	}
}

func TestSilentServerIsGivenUpWithTheContext(t *testing.T) {
	for name, size := range map[string]int{"Empty": 0, "Full": 20} {
		t.Run(name, func(t *testing.T) {
			f, topic := fakeWithTopic(t)
			p := open(t, f.Addr())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f.Inject(func(ctx context.Context, _ string, _ any, _ func() (any, error)) (any, error) {
				cancel()
				<-ctx.Done()
				return nil, ctx.Err()
			})
			err := p.Deliver(ctx, publishertest.Changes(topic, 0, size))
			publishertest.ExpectTemporary(t, err)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if p.client != nil {
				t.Error("the connection that was silent is kept, with what is on its way")
			}
			f.Inject(nil)
			publishertest.Deliver(t, p, publishertest.Changes(topic, 0, 20))
			// What the server had read already it may take only now.
			publishertest.ExpectOrder(t, stored(t, f, topic), 20)
		})
	}
}

func TestErrorsOfPubSubSayWhatToChange(t *testing.T) {
	for code, words := range map[codes.Code][]string{
		codes.Unauthenticated:  {"publisher.pubsub.credentialsFile"},
		codes.PermissionDenied: {"roles/pubsub.publisher", testProject, "publisher.pubsub.credentialsFile"},
		codes.InvalidArgument:  {"publisher.topic", "publisher.pubSubProjectID"},
	} {
		f, topic := fakeWithTopic(t)
		f.Inject(answering(code, "no"))
		publishertest.ExpectPermanent(t, open(t, f.Addr()).Deliver(t.Context(), publishertest.Changes(topic, 0, 1)), append(words, topic, "no")...)
	}
}

func TestEmptyBatchNeedsNoMoreThanTheRightToPublish(t *testing.T) {
	f, topic := fakeWithTopic(t)
	p := open(t, f.Addr())
	for _, code := range []codes.Code{codes.PermissionDenied, codes.NotFound, codes.InvalidArgument} {
		f.Inject(answering(code, "no"))
		publishertest.Deliver(t, p, nil)
	}
	f.Inject(answering(codes.Unauthenticated, "no"))
	publishertest.ExpectPermanent(t, p.Deliver(t.Context(), nil), "publisher.pubsub.credentialsFile")
	f.Inject(nil)
	publishertest.Deliver(t, p, publishertest.Changes(topic, 0, 1))
	publishertest.Deliver(t, p, nil)
}

func TestTopicThatIsWaitedForKeepsNoOtherWaiting(t *testing.T) {
	f, topic := fakeWithTopic(t)
	p := open(t, f.Addr())
	missing := newTopicID()
	const count = 3 * inFlight
	batch := append(publishertest.Changes(missing, 0, 1), publishertest.Changes(topic, 0, count)...)
	batch[0].ID = publishertest.ID(count)
	for i := range batch {
		batch[i].Key = fmt.Append(nil, i) // a queue each
	}
	publishertest.ExpectTemporary(t, p.Deliver(t.Context(), batch), missing, "gcloud pubsub topics create "+missing+" --project="+testProject)
	if got := stored(t, f, topic); len(got) != count {
		t.Errorf("%d changes are stored where nothing is missing, want %d", len(got), count)
	}
	adminOf(t, f.Addr()).createTopic(t, missing)
	publishertest.Deliver(t, p, batch)
	if got := f.Messages(topicName(testProject, missing)); len(got) != 1 || len(stored(t, f, topic)) != count {
		t.Errorf("%d and %d messages are stored, want 1 and %d", len(got), len(stored(t, f, topic)), count)
	}
}

func TestTopicIsCreatedOnceAndRetainsItsMessages(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	topic := newTopicID()
	var created atomic.Int64
	f.Inject(func(_ context.Context, _ string, req any, handle func() (any, error)) (any, error) {
		if made, ok := req.(*pubsubpb.Topic); ok {
			created.Add(1)
			if made.MessageRetentionDuration.AsDuration() != retention {
				t.Errorf("created is %v", made)
			}
		}
		return handle()
	})
	publishertest.Deliver(t, open(t, f.Addr(), withPolicy(CreateMissing)), publishertest.Changes(topic, 0, 100))
	if n := created.Load(); n != 1 {
		t.Errorf("%d requests to create the topic", n)
	}
	expectExactly(t, stored(t, f, topic), 100)
}

// Somebody else may be as quick.
func TestTopicThatExistsByNowIsCreated(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	a, topic := adminOf(t, f.Addr()), newTopicID()
	f.Inject(publishes(func(n int64, _ *pubsubpb.PublishRequest, handle func() (any, error)) (any, error) {
		if n > 1 {
			return handle()
		}
		a.createTopic(t, topic)
		return nil, status.Error(codes.NotFound, "resource not found")
	}))
	publishertest.Deliver(t, open(t, f.Addr(), withPolicy(CreateMissing)), publishertest.Changes(topic, 0, 1))
}

func TestTopicThatMayNotBeCreatedEndsTheRetries(t *testing.T) {
	for code, word := range map[codes.Code]string{
		codes.PermissionDenied: "publisher.missingTopic: wait",
		codes.NotFound:         "publisher.pubSubProjectID",
	} {
		f := pubsubserver.FakeForTest(t)
		f.Inject(func(_ context.Context, _ string, req any, handle func() (any, error)) (any, error) {
			if _, ok := req.(*pubsubpb.Topic); ok {
				return nil, status.Error(code, "no")
			}
			return handle()
		})
		topic := newTopicID()
		publishertest.ExpectPermanent(t, open(t, f.Addr(), withPolicy(CreateMissing)).Deliver(t.Context(), publishertest.Changes(topic, 0, 20)), topic, word)
	}
}
