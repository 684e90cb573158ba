package config

import (
	"strings"
	"testing"
)

// list makes a configuration of these publishers.
func list(publishers ...Publisher) func(*Config) {
	return func(c *Config) { c.Publisher, c.Publishers = defaultPublisher(), publishers }
}

// with changes a copy of p.
func with(p Publisher, change func(*Publisher)) Publisher {
	change(&p)
	return p
}

func TestEveryRuleOfPublishersIsReportedAtItsPath(t *testing.T) {
	discard, stdout := only("discard"), only("stdout")
	one := func(change func(p *Publisher)) func(*Config) {
		return func(c *Config) { change(&c.Publisher) }
	}
	for _, tt := range []struct {
		name  string
		spoil func(*Config)
		want  string // "" for nothing
	}{
		{"two", list(discard, stdout), ""},
		{"two of one name", list(discard, discard), `publishers[1].name: is "discard" as that of publishers[0]`},
		{"two of one type", list(discard, with(discard, func(p *Publisher) { p.Name = "other" })), ""},
		{"both sections", func(c *Config) { c.Publishers = Publishers{discard} }, "publisher: is given beside publishers"},
		{"name of a metric", list(with(discard, func(p *Publisher) { p.Name = "a b" })), "publishers[0].name: must be 1 to 63"},
		{"name of the source", list(with(discard, func(p *Publisher) { p.Name = "postgres" })), "publishers[0].name: is the name of the source"},
		{"item without a type", list(discard, defaultPublisher()), "publishers[1].type: is required"},
		{"item without a topic", list(with(only("kafka"), func(p *Publisher) { p.Address = Addresses{"a"} })), "publishers[0].topic: is required"},
		{"no action", list(with(discard, func(p *Publisher) { p.Filter.Tables = map[string][]string{"t": nil} })), "publishers[0].filter.tables[t]: lists no action"},
		{"two ways", list(with(discard, func(p *Publisher) { p.TopicTemplate, p.FallbackTopic = "x", "y" })), "publishers[0].topicsMap: what no rule matches"},
		{"template", list(with(discard, func(p *Publisher) { p.TopicTemplate = "{{.Nothing}}" })), "publishers[0].topicTemplate: cannot be used"},
		{"subject", list(with(only("nats"), func(p *Publisher) {
			p.Address, p.Topic, p.TopicsMap = Addresses{"a"}, "t", TopicsMap{{"a", "x.*"}}
		})), "publishers[0].topicsMap[a]: the topic is a part of a NATS subject"},

		{"envelope", one(func(p *Publisher) { p.Envelope = "avro" }), "publisher.envelope: is none of"},
		{"missing topic", one(func(p *Publisher) { p.MissingTopic = "make" }), "publisher.missingTopic: is none of create, wait, stop"},
		{"binary", one(func(p *Publisher) { p.Envelope, p.CloudEvents = "cloudevents", "binary" }), ""},
		{"binary of another envelope", one(func(p *Publisher) { p.CloudEvents = "binary" }), "publisher.cloudEvents: works with envelope cloudevents only"},
		{"binary on stdout", list(with(stdout, func(p *Publisher) { p.Envelope, p.CloudEvents = "cloudevents", "binary" })), "publishers[0].cloudEvents: binary puts"},
		{"compressed", one(func(p *Publisher) { p.BodyCompression = "zstd" }), ""},
		{"compressed lines", list(with(stdout, func(p *Publisher) { p.BodyCompression = "gzip" })), "publishers[0].bodyCompression: makes bodies that are no lines"},
		{"file", list(with(only("file"), func(p *Publisher) { p.Path = "/tmp/x" })), ""},
		{"file without a path", list(only("file")), "publishers[0].path: is required"},
		{"path of another type", list(with(stdout, func(p *Publisher) { p.Path = "/tmp/x" })), "publishers[0].path: works with type file only"},
		{"pretty", list(with(stdout, func(p *Publisher) { p.Pretty = true })), ""},
		{"pretty elsewhere", list(with(discard, func(p *Publisher) { p.Pretty = true })), "publishers[0].pretty: works with type stdout only"},

		{"password alone", one(func(p *Publisher) { p.Password = "hunter2" }), "publisher.user: is required with password"},
		{"user on stdout", list(with(stdout, func(p *Publisher) { p.User = "u" })), "publishers[0].user: has no meaning for type stdout"},
		{"sasl", one(func(p *Publisher) { p.Type, p.User, p.Password, p.Kafka.SASL = "kafka", "u", "hunter2", "plain" }), ""},
		{"sasl without a user", one(func(p *Publisher) { p.Type, p.Kafka.SASL = "kafka", "plain" }), "publisher.user: is required with kafka.sasl"},
		{"user without sasl", one(func(p *Publisher) { p.Type, p.User = "kafka", "u" }), "publisher.kafka.sasl: is none, so user"},
		{"sasl misspelt", one(func(p *Publisher) { p.Type, p.User, p.Kafka.SASL = "kafka", "u", "scram" }), "publisher.kafka.sasl: is none of none, plain"},
		{"kafka compression", one(func(p *Publisher) { p.Kafka.Compression = "brotli" }), "publisher.kafka.compression: is none of"},
		{"partitions", one(func(p *Publisher) { p.Kafka.Partitions = -1 }), "publisher.kafka.partitions: must not be negative"},
		{"replication", one(func(p *Publisher) { p.Kafka.ReplicationFactor = -1 }), "publisher.kafka.replicationFactor: must not be negative"},
		{"batch messages", one(func(p *Publisher) { p.PubSub.MaxBatchMessages = 1001 }), "publisher.pubsub.maxBatchMessages: must be 1 to 1000"},
		{"batch bytes", one(func(p *Publisher) { p.PubSub.MaxBatchBytes = 11 << 20 }), "publisher.pubsub.maxBatchBytes: must be"},
		{"token", one(func(p *Publisher) { p.NATS.Token = "hunter2" }), ""},
		{"token and user", one(func(p *Publisher) { p.NATS.Token, p.User = "hunter2", "u" }), "publisher.nats: has several kinds of credentials"},
		{"replicas", one(func(p *Publisher) { p.NATS.Replicas = 6 }), "publisher.nats.replicas: must be 1 to 5"},
		{"storage", one(func(p *Publisher) { p.NATS.Storage = "disk" }), "publisher.nats.storage: is none of file, memory"},
		{"age", one(func(p *Publisher) { p.NATS.MaxAge = -1 }), "publisher.nats.maxAge: must not be negative"},
		{"window", one(func(p *Publisher) { p.NATS.DuplicateWindow = 1 }), "publisher.nats.duplicateWindow: must be 100ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.spoil(c)
			got := messages(t, c.Validate())
			if tt.want == "" && len(got) > 0 {
				t.Errorf("got %q, want no problem", got)
			}
			if tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)) {
				t.Errorf("got %q, want one problem that begins %q", got, tt.want)
			}
			if strings.Contains(strings.Join(got, ""), "hunter2") {
				t.Error("a secret is shown")
			}
		})
	}
}

func TestListOfPublishersLoadsWithDefaultsAndPlaces(t *testing.T) {
	const text = `
listener: {slotName: s}
database: {host: h, name: n, user: u}
publishers:
  - {type: KAFKA, address: "a:1,b:2", topic: t, kafka: {compression: LZ4}}
  - {type: discard, name: rest, filter: {tables: {Users: [INSERT]}}}
`
	c, err := load("config.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	k, d := c.Publishers[0], c.Publishers[1]
	if k.Type != PublisherKafka || len(k.Address) != 2 || k.Kafka.Compression != CompressionLZ4 || k.Oversize != OversizeStop ||
		k.TopicPolicy() != MissingTopicWait || d.TopicPolicy() != MissingTopicCreate || d.Filter.Tables["Users"][0] != "insert" {
		t.Errorf("got %+v", c.Publishers)
	}
	_, err = load("config.yml", []byte(strings.Replace(text, "topic: t", "topik: t", 1)))
	if err == nil || !strings.Contains(err.Error(), `config.yml:5: publishers[0].topik: unknown key; did you mean "topic"?`) {
		t.Errorf("a key that does not exist: %v", err)
	}
}
