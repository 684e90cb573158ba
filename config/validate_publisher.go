package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// publishers checks every output, and that they can be told apart.
func (ck *checker) publishers(c *Config) {
	ck.when(len(c.Publishers) > 0 && c.Publisher.Type != "", "publisher",
		"is given beside publishers; make it an item of that list, or remove it")
	ck.when(c.leavesPublisherOut() && !reflect.DeepEqual(c.Publisher, defaultPublisher()), "publisher.type",
		"is required where other keys of publisher are set; set it, or remove them")
	seen := make(map[string]string)
	for _, out := range c.Outputs() {
		at := join(out.Section, "name")
		if out.Name != "" {
			ck.when(!outputName.MatchString(out.Name), at, "must be 1 to 63 letters, digits, _ and -: it stands in metrics and logs")
			ck.when(out.Name == reservedName, at, "is the name of the source in /ready; choose another one")
			ck.when(seen[out.Name] != "", at, "is %q as that of %s; each output needs a name of its own", out.Name, seen[out.Name])
			seen[out.Name] = out.Section
		}
		ck.publisher(&out)
		ck.publisherTLS(&out)
		if out.Type == PublisherNATS {
			ck.subjects(&out, c)
		}
	}
}

// outputName is what an output may be called.
var outputName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

// reservedName is what the source is called where outputs are.
const reservedName = "postgres"

func (ck *checker) publisher(p *Output) {
	at := func(key string) string { return join(p.Section, key) }
	if p.Type == "" {
		ck.when(true, at("type"), "is required%s", orRules(p.Section))
	} else {
		ck.oneOf(at("type"), p.Type, PublisherNATS, PublisherKafka, PublisherRabbitMQ,
			PublisherPubSub, PublisherStdout, PublisherFile, PublisherDiscard)
	}
	ck.oneOf(at("exchangeKind"), p.ExchangeKind, "fanout", "topic", "direct")
	ck.oneOf(at("oversize"), p.Oversize, OversizeStop, OversizeSkip)
	ck.oneOf(at("missingTopic"), p.TopicPolicy(), MissingTopicCreate, MissingTopicWait, MissingTopicStop)
	ck.oneOf(at("envelope"), p.Envelope, EnvelopeWalherald, EnvelopeWalListener, EnvelopePGEvents,
		EnvelopePSQLStreamer, EnvelopeSetu, EnvelopeCloudEvents, EnvelopeDebezium)
	ck.oneOf(at("cloudEvents"), p.CloudEvents, CloudEventsStructured, CloudEventsBinary)
	ck.oneOf(at("bodyCompression"), p.BodyCompression, CompressionNone, CompressionGzip, CompressionZstd)
	ck.tables(at("filter.tables"), p.Filter.Tables)
	ck.topicsMap(at("topicsMap"), p.TopicsMap)
	ck.unmatched(p.Section, TopicRules{p.TopicsMap, p.TopicTemplate, p.FallbackTopic, p.DiscardUnmatched})
	ck.destination(p)
	ck.brokers(p)
	if p.Embedded != nil {
		ck.embedded(p)
	}
}

// orRules says what can be there in the place of the one publisher.
func orRules(section string) string {
	if section != "publisher" {
		return ""
	}
	return ", or notifier.rules" + orVariable("publisher.type")
}

// destination checks that the type has what it needs to reach its topics, and
// nothing that it would ignore.
func (ck *checker) destination(p *Output) {
	at := func(key string) string { return join(p.Section, key) }
	broker := slices.Contains([]string{PublisherNATS, PublisherKafka, PublisherRabbitMQ, PublisherPubSub}, p.Type)
	if broker {
		ck.required(at("topic"), p.Topic)
	}
	switch p.Type {
	case PublisherNATS:
		ck.when(len(p.Address) == 0 && p.Embedded == nil, at("address"),
			"is required for type nats; set it, or %s to run without a broker", at("embedded"))
		ck.when(len(p.Address) > 0 && p.Embedded != nil, at("embedded"),
			"runs a server inside walherald, so %s would be ignored; remove one of them", at("address"))
	case PublisherKafka, PublisherRabbitMQ:
		ck.when(len(p.Address) == 0, at("address"), "is required for type %s%s", p.Type, orVariable(at("address")))
	case PublisherPubSub:
		ck.required(at("pubSubProjectID"), p.PubSubProjectID)
	case PublisherFile:
		ck.required(at("path"), p.Path)
	}
	ck.when(p.Path != "" && p.Type != PublisherFile, at("path"), "works with type file only; remove it")
	ck.when(p.Pretty && p.Type != PublisherStdout, at("pretty"), "works with type stdout only; remove it")
	ck.when(p.Embedded != nil && p.Type != PublisherNATS, at("embedded"), "works with type nats only; remove it")
	lines := p.Type == PublisherStdout || p.Type == PublisherFile
	ck.when(lines && p.BodyCompression != CompressionNone, at("bodyCompression"), "makes bodies that are no lines of text; remove it for type %s", p.Type)
	ck.when(p.CloudEvents == CloudEventsBinary && p.Envelope != EnvelopeCloudEvents, at("cloudEvents"), "works with envelope cloudevents only; remove it")
	ck.when(p.CloudEvents == CloudEventsBinary && !broker, at("cloudEvents"), "binary puts attributes beside the body, where type %s has no place; use structured", p.Type)
}

// brokers checks the credentials and what is particular to each broker.
func (ck *checker) brokers(p *Output) {
	at := func(key string) string { return join(p.Section, key) }
	credentials := p.User != "" || p.Password != ""
	ck.when(p.User == "" && p.Password != "", at("user"), "is required with password")
	switch p.Type {
	case PublisherKafka:
		ck.when(credentials && p.Kafka.SASL == SASLNone, at("kafka.sasl"), "is none, so user and password would not be used; set plain, scram-sha-256 or scram-sha-512")
		ck.when(!credentials && p.Kafka.SASL != SASLNone, at("user"), "is required with kafka.sasl, and so is password")
	case PublisherNATS, PublisherRabbitMQ:
	default:
		ck.when(credentials, at("user"), "has no meaning for type %s; remove it and password", p.Type)
	}
	ck.oneOf(at("kafka.sasl"), p.Kafka.SASL, SASLNone, SASLPlain, SASLScramSHA256, SASLScramSHA512)
	ck.oneOf(at("kafka.compression"), p.Kafka.Compression, CompressionNone, CompressionGzip, CompressionSnappy, CompressionLZ4, CompressionZstd)
	ck.when(p.Kafka.Partitions < 0, at("kafka.partitions"), "must not be negative; 0 means the broker's default")
	ck.when(p.Kafka.ReplicationFactor < 0, at("kafka.replicationFactor"), "must not be negative; 0 means the broker's default")
	ck.when(p.PubSub.MaxBatchMessages < 1 || p.PubSub.MaxBatchMessages > maxPubSubMessages, at("pubsub.maxBatchMessages"), "must be 1 to %d", maxPubSubMessages)
	ck.when(p.PubSub.MaxBatchBytes < minPubSubBytes || p.PubSub.MaxBatchBytes > maxPubSubBytes, at("pubsub.maxBatchBytes"), "must be %s to %s", minPubSubBytes, maxPubSubBytes)
	ck.nats(p)
}

// What Pub/Sub takes in one request (Cloud Pub/Sub, "Quotas and limits").
const (
	maxPubSubMessages          = 1000
	maxPubSubBytes    ByteSize = 10_000_000
	minPubSubBytes    ByteSize = 1000
)

func (ck *checker) nats(p *Output) {
	at := func(key string) string { return join(p.Section, "nats."+key) }
	ways := 0
	for _, set := range []bool{p.NATS.Token != "", p.NATS.CredsFile != "", p.NATS.NkeyFile != "", p.User != "" && p.Type == PublisherNATS} {
		if set {
			ways++
		}
	}
	ck.when(ways > 1, join(p.Section, "nats"), "has several kinds of credentials; set one of user and password, token, credsFile, nkeyFile")
	ck.when(ways > 0 && p.Embedded != nil, join(p.Section, "nats"), "has credentials, which the embedded server does not ask for; remove them")
	ck.when(p.NATS.Replicas < 1 || p.NATS.Replicas > 5, at("replicas"), "must be 1 to 5")
	ck.oneOf(at("storage"), p.NATS.Storage, StorageFile, StorageMemory)
	ck.when(p.NATS.MaxAge < 0, at("maxAge"), "must not be negative; 0 means for ever")
	ck.when(p.NATS.DuplicateWindow != 0 && p.NATS.DuplicateWindow < minDuplicateWindow, at("duplicateWindow"), "must be 100ms at least; 0 means the server's default")
}

// minDuplicateWindow is the least that a JetStream server takes.
const minDuplicateWindow = 100 * time.Millisecond

func (ck *checker) embedded(p *Output) {
	at := func(key string) string { return join(p.Section, "embedded."+key) }
	ck.hostPort(at("listen"), p.Embedded.Listen)
	ck.required(at("storeDir"), p.Embedded.StoreDir)
	ck.when(p.Embedded.SyncInterval < 0, at("syncInterval"),
		"must not be negative; 0 means before every confirmation")
}

// publisherTLS refuses every TLS key that would have no effect: who set it
// believes in a protection that is not there.
func (ck *checker) publisherTLS(p *Output) {
	at := func(key string) string { return join(p.Section, key) }
	for _, option := range []struct{ path, value string }{
		{at("clientCert"), p.ClientCert},
		{at("clientKey"), p.ClientKey},
		{at("caCert"), p.CACert},
	} {
		ck.when(option.value != "" && !p.EnableTLS, option.path,
			"has no effect without TLS; set %s or remove it", at("enableTLS"))
	}
	ck.when(p.ClientCert != "" && p.ClientKey == "", at("clientKey"), "is required with clientCert")
	ck.when(p.ClientKey != "" && p.ClientCert == "", at("clientCert"), "is required with clientKey")
	ck.when(p.EnableTLS && p.Embedded != nil, at("enableTLS"), "has no effect with %s, which speaks no TLS; remove it", at("embedded"))
}

// subjects checks what NATS subjects are made of (NATS documentation, "Subject-
// Based Messaging"). The topic is the name of the stream, too, which is why it
// is one token without dots.
func (ck *checker) subjects(p *Output, c *Config) {
	ck.when(badSubject(p.Topic) || strings.ContainsAny(p.Topic, `./\`) || strings.HasPrefix(p.Topic, "$"), join(p.Section, "topic"),
		`names a NATS stream: no blanks, no . * > / \ and no $ in front`)
	prefix := p.TopicPrefix
	ck.when(badSubject(prefix) || strings.HasPrefix(prefix, ".") || strings.Contains(prefix, ".."), join(p.Section, "topicPrefix"),
		"is a part of a NATS subject: no blanks, no * or >, no empty token between dots")
	rules, path := p.TopicRules(&c.Listener).Map, "listener.topicsMap"
	if len(p.TopicsMap) > 0 {
		path = join(p.Section, "topicsMap")
	}
	for _, rule := range rules {
		// What a group stands for is not known yet; a letter takes its place.
		t := rule.Topic
		if _, ok := rule.Expression(); ok {
			t = groups.ReplaceAllString(t, "x")
		}
		ck.when(badSubject(t) || strings.HasPrefix(t, ".") || strings.HasSuffix(t, ".") || strings.Contains(t, ".."),
			entry(path, rule.Match), "the topic is a part of a NATS subject: no blanks, no * or >, no empty token between dots")
	}
}

// badSubject reports a character that no NATS subject can hold.
func badSubject(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return r == '*' || r == '>' || unicode.IsSpace(r) || unicode.IsControl(r)
	})
}
