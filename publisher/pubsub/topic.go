package pubsub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/walherald/walherald/publisher"
)

const (
	minTopicID, maxTopicID = 3, 255
	// digestLength is how many hexadecimal digits stand for the end of an id that
	// is too long.
	digestLength = 16
	// safePrefix begins ids that may not begin as they do.
	safePrefix = "topic-"
	// retention is how long a topic that we make keeps messages for subscriptions
	// made later: without, a message that comes before the first subscription is
	// confirmed and read by nobody.
	retention = 7 * 24 * time.Hour
)

// TopicID makes a valid topic id of a topic
// (https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names). Bytes that
// may not stand in one are written as % and two hexadecimal digits. An id that
// would begin otherwise than with a letter, or with "goog", or that is shorter
// than 3 characters begins with "topic-"; of one that is longer than 255 the end
// is replaced by a digest. Two topics become one id only where one of them is
// spelled as the other's id.
func TopicID(topic string) string {
	if validID(topic) {
		return topic
	}
	var b strings.Builder
	for i := range len(topic) {
		if c := topic[i]; isIDByte(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	id := b.String()
	if len(id) < minTopicID || !isLetter(id[0]) || strings.HasPrefix(id, "goog") {
		id = safePrefix + id
	}
	if len(id) > maxTopicID {
		sum := sha256.Sum256([]byte(topic))
		id = id[:maxTopicID-digestLength-1] + "-" + hex.EncodeToString(sum[:])[:digestLength]
	}
	return id
}

func validID(id string) bool {
	if len(id) < minTopicID || len(id) > maxTopicID || !isLetter(id[0]) || strings.HasPrefix(id, "goog") {
		return false
	}
	for i := range len(id) {
		if !isIDByte(id[i]) {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isIDByte(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || strings.IndexByte("-_.~+%", c) >= 0
}

// missing does what the policy says about a topic that does not exist; nil means
// that it does by now. cause is how that was found out.
func (f *flight) missing(ctx context.Context, topic string, cause error) error {
	cfg := &f.p.cfg
	switch cfg.MissingTopic {
	case CreateMissing:
		return f.create(ctx, topic)
	case StopAtMissing:
		return publisher.Permanent(fmt.Errorf("%w: create it: %s; or set publisher.missingTopic to create or wait", cause, createCommand(cfg, topic)))
	}
	return fmt.Errorf("%w: waiting for it: %s; or set publisher.missingTopic: create", cause, createCommand(cfg, topic))
}

func createCommand(cfg *Config, topic string) string {
	return "gcloud pubsub topics create " + topic + " --project=" + cfg.Project
}

// create makes a topic. Queues of one topic that find it missing at the same
// time wait for the first of them.
func (f *flight) create(ctx context.Context, topic string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.created[topic] {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := f.p.client.CreateTopic(ctx, &pubsubpb.Topic{
		Name: f.p.topicName(topic), MessageRetentionDuration: durationpb.New(retention),
	})
	switch status.Code(err) {
	case codes.OK:
		f.p.log.Info("Pub/Sub topic created", "topic", topic, "project", f.p.cfg.Project, "retention", retention.String())
	case codes.AlreadyExists:
	case codes.PermissionDenied:
		return publisher.Permanent(fmt.Errorf("create it: %w: give the service account the role roles/pubsub.editor on project %s, "+
			"or create it by hand and set publisher.missingTopic: wait", err, f.p.cfg.Project))
	case codes.NotFound:
		return publisher.Permanent(fmt.Errorf("create it: %w: project %s does not exist or is not ours: correct publisher.pubSubProjectID",
			err, f.p.cfg.Project))
	default:
		return fmt.Errorf("create it: %w", err)
	}
	f.created[topic] = true
	return nil
}
