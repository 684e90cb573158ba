package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// checkTimeout bounds a whole Check.
const checkTimeout = 30 * time.Second

// Check looks for what would keep a Publisher of this configuration from
// delivering and returns what it found, good and bad. It changes nothing: a
// topic that would be created is not. It connects as the service does and ends
// within 30 seconds. No finding holds a password.
//
// Topics are the names that the configuration will publish to, with * for what
// is not known.
func Check(ctx context.Context, cfg Config, topics ...string) []config.Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	c := &preflight{p: New(cfg, Hooks{}, slog.New(slog.DiscardHandler))}
	defer c.p.cluster.close()
	if c.p.invalid != nil {
		path, what, found := strings.Cut(c.p.invalid.Error(), ": ")
		if !found {
			path, what = "publisher.kafka", c.p.invalid.Error()
		}
		c.Fail(path, "correct it", "%s", what)
		return c.Findings
	}
	answer, err := c.ask(ctx, nil)
	if err != nil {
		c.unreachable(err)
		return c.Findings
	}
	c.OK("publisher.address", "connected to Kafka at %s, a cluster of %d brokers", strings.Join(c.p.cfg.Addresses, ", "), len(answer.Brokers))
	c.brokers(ctx, answer.Brokers)
	c.producer(ctx)
	c.topics(ctx, answer, topics)
	return c.Findings
}

// preflight is one Check.
type preflight struct {
	config.Findings

	p *Publisher
}

// ask asks for topics, all of them if there are none, and for what the user may
// do to them.
func (c *preflight) ask(ctx context.Context, names []string) (*metadata.Response, error) {
	return askAny(ctx, c.p.cluster, func(conn *conn) (*metadata.Response, error) {
		return roundTrip[*metadata.Response](ctx, conn, &metadata.Request{TopicNames: names, IncludeTopicAuthorizedOperations: true})
	})
}

// unreachable says why there is no connection and what to do.
func (c *preflight) unreachable(err error) {
	path, remedy := connectRemedy(err, c.p.cfg.TLS != nil)
	c.Fail(path, remedy, "cannot use Kafka at %s: %v", strings.Join(c.p.cfg.Addresses, ", "), err)
}

func connectRemedy(err error, secured bool) (path, remedy string) {
	var (
		authority x509.UnknownAuthorityError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
	)
	switch {
	case oneOf(err, kafka.SASLAuthenticationFailed):
		return "publisher.user", "correct publisher.user and publisher.password, or publisher.kafka.sasl"
	case oneOf(err, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState):
		return "publisher.kafka.sasl", "choose a mechanism that the broker takes"
	case errors.As(err, &authority):
		return "publisher.caCert", "name the PEM file of the authority that signed the brokers' certificates"
	case errors.As(err, &verify):
		return "publisher.address", "use names that are in the brokers' certificates, or renew the certificates"
	case errors.As(err, &record):
		return "publisher.enableTLS", "remove it, or use the port on which the brokers speak TLS"
	case secured:
		return "publisher.address", "correct the address; see too whether the port speaks TLS and wants a client certificate"
	}
	return "publisher.address", "correct the address, start Kafka there, or let this host in; a port that wants TLS or SASL closes connections that come without (publisher.enableTLS, publisher.kafka.sasl)"
}

// brokers tries the addresses at which the brokers say that they can be reached.
func (c *preflight) brokers(ctx context.Context, brokers []metadata.ResponseBroker) {
	for _, b := range brokers {
		addr := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		if _, err := c.p.cluster.connect(ctx, addr); err != nil {
			c.Fail("publisher.address", "correct advertised.listeners of the broker, start it, or let this host in",
				"broker %d says that clients reach it at %s, and they do not: %v", b.NodeID, addr, err)
		}
	}
}

// producer tells how batches are written.
func (c *preflight) producer(ctx context.Context) {
	switch err := c.p.ensureProducer(ctx); {
	case err != nil:
		c.Warn("publisher.type", "see whether all brokers run", "no producer id at the moment: %v", err)
	case c.p.plain:
		c.Warn("publisher.user", "allow the user IdempotentWrite on the cluster, or Write on a topic",
			"brokers give no producer id: after a lost connection changes can be stored twice")
	default:
		c.OK("publisher.type", "batches are written with a producer id, so that lost connections repeat nothing")
	}
}

// topics judges the topics that exist and those that do not.
func (c *preflight) topics(ctx context.Context, answer *metadata.Response, patterns []string) {
	var seen []*metadata.ResponseTopic
	for _, pattern := range patterns {
		found := 0
		for i := range answer.Topics {
			if t := &answer.Topics[i]; publisher.MatchTopic(pattern, t.Name) {
				if found++; !slices.Contains(seen, t) {
					seen = append(seen, t)
				}
			}
		}
		if found == 0 {
			c.missing(pattern)
		}
	}
	settings := c.settings(ctx, seen)
	for _, t := range seen {
		c.topic(t, settings[t.Name])
	}
}

func (c *preflight) missing(pattern string) {
	what := "topic " + pattern + " is not there, or this user may not see it"
	if strings.Contains(pattern, "*") {
		what = "no topic " + pattern + " is there yet that this user may see"
	}
	switch c.p.cfg.MissingTopic {
	case MissingCreate:
		c.OK("publisher.missingTopic", "%s; what is needed would be created with %s partitions and %s replicas", what,
			orDefault(c.p.cfg.Partitions), orDefault(c.p.cfg.ReplicationFactor))
	case MissingStop:
		c.Warn("publisher.missingTopic", "make the topic, or set publisher.missingTopic to create or wait", "%s: a change for it would stop walherald", what)
	default:
		c.Warn("publisher.missingTopic", "make the topic, or set publisher.missingTopic: create", "%s: a change for it would have to wait", what)
	}
}

func orDefault(n int) string {
	if n == 0 {
		return "the broker's number of"
	}
	return strconv.Itoa(n)
}

// topicSettings is what counts of a topic's configuration.
type topicSettings map[string]string

func (s topicSettings) number(name string) int {
	n, _ := strconv.Atoi(s[name])
	return n
}

// settings asks for the configuration of topics. What this user may not see is
// left out.
func (c *preflight) settings(ctx context.Context, topics []*metadata.ResponseTopic) map[string]topicSettings {
	all := make(map[string]topicSettings)
	if len(topics) == 0 {
		return all
	}
	req := &describeconfigs.Request{}
	for _, t := range topics {
		const topicResource = 2
		req.Resources = append(req.Resources, describeconfigs.RequestResource{
			ResourceType: topicResource, ResourceName: t.Name,
			ConfigNames: []string{"min.insync.replicas", "max.message.bytes", "cleanup.policy", "unclean.leader.election.enable"},
		})
	}
	answer, err := askAny(ctx, c.p.cluster, func(conn *conn) (*describeconfigs.Response, error) {
		if !conn.has(protocol.DescribeConfigs) {
			return &describeconfigs.Response{}, nil
		}
		return roundTrip[*describeconfigs.Response](ctx, conn, req)
	})
	if err != nil {
		c.Warn("publisher.topic", "", "the configuration of topics cannot be seen: %v", err)
		return all
	}
	for _, r := range answer.Resources {
		if r.ErrorCode == 0 {
			all[r.ResourceName] = make(topicSettings)
			for _, e := range r.ConfigEntries {
				all[r.ResourceName][e.ConfigName] = e.ConfigValue
			}
		}
	}
	return all
}

// topic judges one topic.
func (c *preflight) topic(t *metadata.ResponseTopic, s topicSettings) {
	const path = "publisher.topic"
	if t.ErrorCode != 0 {
		c.Fail(path, "see to it on the brokers", "topic %s: %v", t.Name, kafka.Error(t.ErrorCode))
		return
	}
	c.rights(t)
	replicas, inSync := 1<<30, 1<<30
	for _, p := range t.Partitions {
		if p.LeaderID < 0 {
			c.Fail(path, "start the broker that has it", "partition %d of topic %s has no leader", p.PartitionIndex, t.Name)
		}
		replicas, inSync = min(replicas, len(p.ReplicaNodes)), min(inSync, len(p.IsrNodes))
	}
	least := s.number("min.insync.replicas")
	c.OK(path, "topic %s has %d partitions with %d replicas each, of which %s must be in sync, and takes batches of %s bytes",
		t.Name, len(t.Partitions), replicas, cmp.Or(s["min.insync.replicas"], "an unknown number"), cmp.Or(s["max.message.bytes"], "an unknown number of"))
	minISR := "run: kafka-configs.sh --alter --topic " + t.Name + " --add-config min.insync.replicas=" + strconv.Itoa(max(2, replicas-1))
	switch {
	case replicas == 1:
		c.Warn(path, "give it 3 replicas and min.insync.replicas=2", "topic %s has one replica: what is confirmed is lost with its broker", t.Name)
	case least > inSync:
		c.Fail(path, "start the brokers that are missing", "topic %s has a partition with %d replicas in sync, and min.insync.replicas asks for %d", t.Name, inSync, least)
	case least == 1:
		c.Warn(path, minISR, "topic %s confirms what one replica alone has (min.insync.replicas=1): it is lost with that broker", t.Name)
	}
	if s["unclean.leader.election.enable"] == "true" {
		c.Warn(path, "run: kafka-configs.sh --alter --topic "+t.Name+" --add-config unclean.leader.election.enable=false",
			"topic %s lets a replica lead that lacks what is confirmed (unclean.leader.election.enable)", t.Name)
	}
	if strings.Contains(s["cleanup.policy"], "compact") {
		c.Warn(path, "publish tables without a key elsewhere, or set publisher.messageKeyFrom",
			"topic %s is compacted: it takes no change without a key, and keeps only the last one of each key", t.Name)
	}
}

// rights judges whether the user may write.
func (c *preflight) rights(t *metadata.ResponseTopic) {
	const unknown, write = -1 << 31, 1 << 4
	if t.TopicAuthorizedOperations != unknown && t.TopicAuthorizedOperations != 0 && t.TopicAuthorizedOperations&write == 0 {
		c.Fail("publisher.user", fmt.Sprintf("run: kafka-acls.sh --add --allow-principal User:%s --operation Write --topic %s",
			cmp.Or(c.p.cfg.User, "ANONYMOUS"), t.Name), "user %q may not write to topic %s", c.p.cfg.User, t.Name)
	}
}
