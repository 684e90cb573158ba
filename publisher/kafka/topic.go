package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/walherald/walherald/publisher"
)

const (
	// maxBatch is the most a batch can have, in bytes: a little less than a
	// broker takes as one request (socket.request.max.bytes), above which it
	// closes the connection without a word.
	maxBatch = 100<<20 - 64<<10
	// usualBatch is what a batch is filled up to, a little less than what a
	// topic takes if nobody has said otherwise (max.message.bytes). Larger ones
	// would not be faster.
	usualBatch = 1_000_000
	// maxTopicName is the longest name a topic can have.
	maxTopicName = 249
	// createdTimeout bounds how long a topic that was made may take to appear.
	createdTimeout = 10 * time.Second
	createdPoll    = 20 * time.Millisecond
)

// Topic makes a valid name of a topic: characters other than ASCII letters,
// digits, dot, hyphen and underscore become underscores, and names longer than
// 249 characters are cut.
func Topic(topic string) string {
	valid := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, topic)
	if valid == "." || valid == ".." {
		return strings.ReplaceAll(valid, ".", "_")
	}
	return valid[:min(len(valid), maxTopicName)]
}

// topic is what is known of a topic.
type topic struct {
	name string
	// parts are all partitions that there ever were: what was sent to one must
	// never be forgotten, or its sequence numbers would be used again. The first
	// count of them exist, none if the topic does not.
	parts []*partition
	count int
	// limit is the largest batch in bytes, by the topic's configuration; 0 is
	// not known.
	limit int
	// full is what batches are filled up to.
	full int
}

// largest is the size of the largest batch that is worth sending.
func (t *topic) largest() int { return cmp.Or(t.limit, maxBatch) }

// limitText is the limit for errors.
func (t *topic) limitText() string {
	if t.limit == 0 {
		return ""
	}
	return fmt.Sprintf(" of %d", t.limit)
}

// ensureTopics returns nil once all topics named are known and have partitions.
func (p *Publisher) ensureTopics(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	missing, err := p.refresh(ctx, names)
	if err != nil || len(missing) == 0 {
		return err
	}
	switch p.cfg.MissingTopic {
	case MissingCreate:
		return p.create(ctx, missing)
	case MissingStop:
		return publisher.Permanent(p.missingError(missing))
	}
	return p.missingError(missing)
}

func (p *Publisher) missingError(names []string) error {
	return fmt.Errorf("topic %s does not exist: make it, as with kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions 6, or set publisher.missingTopic: create",
		strings.Join(names, ", "), p.cfg.Addresses[0], names[0])
}

// refresh asks for the leaders of all known topics and of those named, and
// returns which of the named ones do not exist.
func (p *Publisher) refresh(ctx context.Context, names []string) (missing []string, err error) {
	asked := slices.Clone(names)
	for name, t := range p.topics {
		if t.count > 0 && !slices.Contains(names, name) {
			asked = append(asked, name)
		}
	}
	if asked == nil {
		asked = []string{} // nil would mean all
	}
	answer, err := p.cluster.metadata(ctx, asked)
	if err != nil {
		return nil, err
	}
	var found []string
	for i := range answer.Topics {
		t := &answer.Topics[i]
		switch err := answerError(t.ErrorCode, ""); {
		case errors.Is(err, kafka.UnknownTopicOrPartition):
			if known := p.topics[t.Name]; known != nil {
				known.count = 0
			}
			if slices.Contains(names, t.Name) {
				missing = append(missing, t.Name)
			}
		case errors.Is(err, kafka.LeaderNotAvailable) && len(t.Partitions) == 0: // it is being made
			return nil, fmt.Errorf("find the leaders of topic %s: %w", t.Name, err)
		case err != nil && !errors.Is(err, kafka.LeaderNotAvailable):
			return nil, fmt.Errorf("find the leaders of topic %s: %w", t.Name, p.denied(err, t.Name))
		default:
			if p.learn(t) {
				found = append(found, t.Name)
			}
		}
	}
	p.asked = time.Now()
	return missing, p.learnLimits(ctx, found)
}

// denied says what to do about errors that trying again does not mend.
func (p *Publisher) denied(err error, topic string) error {
	switch {
	case oneOf(err, kafka.TopicAuthorizationFailed):
		return publisher.Permanent(fmt.Errorf(
			"%w: let user %q write to it: kafka-acls.sh --add --allow-principal User:%s --operation Describe --operation Write --topic %s",
			err, p.cfg.User, cmp.Or(p.cfg.User, "ANONYMOUS"), topic))
	case oneOf(err, kafka.InvalidTopic):
		return publisher.Permanent(fmt.Errorf("%w: map the tables to other topics in listener.topicsMap", err))
	}
	return err
}

// learn takes over what a broker says of a topic; it is true if the topic was
// not known. More partitions than before mean another partition for most keys,
// so they count only from a moment on at which nothing is left to send again.
func (p *Publisher) learn(answer *metadata.ResponseTopic) (isNew bool) {
	n := len(answer.Partitions)
	if n == 0 {
		return false
	}
	t := p.topics[answer.Name]
	if t == nil {
		t, isNew = &topic{name: answer.Name, full: usualBatch}, true
		p.topics[answer.Name] = t
	}
	if n < t.count || t.count == 0 || !p.unfinished { // fewer: it was deleted and made again
		t.count = n
	}
	for i := len(t.parts); i < n; i++ {
		t.parts = append(t.parts, newPartition(t, int32(i)))
	}
	for i := range answer.Partitions {
		if at := int(answer.Partitions[i].PartitionIndex); at >= 0 && at < n {
			t.parts[at].leader = answer.Partitions[i].LeaderID
		}
	}
	return isNew
}

// learnLimits asks how large batches of topics can be. Where the right to know
// is missing the broker's refusal will tell.
func (p *Publisher) learnLimits(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	req := &describeconfigs.Request{}
	for _, name := range names {
		const topicResource = 2
		req.Resources = append(req.Resources, describeconfigs.RequestResource{
			ResourceType: topicResource, ResourceName: name, ConfigNames: []string{"max.message.bytes"},
		})
	}
	answer, err := askAny(ctx, p.cluster, func(c *conn) (*describeconfigs.Response, error) {
		if !c.has(protocol.DescribeConfigs) {
			return &describeconfigs.Response{}, nil
		}
		return roundTrip[*describeconfigs.Response](ctx, c, req)
	})
	if err != nil {
		return fmt.Errorf("ask for the limits of topics: %w", err)
	}
	for _, r := range answer.Resources {
		t := p.topics[r.ResourceName]
		if t == nil || r.ErrorCode != 0 {
			continue
		}
		for _, e := range r.ConfigEntries {
			if limit, err := strconv.Atoi(e.ConfigValue); err == nil && limit > 0 {
				t.limit, t.full = min(limit, maxBatch), min(limit, usualBatch)
			}
		}
	}
	return nil
}

// create makes topics and waits until they have leaders.
func (p *Publisher) create(ctx context.Context, names []string) error {
	c, err := p.cluster.node(ctx, p.cluster.controller)
	if errors.Is(err, errNoBroker) { // some clusters do not say who it is: any broker passes it on
		c, err = p.cluster.any(ctx)
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", strings.Join(names, ", "), err)
	}
	req := &createtopics.Request{TimeoutMs: int32(ackTimeout.Milliseconds())}
	for _, name := range names {
		req.Topics = append(req.Topics, createtopics.RequestTopic{
			Name: name, NumPartitions: int32(cmp.Or(p.cfg.Partitions, -1)), ReplicationFactor: int16(cmp.Or(p.cfg.ReplicationFactor, -1)),
		})
	}
	answer, err := roundTrip[*createtopics.Response](ctx, c, req)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", strings.Join(names, ", "), err)
	}
	for _, t := range answer.Topics {
		switch err := answerError(t.ErrorCode, t.ErrorMessage); {
		case err == nil:
			p.log.Info("Kafka topic created", "topic", t.Name)
		case errors.Is(err, kafka.TopicAlreadyExists): // somebody was faster
		default:
			return fmt.Errorf("create topic %s: %w", t.Name, p.cannotCreate(err))
		}
	}
	return p.awaitTopics(ctx, names)
}

// cannotCreate says what to do about errors that trying again does not mend.
func (p *Publisher) cannotCreate(err error) error {
	switch {
	case oneOf(err, kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed):
		return publisher.Permanent(fmt.Errorf("%w: let user %q create topics, or make it and set publisher.missingTopic: wait", err, p.cfg.User))
	case oneOf(err, kafka.InvalidReplicationFactor, kafka.InvalidPartitionNumber, kafka.PolicyViolation, kafka.InvalidTopic, kafka.InvalidConfiguration):
		return publisher.Permanent(fmt.Errorf("%w: correct publisher.kafka.partitions and replicationFactor, or make the topic and set publisher.missingTopic: wait", err))
	}
	return err
}

// awaitTopics waits until brokers say of topics who leads them.
func (p *Publisher) awaitTopics(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, createdTimeout)
	defer cancel()
	for {
		missing, err := p.refresh(ctx, names)
		if err == nil && len(missing) == 0 && p.led(names) {
			return nil
		}
		if err != nil && !moved(err) {
			return err
		}
		if err := publisher.Sleep(ctx, createdPoll); err != nil {
			return fmt.Errorf("wait for topic %s, which was created: %w", strings.Join(names, ", "), err)
		}
	}
}

// led reports whether all partitions of topics have a leader.
func (p *Publisher) led(names []string) bool {
	for _, name := range names {
		t := p.topics[name]
		if t == nil || slices.ContainsFunc(t.parts[:t.count], func(part *partition) bool { return part.leader < 0 }) {
			return false
		}
	}
	return true
}
