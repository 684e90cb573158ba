package pubsub

import (
	"context"
	"slices"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pubsubserver"
	"github.com/walherald/walherald/publisher/publishertest"
)

// check checks a server and wants a remedy for whatever is wrong.
func check(t *testing.T, addr string, change func(*Config), topics ...string) []config.Finding {
	t.Helper()
	cfg := Config{Project: testProject, EnableOrdering: true, Emulator: addr}
	change(&cfg)
	found := Check(t.Context(), cfg, topics...)
	for _, f := range found {
		if f.Severity != config.FindingOK && f.Remedy == "" {
			t.Errorf("no remedy for: %+v", f)
		}
	}
	return found
}

func unchanged(*Config) {}

func TestCheckSaysThatItIsAnEmulator(t *testing.T) {
	for name, addr := range servers(t) {
		t.Run(name, func(t *testing.T) {
			topic := newTopicID()
			adminOf(t, addr).createTopic(t, topic)
			found := check(t, addr, unchanged, topic)
			publishertest.ExpectFinding(t, found, config.FindingWarning, "publisher.topic", topic, "no subscription")
			publishertest.ExpectFinding(t, found, config.FindingWarning, "publisher.pubsub.endpoint", addr, "memory", EmulatorVariable)
			publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.pubSubProjectID", testProject)
			publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.enableOrdering", "message ordering")
			publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.oversize", "10 MB", "stop walherald")
		})
	}
}

func TestCheckWarnsOfATopicThatNobodyReads(t *testing.T) {
	f, topic := fakeWithTopic(t)
	a, read, kept := adminOf(t, f.Addr()), newTopicID(), newTopicID()
	a.createTopic(t, read)
	a.subscribe(t, read)
	if _, err := a.topics.CreateTopic(t.Context(), &pubsubpb.Topic{
		Name: topicName(testProject, kept), MessageRetentionDuration: durationpb.New(retention),
	}); err != nil {
		t.Fatal(err)
	}
	found := check(t, f.Addr(), unchanged, "cdc.*")
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.topic", "3 topics match cdc.*")
	publishertest.ExpectFinding(t, found, config.FindingWarning, "publisher.topic", topic, "no subscription", "--message-retention-duration")
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.topic", read, "1 subscriptions")
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.topic", kept, "keeps messages for 168h")
}

func TestCheckTellsWhatHappensWhereATopicIsMissing(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	for policy, want := range map[MissingTopic]struct {
		severity   config.Severity
		path, word string
	}{
		CreateMissing:  {config.FindingOK, "publisher.topic", "created when"},
		WaitForMissing: {config.FindingWarning, "publisher.missingTopic", "is held"},
		StopAtMissing:  {config.FindingWarning, "publisher.missingTopic", "stops walherald"},
	} {
		found := check(t, f.Addr(), withPolicy(policy), "cdc.public_orders")
		publishertest.ExpectFinding(t, found, want.severity, want.path, "cdc.public_orders", want.word)
	}
}

func TestCheckFindsAMissingRight(t *testing.T) {
	f, topic := fakeWithTopic(t)
	granted := []string{publishPermission}
	// The server knows no rights; what the service would answer is put in.
	f.Inject(func(_ context.Context, _ string, req any, handle func() (any, error)) (any, error) {
		if _, ok := req.(*iampb.TestIamPermissionsRequest); ok {
			return &iampb.TestIamPermissionsResponse{Permissions: granted}, nil
		}
		return handle()
	})
	publishertest.ExpectFinding(t, check(t, f.Addr(), unchanged, topic), config.FindingOK, "publisher.pubsub.credentialsFile", topic, "allowed")
	granted = nil
	publishertest.ExpectFinding(t, check(t, f.Addr(), unchanged, topic), config.FindingError, "publisher.pubsub.credentialsFile", topic, "roles/pubsub.publisher")
}

func TestCheckSaysWhatItMayNotSee(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	f.Inject(answering(codes.PermissionDenied, "no"))
	found := check(t, f.Addr(), unchanged, "cdc.*")
	publishertest.ExpectFinding(t, found, config.FindingWarning, "publisher.pubSubProjectID", "may not be listed", "roles/pubsub.viewer")
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.oversize")
}

func TestCheckNamesTheKeyToCorrect(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	for code, path := range map[codes.Code]string{
		codes.Unauthenticated: "publisher.pubsub.credentialsFile",
		codes.NotFound:        "publisher.pubSubProjectID",
		codes.Internal:        "publisher.pubsub.endpoint",
	} {
		f.Inject(answering(code, "no"))
		publishertest.ExpectFinding(t, check(t, f.Addr(), unchanged, "cdc.*"), config.FindingError, path, "no", testProject)
	}
	found := check(t, "", func(cfg *Config) { cfg.CredentialsFile = "/nonexistent/key.json" })
	publishertest.ExpectFinding(t, found, config.FindingError, "publisher.pubsub.credentialsFile", "/nonexistent/key.json")
}

func TestCheckEndsWhereNobodyAnswers(t *testing.T) {
	f := pubsubserver.FakeForTest(t)
	f.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	found := Check(ctx, Config{Project: testProject, Emulator: f.Addr()}, "cdc.*")
	publishertest.ExpectFinding(t, found, config.FindingError, "publisher.pubsub.endpoint", testProject)
	if ctx.Err() != nil {
		t.Error("Check does not end by itself")
	}
}

func TestPatternsMatchWhatTheyStandFor(t *testing.T) {
	ids := []string{"cdc.a", "cdc.ab", "cdc.a.b", "other", "xcdc.a"}
	for pattern, want := range map[string][]string{
		"cdc.a":   {"cdc.a"},
		"cdc.*":   {"cdc.a", "cdc.ab", "cdc.a.b"},
		"*a":      {"cdc.a", "xcdc.a"},
		"c*a*b":   {"cdc.ab", "cdc.a.b"},
		"*":       ids,
		"missing": nil,
	} {
		if got := matching(ids, pattern); !slices.Equal(got, want) {
			t.Errorf("%s matches %v, want %v", pattern, got, want)
		}
	}
}
