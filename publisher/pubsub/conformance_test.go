package pubsub

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walherald/walherald/internal/pubsubserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// harness is what all servers and ways to write have in common.
func harness(t *testing.T, server string, change ...func(*Config)) publishertest.Harness {
	proxy := through(t, server)
	a := adminOf(t, server)
	topic := newTopicID()
	a.createTopic(t, topic)
	of := func(hooks Hooks, changes ...func(*Config)) *Publisher {
		return newPublisher(proxy.Addr(), hooks, slices.Concat(change, changes)...)
	}
	return publishertest.Harness{
		Topic:    topic,
		New:      func(*testing.T) publisher.Deliverer { return of(Hooks{}) },
		Cut:      proxy.Cut,
		CutAfter: proxy.CutAfter,
		TooLarge: MaxRequestBytes,
		Prefix:   attributePrefix,
		NewSkipping: func(_ *testing.T, skipped func(publisher.Message)) publisher.Deliverer {
			return of(Hooks{Skipped: skipped}, func(cfg *Config) { cfg.SkipOversize = true })
		},
		NewContent: func(_ *testing.T, c publisher.Content) publisher.Deliverer {
			return of(Hooks{}, func(cfg *Config) { cfg.Content = c })
		},
		Missing: func(_ *testing.T, policy string) publishertest.Missing {
			missing := newTopicID()
			return publishertest.Missing{
				Deliverer: of(Hooks{}, withPolicy(MissingTopic(policy))), Topic: missing, Name: missing,
				Create: func(t *testing.T) { a.createTopic(t, missing) },
			}
		},
		Block: func(*testing.T) func() {
			proxy.Blackhole(true)
			return func() { proxy.Blackhole(false) }
		},
	}
}

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"WithOrderingKeys":    func(*Config) {},
		"WithoutOrderingKeys": withoutOrdering,
		"SmallRequests":       func(cfg *Config) { cfg.MaxBatchMessages = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			publishertest.Run(t, func(t *testing.T) publishertest.Harness { return fakeHarness(t, change) })
		})
	}
}

func fakeHarness(t *testing.T, change func(*Config)) publishertest.Harness {
	f := pubsubserver.FakeForTest(t)
	t.Logf("run against %v", f)
	h := harness(t, f.Addr(), change)
	read := func(topic string) func(*testing.T) []publishertest.Stored {
		return func(t *testing.T) []publishertest.Stored {
			var all []publishertest.Stored
			for _, m := range f.Messages(topicName(testProject, topic)) {
				all = append(all, storedOf(t, m.OrderingKey, m.Attributes, m.Data))
			}
			return all
		}
	}
	h.Read = read(h.Topic)
	missing := h.Missing
	h.Missing = func(t *testing.T, policy string) publishertest.Missing {
		m := missing(t, policy)
		m.Read = read(m.Topic)
		return m
	}
	h.Kill = func(*testing.T) { f.Kill() }
	h.Restart = func(t *testing.T) {
		// A server takes a moment to start. Without, no attempt would meet its absence.
		<-time.After(50 * time.Millisecond)
		if err := f.Restart(); err != nil {
			t.Error(err)
		}
	}
	h.Refuse = func(*testing.T) func() {
		f.Inject(refuseOdd)
		return func() { f.Inject(nil) }
	}
	h.Denied = func(t *testing.T) publisher.Deliverer { return deniedPublisher(t) }
	return h
}

// refuseOdd refuses the requests whose first change has an odd place in its
// transaction, as a quota does that is used up.
func refuseOdd(_ context.Context, method string, req any, handle func() (any, error)) (any, error) {
	if method == pubsubserver.MethodPublish {
		id, err := publisher.ParseID(req.(*pubsubpb.PublishRequest).Messages[0].Attributes[publisher.AttrID])
		if err != nil || id.Ordinal()%2 == 1 {
			return nil, status.Error(codes.ResourceExhausted, "quota exceeded")
		}
	}
	return handle()
}

func storedOf(t *testing.T, key string, attributes map[string]string, body []byte) publishertest.Stored {
	t.Helper()
	id, err := publisher.ParseID(attributes[publisher.AttrID])
	if err != nil {
		t.Fatal(err)
	}
	s := publishertest.Stored{
		ID: id, Body: body, Attributes: maps.Clone(attributes),
		Type: attributes[AttrContentType], Encoding: attributes[AttrContentEncoding],
	}
	if key != "" {
		s.Key = []byte(key)
	}
	return s
}

// The emulator runs where it is installed. Its absence is no failure: no
// registry has it.
func TestConformanceOfTheEmulator(t *testing.T) {
	if pubsubserver.Find() == "" {
		t.Logf("the emulator is not installed: only the in-process server has been run against; %s can name its script", pubsubserver.EmulatorVariable)
		return
	}
	e := pubsubserver.EmulatorForTest(t)
	t.Logf("run against %v", e)
	publishertest.Run(t, func(t *testing.T) publishertest.Harness { return emulatorHarness(t, e) })
}

func emulatorHarness(t *testing.T, e *pubsubserver.Emulator) publishertest.Harness {
	h := harness(t, e.Addr())
	a := adminOf(t, e.Addr())
	h.Read = a.subscribe(t, h.Topic)
	missing := h.Missing
	h.Missing = func(t *testing.T, policy string) publishertest.Missing {
		m := missing(t, policy)
		create := m.Create
		m.Create = func(t *testing.T) {
			create(t)
			m.Read = a.subscribe(t, m.Topic)
		}
		read := func(t *testing.T) []publishertest.Stored { return m.Read(t) }
		return publishertest.Missing{Deliverer: m.Deliverer, Topic: m.Topic, Name: m.Name, Create: m.Create, Read: read}
	}
	h.Kill = func(t *testing.T) {
		if err := e.Kill(); err != nil {
			t.Error(err)
		}
	}
	h.Restart = func(t *testing.T) {
		if err := e.Restart(t.Context()); err != nil {
			t.Error(err)
		}
		a.createTopic(t, h.Topic)
		h.Read = a.subscribe(t, h.Topic)
	}
	read := func(t *testing.T) []publishertest.Stored { return h.Read(t) }
	const forgets, obeys = "the emulator keeps nothing on disk: what it held is gone when it is killed", "the emulator refuses nobody and nothing"
	of := h
	of.Read = read
	of.Lacks = map[string]string{
		"OrderOfAKeyHoldsThroughFaults":      forgets,
		"BatchKilledInTheMiddleLosesNothing": forgets,
		"DeliveredOutlivesAKill":             forgets,
		"RefusedMessagesAreNotPassed":        obeys,
		"DeniedCredentialsEndTheRetries":     obeys,
		"MissingTopicIsCreated":              "a topic that was made by its first message has no subscription to read that with, and the emulator retains nothing",
	}
	return of
}

// subscribe makes a subscription with message ordering, and returns what reads
// all that has come to it so far: it sends a marker behind each key's messages
// and reads until it has them all.
func (a *admin) subscribe(t *testing.T, topic string) func(*testing.T) []publishertest.Stored {
	t.Helper()
	sub := &pubsubpb.Subscription{
		Name: "projects/" + testProject + "/subscriptions/" + topic, Topic: topicName(testProject, topic),
		EnableMessageOrdering: true, AckDeadlineSeconds: 60,
	}
	if _, err := a.subs.CreateSubscription(t.Context(), sub); err != nil {
		t.Error(err)
	}
	var all []publishertest.Stored
	round := 0
	return func(t *testing.T) []publishertest.Stored {
		round++
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		markers := a.mark(ctx, t, sub.Topic, round)
		for markers > 0 {
			resp, err := a.subs.Pull(ctx, &pubsubpb.PullRequest{Subscription: sub.Name, MaxMessages: MaxRequestMessages})
			if err != nil {
				t.Fatal(err)
			}
			var acks []string
			for _, r := range resp.ReceivedMessages {
				acks = append(acks, r.AckId)
				if of := r.Message.Attributes["marker"]; of == fmt.Sprint(round) {
					markers--
				} else if of == "" {
					all = append(all, storedOf(t, r.Message.OrderingKey, r.Message.Attributes, r.Message.Data))
				}
			}
			if len(acks) == 0 {
				continue
			}
			if err := a.subs.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: sub.Name, AckIds: acks}); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
}

// mark sends a marker for each key that publishertest has.
func (a *admin) mark(ctx context.Context, t *testing.T, topic string, round int) int {
	t.Helper()
	for k := range publishertest.Keys {
		if _, err := a.topics.Publish(ctx, &pubsubpb.PublishRequest{Topic: topic, Messages: []*pubsubpb.PubsubMessage{{
			OrderingKey: publishertest.Key(k), Attributes: map[string]string{"marker": fmt.Sprint(round)},
		}}}); err != nil {
			t.Fatal(err)
		}
	}
	return publishertest.Keys
}
