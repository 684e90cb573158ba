package pubsub

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/walherald/walherald/publisher"
)

// EmulatorVariable is the environment variable that all of Google's clients look
// for an emulator's address in.
const EmulatorVariable = "PUBSUB_EMULATOR_HOST"

// connections is how many connections are shared by the requests in flight: the
// service takes about 100 at once over each.
const connections = 4

// open makes the client if there is none. It does not connect yet.
func (p *Publisher) open() error {
	if p.client != nil {
		return nil
	}
	opts, err := p.cfg.clientOptions()
	if err != nil {
		return err
	}
	// The credentials keep this context for as long as they are used.
	c, err := pubsub.NewTopicAdminClient(context.Background(), opts...)
	if err != nil {
		return p.cfg.noClient(err)
	}
	// No retries of the client's own: they would last minutes, unseen.
	c.CallOptions = &pubsub.TopicAdminCallOptions{}
	p.client = c
	return nil
}

// noClient is permanent: clients fail to be made by credentials that are not
// there or cannot be read.
func (c *Config) noClient(err error) error {
	return publisher.Permanent(fmt.Errorf("prepare the Pub/Sub client: %w: name a credentials file in publisher.pubsub.credentialsFile, "+
		"or give the environment application default credentials (GOOGLE_APPLICATION_CREDENTIALS, workload identity)", err))
}

// emulator returns the address of the emulator to use, if any.
func (c *Config) emulator() string {
	if c.Emulator != "" {
		return c.Emulator
	}
	return os.Getenv(EmulatorVariable)
}

// clientOptions are the options of every client.
func (c *Config) clientOptions() ([]option.ClientOption, error) {
	opts := []option.ClientOption{
		option.WithUserAgent("walherald"),
		option.WithTelemetryDisabled(), // nobody collects it
		option.WithGRPCConnectionPool(connections),
		// A connection that went idle would cost the next lone message the time to
		// make another.
		option.WithGRPCDialOption(grpc.WithIdleTimeout(0)),
	}
	if addr := c.emulator(); addr != "" {
		opts = append(opts, option.WithEndpoint(addr), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
		return append(opts, c.Options...), nil
	}
	if c.Endpoint != "" {
		opts = append(opts, option.WithEndpoint(c.Endpoint))
	}
	if c.CredentialsFile != "" {
		credentials, err := fileCredentials(c.CredentialsFile)
		if err != nil {
			return nil, publisher.Permanent(fmt.Errorf("publisher.pubsub.credentialsFile: %w", err))
		}
		opts = append(opts, credentials)
	}
	return append(opts, c.Options...), nil
}

// fileCredentials reads a JSON file of credentials of any kind.
func fileCredentials(path string) (option.ClientOption, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var head struct {
		Type option.CredentialsType `json:"type"`
	}
	if err := json.Unmarshal(text, &head); err != nil || head.Type == "" {
		// The error could quote a key.
		return nil, fmt.Errorf("%s is no JSON file of Google credentials: download a service account's key again", path)
	}
	return option.WithAuthCredentialsJSON(head.Type, text), nil
}

// neverMade is the id of a topic that answers whether the service does: the
// service reserves such names.
const neverMade = "goog"

// probe asks for a topic. Any answer will do that says neither that the service
// is away nor that it does not know us: the right to look at topics is not part
// of the right to publish.
func (p *Publisher) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := p.client.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: p.topicName(p.lastTopic)})
	switch status.Code(err) {
	case codes.OK, codes.PermissionDenied, codes.InvalidArgument, codes.NotFound:
		return nil
	}
	return p.explain(ctx, err, "ask Pub/Sub for a topic")
}

// topicName is a topic's full name.
func (p *Publisher) topicName(topic string) string { return topicName(p.cfg.Project, topic) }

func topicName(project, topic string) string { return "projects/" + project + "/topics/" + topic }

// explain says what a failed call means, and marks what trying again cannot mend.
func (p *Publisher) explain(ctx context.Context, err error, what string) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: %w: %w", what, ended, err)
	}
	switch code := status.Code(err); {
	case publisher.IsPermanent(err): // explained where it was found
	case code == codes.Unauthenticated && !noToken(err):
		return publisher.Permanent(fmt.Errorf("%s: %w: the credentials are refused: correct publisher.pubsub.credentialsFile", what, err))
	case code == codes.PermissionDenied:
		return publisher.Permanent(fmt.Errorf("%s: %w: give the service account the role roles/pubsub.publisher on the topic or on project %s "+
			"(publisher.pubSubProjectID), or name another one's key in publisher.pubsub.credentialsFile", what, err, p.cfg.Project))
	case code == codes.InvalidArgument:
		return publisher.Permanent(fmt.Errorf("%s: %w: Pub/Sub will never take it: correct publisher.topic and publisher.pubSubProjectID, "+
			"or exclude what exceeds a limit", what, err))
	}
	return fmt.Errorf("%s: %w", what, err)
}

// refusedToken finds, in an error's text, that a token server did answer and
// refused. The statuses are those that OAuth 2.0 refuses with (RFC 6749, section
// 5.2) and Google's own servers beside them.
var refusedToken = regexp.MustCompile(`(?:status code|cannot fetch token:) (?:400|401|403|404)\b`)

// noToken reports whether an Unauthenticated comes from our side, where no token
// could be had because its server was away or in trouble. gRPC leaves nothing of
// the cause but its text.
func noToken(err error) bool {
	text := err.Error()
	return strings.Contains(text, "per-RPC creds failed") && !refusedToken.MatchString(text)
}
