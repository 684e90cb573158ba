package pubsubserver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"go.uber.org/goleak"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/walherald/walherald/internal/pubsubserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "projects/shop/topics/cdc.orders"

// connect returns a client of the server at addr that retries nothing.
func connect(t *testing.T, addr string) *pubsub.TopicAdminClient {
	t.Helper()
	c, err := pubsub.NewTopicAdminClient(t.Context(),
		option.WithEndpoint(addr), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	c.CallOptions = &pubsub.TopicAdminCallOptions{}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func create(t *testing.T, addr string) {
	t.Helper()
	if _, err := connect(t, addr).CreateTopic(t.Context(), &pubsubpb.Topic{Name: topic}); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, addr string, messages ...*pubsubpb.PubsubMessage) error {
	t.Helper()
	_, err := connect(t, addr).Publish(t.Context(), &pubsubpb.PublishRequest{Topic: topic, Messages: messages})
	return err
}

func message(key string) *pubsubpb.PubsubMessage {
	return &pubsubpb.PubsubMessage{Data: []byte("data"), OrderingKey: key}
}

func expectCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestWhatTheFakeHoldsOutlivesAKill(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	create(t, f.Addr())
	expectCode(t, publish(t, f.Addr(), message("a"), message("a")), codes.OK)
	f.Kill()
	expectCode(t, publish(t, f.Addr(), message("a")), codes.Unavailable)
	if err := f.Restart(); err != nil {
		t.Fatal(err)
	}
	expectCode(t, publish(t, f.Addr(), message("b")), codes.OK)
	if got := f.Messages(topic); len(got) != 3 || got[2].OrderingKey != "b" {
		t.Errorf("%d messages are held", len(got))
	}
	if got := f.Messages("projects/shop/topics/other"); len(got) != 0 {
		t.Errorf("%d messages are held of another topic", len(got))
	}
}

func TestTheFakeRefusesWhatTheServiceDoes(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	create(t, f.Addr())
	many := make([]*pubsubpb.PubsubMessage, 1001)
	attributes := make(map[string]string)
	for i := range many {
		many[i] = message("")
		attributes[fmt.Sprint("a", i)] = ""
	}
	large := &pubsubpb.PubsubMessage{Data: make([]byte, 10_000_000)}
	with := func(name, value string) *pubsubpb.PubsubMessage {
		return &pubsubpb.PubsubMessage{Attributes: map[string]string{name: value}}
	}
	for name, refused := range map[string]struct {
		code     codes.Code
		messages []*pubsubpb.PubsubMessage
	}{
		"keys that differ":      {codes.FailedPrecondition, []*pubsubpb.PubsubMessage{message("a"), message("b")}},
		"no message":            {codes.InvalidArgument, nil},
		"too many messages":     {codes.InvalidArgument, many},
		"too large":             {codes.InvalidArgument, []*pubsubpb.PubsubMessage{large}},
		"a long key":            {codes.InvalidArgument, []*pubsubpb.PubsubMessage{message(strings.Repeat("k", 1025))}},
		"too many attributes":   {codes.InvalidArgument, []*pubsubpb.PubsubMessage{{Attributes: attributes}}},
		"a long attribute":      {codes.InvalidArgument, []*pubsubpb.PubsubMessage{with("a", strings.Repeat("v", 1025))}},
		"a long name":           {codes.InvalidArgument, []*pubsubpb.PubsubMessage{with(strings.Repeat("n", 257), "v")}},
		"a reserved name":       {codes.InvalidArgument, []*pubsubpb.PubsubMessage{with("googly", "v")}},
		"neither data nor more": {codes.InvalidArgument, []*pubsubpb.PubsubMessage{{}}},
	} {
		err := publish(t, f.Addr(), refused.messages...)
		if status.Code(err) != refused.code {
			t.Errorf("%s: %v, want %v", name, err, refused.code)
		}
	}
	expectCode(t, publish(t, f.Addr(), many[:1000]...), codes.OK)
	for _, id := range []string{"ab", "9cdc", "googly", "a b", strings.Repeat("t", 256)} {
		_, err := connect(t, f.Addr()).CreateTopic(t.Context(), &pubsubpb.Topic{Name: "projects/shop/topics/" + id})
		expectCode(t, err, codes.InvalidArgument)
	}
}

func TestFaultsStandBeforeTheFake(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	create(t, f.Addr())
	f.Inject(func(_ context.Context, method string, _ any, handle func() (any, error)) (any, error) {
		if _, err := handle(); method != pubsubserver.MethodPublish || err != nil {
			t.Errorf("%s is answered with %v", method, err)
		}
		return nil, status.Error(codes.DeadlineExceeded, "too late")
	})
	expectCode(t, publish(t, f.Addr(), message("a")), codes.DeadlineExceeded)
	f.Inject(nil)
	expectCode(t, publish(t, f.Addr(), message("b")), codes.OK)
	if got := f.Messages(topic); len(got) != 2 {
		t.Errorf("%d messages are held, want also the one whose answer was lost", len(got))
	}
}

func TestEmulatorForgetsAllWhenKilled(t *testing.T) {
	if pubsubserver.Find() == "" {
		t.Logf("the emulator is not installed; %s can name its script", pubsubserver.EmulatorVariable)
		return
	}
	e := pubsubserver.EmulatorForTest(t)
	create(t, e.Addr())
	expectCode(t, publish(t, e.Addr(), message("a")), codes.OK)
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	expectCode(t, publish(t, e.Addr(), message("a")), codes.Unavailable)
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectCode(t, publish(t, e.Addr(), message("a")), codes.NotFound)
	if tail := e.LogTail(); !strings.Contains(tail, "Server started") {
		t.Errorf("the log ends with %q", tail)
	}
}

func TestEmulatorIsFoundWhereTheEnvironmentSays(t *testing.T) {
	t.Setenv(pubsubserver.EmulatorVariable, "/opt/elsewhere/emulator")
	if got := pubsubserver.Find(); got != "/opt/elsewhere/emulator" {
		t.Errorf("found is %q", got)
	}
	t.Setenv(pubsubserver.EmulatorVariable, "")
	dir := t.TempDir()
	script := filepath.Join(dir, "cloud-pubsub-emulator")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/bin:/usr/bin")
	if got := pubsubserver.Find(); got != script {
		t.Errorf("found is %q, want %q", got, script)
	}
	if e, err := pubsubserver.StartEmulator(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a script that fails: %v, %v", e, err)
	}
}
