package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/walherald/walherald/internal/pubsubserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// servers are the local servers there are, by name. The emulator is shared by
// the tests that ask for one.
func servers(t *testing.T) map[string]string {
	t.Helper()
	f := pubsubserver.FakeForTest(t)
	addrs := map[string]string{"Fake": f.Addr()}
	if pubsubserver.Find() != "" {
		addrs["Emulator"] = pubsubserver.EmulatorForTest(t).Addr()
	} else {
		t.Log("the emulator is not installed: only the in-process server is run against")
	}
	return addrs
}

// awaitSubscriptions polls until a topic has so many subscriptions.
func (a *admin) awaitSubscriptions(t *testing.T, id string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	for {
		n := 0
		all := a.topics.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: topicName(testProject, id)})
		for {
			_, err := all.Next()
			if errors.Is(err, iterator.Done) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n == want {
			return
		}
		if err := publisher.Sleep(ctx, 5*time.Millisecond); err != nil {
			t.Fatalf("topic %s has %d subscriptions, want %d", id, n, want)
		}
	}
}

// tailing runs Tail and stops it once it has handed over so many messages.
func tailing(t *testing.T, cfg Config, topics []string, from publisher.Start, count int) (got []publisher.Received, wait func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	ended := make(chan error, 1)
	out := make([]publisher.Received, 0, count)
	go func() {
		ended <- Tail(ctx, cfg, topics, from, func(r publisher.Received) error {
			r.Body, r.Key = append([]byte(nil), r.Body...), append([]byte(nil), r.Key...)
			if out = append(out, r); len(out) == count {
				cancel()
			}
			return nil
		})
	}()
	wait = func() {
		t.Helper()
		defer cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if len(out) < count {
			t.Fatalf("%d messages are read, want %d", len(out), count)
		}
	}
	return out[:count:count], wait
}

func TestTailReadsWhatSubscribersGetAndLeavesNoSubscription(t *testing.T) {
	for name, addr := range servers(t) {
		t.Run(name, func(t *testing.T) {
			a := adminOf(t, addr)
			topics := []string{newTopicID(), newTopicID()}
			for _, id := range topics {
				a.createTopic(t, id)
			}
			cfg := Config{Project: testProject, Emulator: addr}
			const count = 2 * publishertest.Keys
			got, wait := tailing(t, cfg, topics, publisher.StartNow, 2*count)
			p := open(t, addr, func(cfg *Config) { cfg.Content.Encoding = "gzip" })
			for _, id := range topics {
				a.awaitSubscriptions(t, id, 1)
				publishertest.Deliver(t, p, publishertest.Changes(id, 0, count))
			}
			wait()
			perTopic := make(map[string][]int)
			for _, r := range got {
				var n int
				if _, err := fmt.Sscanf(string(r.Body), "%d", &n); err != nil {
					t.Fatal(err)
				}
				if string(r.Key) != publishertest.Key(n) || r.Encoding != "gzip" || time.Since(r.Stored) > testTimeout {
					t.Errorf("message %d is read with key %q, encoding %q, stored at %v", n, r.Key, r.Encoding, r.Stored)
				}
				if want := (publisher.Attribute{Name: publisher.AttrAction, Value: "INSERT"}); len(r.Attributes) != 7 || r.Attributes[2] != want {
					t.Errorf("message %d has the attributes %v", n, r.Attributes)
				}
				perTopic[r.Topic] = append(perTopic[r.Topic], n)
			}
			for _, id := range topics {
				expectExactly(t, perTopic[id], count)
				a.awaitSubscriptions(t, id, 0)
			}
		})
	}
}

func TestTailFindsTopicsByPattern(t *testing.T) {
	f, topic := fakeWithTopic(t)
	got, wait := tailing(t, Config{Project: testProject, Emulator: f.Addr()}, []string{"cdc.*"}, publisher.StartNow, 1)
	adminOf(t, f.Addr()).awaitSubscriptions(t, topic, 1)
	publishertest.Deliver(t, open(t, f.Addr()), publishertest.Changes(topic, 0, 1))
	wait()
	if got[0].Topic != topic {
		t.Errorf("read from %s", got[0].Topic)
	}
	none := func(publisher.Received) error { return nil }
	err := Tail(t.Context(), Config{Project: testProject, Emulator: f.Addr()}, []string{"other.*"}, publisher.StartNow, none)
	if err == nil || !strings.Contains(err.Error(), "other.*") {
		t.Errorf("a pattern that fits nothing: %v", err)
	}
}

func TestTailFromTheOldestSaysWhyItCannot(t *testing.T) {
	f, topic := fakeWithTopic(t)
	err := Tail(t.Context(), Config{Project: testProject, Emulator: f.Addr()}, []string{topic}, publisher.StartOldest,
		func(publisher.Received) error { return nil })
	if err == nil {
		t.Fatal("a topic that retains nothing is read from its oldest message")
	}
	publishertest.ExpectWords(t, err, topic, "retains nothing", "--message-retention-duration")
}

func TestTailEndsWithTheErrorOfWhoReads(t *testing.T) {
	f, topic := fakeWithTopic(t)
	a := adminOf(t, f.Addr())
	broken := errors.New("broken pipe")
	ended := make(chan error, 1)
	go func() {
		ended <- Tail(t.Context(), Config{Project: testProject, Emulator: f.Addr()}, []string{topic}, publisher.StartNow,
			func(publisher.Received) error { return broken })
	}()
	a.awaitSubscriptions(t, topic, 1)
	publishertest.Deliver(t, open(t, f.Addr()), publishertest.Changes(topic, 0, 3))
	if err := <-ended; !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	a.awaitSubscriptions(t, topic, 0)
}

// Neither local server can seek; that it is asked for is what can be shown.
func TestTailFromTheOldestGoesBackToWhereRetentionBegins(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	a, topic := adminOf(t, f.Addr()), newTopicID()
	if _, err := a.topics.CreateTopic(t.Context(), &pubsubpb.Topic{
		Name: topicName(testProject, topic), MessageRetentionDuration: durationpb.New(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	sought := make(chan time.Time, 1)
	f.Inject(func(_ context.Context, _ string, req any, handle func() (any, error)) (any, error) {
		if seek, ok := req.(*pubsubpb.SeekRequest); ok {
			sought <- seek.GetTime().AsTime()
			return &pubsubpb.SeekResponse{}, nil
		}
		return handle()
	})
	_, wait := tailing(t, Config{Project: testProject, Emulator: f.Addr()}, []string{topic}, publisher.StartOldest, 1)
	if back := time.Since(<-sought); back < time.Hour || back > time.Hour+testTimeout {
		t.Errorf("it goes back by %v, want the hour that the topic retains", back)
	}
	publishertest.Deliver(t, open(t, f.Addr()), publishertest.Changes(topic, 0, 1))
	wait()
}
