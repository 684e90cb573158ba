package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

const (
	// checkTimeout bounds a whole Check.
	checkTimeout = 30 * time.Second
	// maxChecked is how many topics are looked at one by one.
	maxChecked = 20
	// publishPermission is what it takes to publish
	// (https://cloud.google.com/pubsub/docs/access-control).
	publishPermission = "pubsub.topics.publish"
)

// Check looks for what would keep a Publisher of this configuration from
// delivering, or consumers from getting it, and returns what it found, good and
// bad. It changes nothing: topics that a start would create are not. It connects
// as the service does and ends within 30 seconds. What it has no right to see it
// says. No finding holds a secret.
//
// Topics are patterns of the topics that will be published to, in which * stands
// for any characters.
func Check(ctx context.Context, cfg Config, topics ...string) []config.Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	p := &preflight{p: New(cfg, Hooks{}, slog.New(slog.DiscardHandler))}
	p.where()
	if err := p.p.open(); err != nil {
		what, remedy := splitRemedy(err)
		p.Fail("publisher.pubsub.credentialsFile", remedy, "%s", what)
		return p.Findings
	}
	defer func() { _ = p.p.Close() }()
	existing, err := list(ctx, p.p.client, cfg.Project)
	switch {
	case err == nil:
		p.OK("publisher.pubSubProjectID", "Pub/Sub answers for project %s", cfg.Project)
		p.topics(ctx, existing, topics)
	case status.Code(err) == codes.PermissionDenied:
		p.Warn("publisher.pubSubProjectID", "grant roles/pubsub.viewer on the project to have topics checked, if you wish",
			"Pub/Sub answers, but the topics of project %s may not be listed: whether they exist is not known", cfg.Project)
	default:
		p.unreachable(err)
		return p.Findings
	}
	p.limits()
	return p.Findings
}

// preflight is one Check.
type preflight struct {
	config.Findings

	p *Publisher
}

// splitRemedy separates what is wrong from what to do, which our own errors end
// with.
func splitRemedy(err error) (what, remedy string) {
	text := err.Error()
	at := strings.LastIndex(text, ": ")
	if at < 0 {
		return text, "correct it"
	}
	return text[:at], text[at+2:]
}

// where says which Pub/Sub it is.
func (p *preflight) where() {
	cfg := &p.p.cfg
	switch {
	case cfg.emulator() != "":
		p.Warn("publisher.pubsub.endpoint", "unset "+EmulatorVariable+" to use the service",
			"messages go to the emulator at %s, which keeps them in memory only", cfg.emulator())
	case cfg.Endpoint == "" && cfg.EnableOrdering:
		p.Add(config.FindingOK, "publisher.pubsub.endpoint",
			"set a regional endpoint, such as europe-west1-pubsub.googleapis.com:443, if walherald can move to another region",
			"the global endpoint is used: the order of a key holds for what is published in one region")
	}
}

// unreachable says why the project's topics cannot be listed and what to do.
func (p *preflight) unreachable(err error) {
	path, remedy := "publisher.pubsub.endpoint", "correct the endpoint; firewalls have to let this host out to it"
	switch status.Code(err) {
	case codes.Unauthenticated:
		path, remedy = "publisher.pubsub.credentialsFile", "name the key of a service account that exists and is enabled"
	case codes.NotFound, codes.InvalidArgument:
		path, remedy = "publisher.pubSubProjectID", "correct the project's id (gcloud projects list)"
	}
	p.Fail(path, remedy, "cannot ask Pub/Sub for the topics of project %s: %v", p.p.cfg.Project, err)
}

// list returns the ids of the project's topics.
func list(ctx context.Context, c *pubsub.TopicAdminClient, project string) ([]string, error) {
	var ids []string
	all := c.ListTopics(ctx, &pubsubpb.ListTopicsRequest{Project: "projects/" + project, PageSize: 1000})
	for {
		topic, err := all.Next()
		if errors.Is(err, iterator.Done) {
			return ids, nil
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, topic.Name[strings.LastIndexByte(topic.Name, '/')+1:])
	}
}

// topics checks what exists of the topics that will be published to.
func (p *preflight) topics(ctx context.Context, existing, patterns []string) {
	var found []string
	for _, pattern := range patterns {
		matched := matching(existing, pattern)
		if len(matched) == 0 {
			p.missing(pattern)
			continue
		}
		p.OK("publisher.topic", "%d topics match %s", len(matched), pattern)
		found = append(found, matched...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) > maxChecked {
		p.OK("publisher.topic", "of %d topics the first %d are looked at", len(found), maxChecked)
		found = found[:maxChecked]
	}
	for _, id := range found {
		p.publishable(ctx, id)
		p.read(ctx, id)
	}
}

// matching returns the ids that a pattern stands for.
func matching(ids []string, pattern string) []string {
	if !strings.Contains(pattern, "*") {
		pattern = TopicID(pattern)
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !publisher.MatchTopic(pattern, id) })
}

// missing tells what will be done about topics that are not there.
func (p *preflight) missing(pattern string) {
	remedy := createCommand(&p.p.cfg, pattern) + ", or set publisher.missingTopic: create"
	switch p.p.cfg.MissingTopic {
	case CreateMissing:
		p.OK("publisher.topic", "no topic matches %s yet: topics are created when they are first published to", pattern)
	case StopAtMissing:
		p.Warn("publisher.missingTopic", remedy, "no topic matches %s: the first change of such a table stops walherald", pattern)
	default:
		p.Warn("publisher.missingTopic", remedy, "no topic matches %s: the first change of such a table is held, and all behind it, until there is one", pattern)
	}
}

// publishable checks the right to publish to a topic. The emulator knows none.
func (p *preflight) publishable(ctx context.Context, id string) {
	granted, err := p.p.client.TestIamPermissions(ctx, &iampb.TestIamPermissionsRequest{
		Resource: p.p.topicName(id), Permissions: []string{publishPermission},
	})
	switch {
	case err != nil: // it need not be there to be asked
	case len(granted.Permissions) == 0:
		p.Fail("publisher.pubsub.credentialsFile", "gcloud pubsub topics add-iam-policy-binding "+id+
			" --member=serviceAccount:... --role=roles/pubsub.publisher", "publishing to topic %s is not allowed", id)
	default:
		p.OK("publisher.pubsub.credentialsFile", "publishing to topic %s is allowed", id)
	}
}

// read warns of messages that are confirmed and reach nobody, or nobody in order.
func (p *preflight) read(ctx context.Context, id string) {
	topic, err := p.p.client.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: p.p.topicName(id)})
	if err != nil {
		p.OK("publisher.topic", "subscriptions of topic %s may not be looked at", id)
		return
	}
	subs, err := p.subscriptions(ctx, id)
	switch {
	case err != nil:
		p.OK("publisher.topic", "subscriptions of topic %s may not be looked at", id)
	case len(subs) > 0:
		p.OK("publisher.topic", "topic %s has %d subscriptions", id, len(subs))
	case topic.MessageRetentionDuration != nil:
		p.OK("publisher.topic", "topic %s has no subscription, but keeps messages for %v", id, topic.MessageRetentionDuration.AsDuration())
	default:
		p.Warn("publisher.topic", fmt.Sprintf("create one, or let the topic keep messages: gcloud pubsub topics update %s --message-retention-duration=7d", id),
			"topic %s has no subscription: what is published is confirmed, and gone", id)
	}
}

func (p *preflight) subscriptions(ctx context.Context, id string) ([]string, error) {
	var names []string
	all := p.p.client.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: p.p.topicName(id)})
	for {
		name, err := all.Next()
		if errors.Is(err, iterator.Done) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
}

// limits tells how messages are written and how large they can be.
func (p *preflight) limits() {
	cfg := &p.p.cfg
	if cfg.EnableOrdering {
		p.OK("publisher.enableOrdering", "messages have ordering keys: subscriptions need message ordering enabled to deliver in order")
	} else {
		p.Add(config.FindingOK, "publisher.enableOrdering", "set it to true if consumers depend on the order of a row's changes",
			"messages have no ordering keys: Pub/Sub delivers them in any order")
	}
	what := "stop walherald"
	if cfg.SkipOversize {
		what = "are dropped and logged"
	}
	p.OK("publisher.oversize", "messages above 10 MB (the service's limit) %s", what)
}
