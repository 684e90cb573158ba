package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// valid returns a configuration that passes, for a test to spoil.
func valid() *Config {
	c := Default()
	c.Listener.SlotName = "slot"
	c.Database.Host, c.Database.Name, c.Database.User = "localhost", "shop", "postgres"
	c.Publisher.Type, c.Publisher.Topic, c.Publisher.Address = PublisherNATS, "shop", Addresses{"localhost:4222"}
	return &c
}

func TestEveryRuleIsReportedAtItsPath(t *testing.T) {
	embedded := func(c *Config) *Embedded {
		c.Publisher.Address = nil
		c.Publisher.Embedded = &Embedded{Listen: "127.0.0.1:0", StoreDir: "/js"}
		return c.Publisher.Embedded
	}
	rules := func(rules ...TopicRule) func(*Config) {
		return func(c *Config) { c.Listener.TopicsMap = rules }
	}
	for _, tt := range []struct {
		name  string
		spoil func(*Config)
		// want is the start of the one problem; empty means it is valid.
		want string
	}{
		{"nothing", func(*Config) {}, ""},

		{"no slot", func(c *Config) { c.Listener.SlotName = "" }, "listener.slotName: is required; set it in the file or as WAL_LISTENER_SLOTNAME"},
		{"slot of 63", func(c *Config) { c.Listener.SlotName = strings.Repeat("a", 63) }, ""},
		{"slot of 64", func(c *Config) { c.Listener.SlotName = strings.Repeat("a", 64) }, "listener.slotName: must be 1 to 63"},
		{"slot with a dash", func(c *Config) { c.Listener.SlotName = "my-slot" }, "listener.slotName: must be"},
		{"slot with a line break", func(c *Config) { c.Listener.SlotName = "slot\n" }, "listener.slotName: must be"},
		{"server port 65536", func(c *Config) { c.Listener.ServerPort = 65536 }, "listener.serverPort: must be a port from 0 to 65535"},
		{"negative server port", func(c *Config) { c.Listener.ServerPort = -1 }, "listener.serverPort: must be a port"},
		{"negative refresh", func(c *Config) { c.Listener.RefreshConnection = -1 }, "listener.refreshConnection: must not be negative"},
		{"no heartbeat", func(c *Config) { c.Listener.HeartbeatInterval = 0 }, "listener.heartbeatInterval: must be longer than 0"},
		{"no ack timeout", func(c *Config) { c.Listener.AckTimeout = 0 }, "listener.ackTimeout: must be longer than 0"},
		{"negative drain", func(c *Config) { c.Listener.DrainTimeout = -time.Second }, "listener.drainTimeout: must be longer than 0"},
		{"window below the least", func(c *Config) { c.Listener.Window = 64<<10 - 1 }, "listener.window: must be at least 64KiB"},
		{"least window", func(c *Config) { c.Listener.Window = 64 << 10 }, ""},
		{"negative size limit", func(c *Config) { c.Listener.MaxTransactionSize = -1 }, "listener.maxTransactionSize: must not be negative"},

		{"actions in any case", func(c *Config) { c.Listener.Filter.Tables = map[string][]string{"t": {"INSERT", "Truncate"}} }, ""},
		{
			"unknown action", func(c *Config) { c.Listener.Filter.Tables = map[string][]string{"a.t": {"insert", "updat"}} },
			`listener.filter.tables[a.t][1]: is none of insert, update, delete, truncate; did you mean "update"?`,
		},
		{"no action", func(c *Config) { c.Listener.Include.Tables = map[string][]string{"t": {}} }, "listener.include.tables[t]: lists no action"},
		{"no table name", func(c *Config) { c.Listener.Include.Tables = map[string][]string{"": {"insert"}} }, `listener.include.tables[""]: has no table name`},
		{"empty exclusion", func(c *Config) { c.Listener.Exclude.Columns = []string{"a", ""} }, "listener.exclude.columns[1]: is empty"},

		{"template of unknown names", func(c *Config) { c.Listener.TopicTemplate = "{{.Column}}" }, "listener.topicTemplate: cannot be used: "},
		{"template that does not end", func(c *Config) { c.Listener.TopicTemplate = "{{.Table" }, "listener.topicTemplate: cannot be used: "},
		{"template", func(c *Config) { c.Listener.TopicTemplate = "{{.Database}}.{{.Schema}}.{{.Table}}.{{.Action}}" }, ""},
		{
			"template and fallback", func(c *Config) { c.Listener.TopicTemplate, c.Listener.FallbackTopic = "{{.Table}}", "other" },
			"listener.topicsMap: what no rule matches can go one way only",
		},
		{"discarding without rules", func(c *Config) { c.Listener.DiscardUnmatched = true }, "listener.discardUnmatched: would drop everything"},
		{"empty prefix", func(c *Config) { c.Listener.Messages = []string{"a", ""} }, "listener.messages[1]: is empty"},
		{"numeric as a float", func(c *Config) { c.Listener.Values.Numeric = "float" }, "listener.values.numeric: is none of number, string"},
		{"bytea escaped", func(c *Config) { c.Listener.Values.Bytea = "escape" }, "listener.values.bytea: is none of hex, base64"},
		{"no schema", func(c *Config) { c.Listener.Schema = "" }, "listener.schema: is where listener.slotMemory is kept"},
		{"no schema and no memory", func(c *Config) { c.Listener.Schema, c.Listener.SlotMemory = "", false }, ""},
		{"schema of the system", func(c *Config) { c.Listener.Schema = "pg_catalog" }, "listener.schema: must have 63 bytes"},
		{"mask of no table", func(c *Config) { c.Listener.Mask = Masks{{Column: "c", With: MaskNull}} }, "listener.mask[0].table: is required"},
		{"mask of no column", func(c *Config) { c.Listener.Mask = Masks{{Table: "t", With: MaskNull}} }, "listener.mask[0].column: is required"},
		{"mask with nothing", func(c *Config) { c.Listener.Mask = Masks{{Table: "t", Column: "c"}} }, "listener.mask[0].with: is none of null, hash, redact"},
		{"hash without a key", func(c *Config) { c.Listener.Mask = Masks{{"t", "c", MaskHash}} }, "listener.maskKey: is required to mask with hash"},
		{
			"hash with a short key", func(c *Config) { c.Listener.Mask, c.Listener.MaskKey = Masks{{"t", "c", MaskHash}}, "123456789012345" },
			"listener.maskKey: is required",
		},
		{"hash with a key", func(c *Config) { c.Listener.Mask, c.Listener.MaskKey = Masks{{"t", "c", MaskHash}}, "1234567890123456" }, ""},
		{"key without a hash", func(c *Config) { c.Listener.MaskKey = "1234567890123456" }, "listener.maskKey: has no effect"},
		{"publication of 64", func(c *Config) { c.Listener.Publication.Name = strings.Repeat("p", 64) }, "listener.publication.name: must have 63 bytes"},
		{"publication with a tab", func(c *Config) { c.Listener.Publication.Name = "a\tb" }, "listener.publication.name: must not hold control"},
		{"publication of tables", func(c *Config) { c.Listener.Publication.Tables = []string{"a", "b.c"} }, ""},
		{"table without a schema", func(c *Config) { c.Listener.Publication.Tables = []string{"a", ".b"} }, "listener.publication.tables[1]: must be"},
		{"schema without a table", func(c *Config) { c.Listener.Publication.Tables = []string{"a."} }, "listener.publication.tables[0]: must be"},

		{"topics", rules(TopicRule{"a_b", "c"}, TopicRule{`/^x_(.+)_(?P<day>\d+)$/`, "y.${1}.${day}"}), ""},
		{"bad expression", rules(TopicRule{"a_b", "c"}, TopicRule{"/a(/", "x"}), "listener.topicsMap[/a(/]: is no regular expression: "},
		{"open expression", rules(TopicRule{"/a", "x"}), "listener.topicsMap[/a]: begins with /"},
		{"no topic", rules(TopicRule{"a", ""}), "listener.topicsMap[a]: has no topic"},
		{"no match", rules(TopicRule{"", "x"}), `listener.topicsMap[""]: has no table`},
		{"group too many", rules(TopicRule{"/(a)/", "x${2}"}), "listener.topicsMap[/(a)/]: the topic refers to a group"},
		{"group run together", rules(TopicRule{"/(a)/", "$1x"}), "listener.topicsMap[/(a)/]: the topic refers to a group"},
		{"unknown group name", rules(TopicRule{"/(a)/", "${day}"}), "listener.topicsMap[/(a)/]: the topic refers to a group"},
		{"topic with a wildcard", rules(TopicRule{"a", "x.>"}), "listener.topicsMap[a]: the topic is a part of a NATS subject"},
		{"topic with an empty token", rules(TopicRule{"/a/", "x..y"}), "listener.topicsMap[/a/]: the topic is a part of a NATS subject"},
		{"topic that ends with a dot", rules(TopicRule{"a", "x."}), "listener.topicsMap[a]: the topic is a part of a NATS subject"},

		{"no host", func(c *Config) { c.Database.Host = "" }, "database.host: is required"},
		{"socket", func(c *Config) { c.Database.Host = "/var/run/postgresql" }, ""},
		{"host is a URL", func(c *Config) { c.Database.Host = "postgres://u:hunter2@h/d" }, "database.host: must be a host, not a URL"},
		{"port 0", func(c *Config) { c.Database.Port = 0 }, "database.port: must be a port from 1 to 65535"},
		{"no database", func(c *Config) { c.Database.Name = "" }, "database.name: is required"},
		{"no user", func(c *Config) { c.Database.User = "" }, "database.user: is required"},
		{"sslMode prefer", func(c *Config) { c.Database.SSLMode = "prefer" }, "database.sslMode: is none of disable, require, verify-ca, verify-full"},
		{"sslMode misspelt", func(c *Config) { c.Database.SSLMode = "verify_full" }, `database.sslMode: is none of disable, require, verify-ca, verify-full; did you mean "verify-full"?`},
		{"TLS on and off", func(c *Config) { c.Database.SSLMode, c.Database.EnableTLS = "disable", true }, "database.sslMode: is disable, but"},
		{"authorities and no TLS", func(c *Config) { c.Database.SSLMode, c.Database.SSL.CACert = "disable", "ca" }, "database.sslMode: is disable, but"},
		{"authorities without verifying", func(c *Config) { c.Database.SSLMode, c.Database.SSL.CACert = "require", "ca" }, "database.ssl.caCert: has no effect with sslMode require"},
		{"authorities and skipVerify", func(c *Config) { c.Database.SSL = SSL{SkipVerify: true, CACert: "ca"} }, "database.ssl.caCert: has no effect with skipVerify"},
		{"verify and skipVerify", func(c *Config) { c.Database.SSLMode, c.Database.SSL.SkipVerify = "verify-ca", true }, "database.ssl.skipVerify: contradicts sslMode"},
		{"require and skipVerify", func(c *Config) { c.Database.SSLMode, c.Database.SSL.SkipVerify = "require", true }, ""},

		{"no type", func(c *Config) { c.Publisher.Type = "" }, "publisher.type: is required"},
		{"type misspelt", func(c *Config) { c.Publisher.Type = "rabbit" }, `publisher.type: is none of nats, kafka, rabbitmq, google_pubsub, stdout, file, discard; did you mean "rabbitmq"?`},
		{"type without its vendor", func(c *Config) { c.Publisher.Type = "pubsub" }, `publisher.type: is none of nats, kafka, rabbitmq, google_pubsub, stdout, file, discard; did you mean "google_pubsub"?`},
		{"no topic", func(c *Config) { c.Publisher.Topic = "" }, "publisher.topic: is required"},
		{"stdout alone", func(c *Config) { c.Publisher = only("stdout") }, ""},
		{"discard alone", func(c *Config) { c.Publisher = only("discard") }, ""},
		{"kafka", func(c *Config) { c.Publisher.Type = "kafka" }, ""},
		{"kafka topic with dots", func(c *Config) { c.Publisher.Type, c.Publisher.Topic = "kafka", "a.b" }, ""},
		{"kafka without address", func(c *Config) { c.Publisher.Type, c.Publisher.Address = "kafka", nil }, "publisher.address: is required for type kafka"},
		{"rabbitmq without address", func(c *Config) { c.Publisher.Type, c.Publisher.Address = "rabbitmq", nil }, "publisher.address: is required for type rabbitmq"},
		{"pubsub without project", func(c *Config) { c.Publisher.Type, c.Publisher.Address = "google_pubsub", nil }, "publisher.pubSubProjectID: is required"},
		{"pubsub without address", func(c *Config) {
			c.Publisher.Type, c.Publisher.Address, c.Publisher.PubSubProjectID = "google_pubsub", nil, "p"
		}, ""},
		{"exchange kind", func(c *Config) { c.Publisher.ExchangeKind = "headers" }, "publisher.exchangeKind: is none of fanout, topic, direct"},
		{"oversize", func(c *Config) { c.Publisher.Oversize = "cut" }, "publisher.oversize: is none of stop, skip"},

		{"nats without a server", func(c *Config) { c.Publisher.Address = nil }, "publisher.address: is required for type nats; set it, or publisher.embedded"},
		{"nats embedded", func(c *Config) { embedded(c) }, ""},
		{"nats both", func(c *Config) { embedded(c); c.Publisher.Address = Addresses{"a"} }, "publisher.embedded: runs a server inside"},
		{"embedded in kafka", func(c *Config) { embedded(c); c.Publisher.Type, c.Publisher.Address = "kafka", Addresses{"a"} }, "publisher.embedded: works with type nats only"},
		{"embedded without a port", func(c *Config) { embedded(c).Listen = "localhost" }, "publisher.embedded.listen: must be host:port"},
		{"embedded port out of range", func(c *Config) { embedded(c).Listen = ":65536" }, "publisher.embedded.listen: must be host:port"},
		{"embedded without a folder", func(c *Config) { embedded(c).StoreDir = "" }, "publisher.embedded.storeDir: is required; set it in the file or as WAL_PUBLISHER_EMBEDDED_STOREDIR"},
		{"embedded with negative sync", func(c *Config) { embedded(c).SyncInterval = -1 }, "publisher.embedded.syncInterval: must not be negative"},
		{"embedded with TLS", func(c *Config) { embedded(c); c.Publisher.EnableTLS = true }, "publisher.enableTLS: has no effect with publisher.embedded"},

		{"stream with a dot", func(c *Config) { c.Publisher.Topic = "a.b" }, "publisher.topic: names a NATS stream"},
		{"stream with a blank", func(c *Config) { c.Publisher.Topic = "a b" }, "publisher.topic: names a NATS stream"},
		{"stream of the system", func(c *Config) { c.Publisher.Topic = "$JS" }, "publisher.topic: names a NATS stream"},
		{"prefix with dots", func(c *Config) { c.Publisher.TopicPrefix = "a.b." }, ""},
		{"prefix without dots", func(c *Config) { c.Publisher.TopicPrefix = "pre_" }, ""},
		{"prefix with a wildcard", func(c *Config) { c.Publisher.TopicPrefix = "a.*." }, "publisher.topicPrefix: is a part of a NATS subject"},
		{"prefix with an empty token", func(c *Config) { c.Publisher.TopicPrefix = ".a" }, "publisher.topicPrefix: is a part of a NATS subject"},

		{"TLS", func(c *Config) {
			p := &c.Publisher
			p.EnableTLS, p.ClientCert, p.ClientKey, p.CACert = true, "a", "b", "c"
		}, ""},
		{"certificate without its key", func(c *Config) { c.Publisher.EnableTLS, c.Publisher.ClientCert = true, "a" }, "publisher.clientKey: is required with clientCert"},
		{"key without its certificate", func(c *Config) { c.Publisher.EnableTLS, c.Publisher.ClientKey = true, "a" }, "publisher.clientCert: is required with clientKey"},
		{"authorities without TLS", func(c *Config) { c.Publisher.CACert = "a" }, "publisher.caCert: has no effect without TLS"},

		{"level", func(c *Config) { c.Logger.Level = "warning" }, `logger.level: is none of debug, info, warn, error; did you mean "warn"?`},
		{"format", func(c *Config) { c.Logger.Fmt = "xml" }, "logger.fmt: is none of json, text"},
		{"metrics without a port", func(c *Config) { c.Monitoring.PromAddr = "2112" }, "monitoring.promAddr: must be host:port"},
		{"metrics on a named port", func(c *Config) { c.Monitoring.PromAddr = ":http" }, "monitoring.promAddr: must be host:port"},
		{"page without a port", func(c *Config) { c.Monitoring.Address = "localhost" }, "monitoring.address: must be host:port"},
		{"page nowhere", func(c *Config) { c.Monitoring.Address = AddressOff }, ""},
		{"short token", func(c *Config) { c.Monitoring.Token = "short" }, "monitoring.token: must have at least 16 characters"},
		{"no series", func(c *Config) { c.Monitoring.MaxSeries = 0 }, "monitoring.maxSeries: must be at least 1"},
		{"traces to a URL with a token", func(c *Config) { c.Monitoring.Tracing.Endpoint = "http://collector:4318/?token=hunter2" }, "monitoring.tracing.endpoint: must be a URL"},
		{"traces to no URL", func(c *Config) { c.Monitoring.Tracing.Endpoint = "collector:4318" }, "monitoring.tracing.endpoint: must be a URL"},
		{"too many traces", func(c *Config) { c.Monitoring.Tracing.Ratio = 2 }, "monitoring.tracing.ratio: must be from 0 to 1"},
		{"metrics on IPv6", func(c *Config) { c.Monitoring.PromAddr = "[::1]:2112" }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.spoil(c)
			got := messages(t, c.Validate())
			if tt.want == "" {
				if len(got) > 0 {
					t.Errorf("got %q, want no problem", got)
				}
				return
			}
			if len(got) != 1 || !strings.HasPrefix(got[0], tt.want) {
				t.Errorf("got %q, want one problem that begins %q", got, tt.want)
			}
		})
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	var paths []string
	for _, p := range new(Config).check() {
		paths = append(paths, p.Path)
	}
	want := []string{
		"listener.slotName", "listener.heartbeatInterval", "listener.ackTimeout", "listener.drainTimeout", "listener.window",
		"listener.values.numeric", "listener.values.bytea", "database.host", "database.port", "database.name", "database.user",
		"publisher.type", "publisher.exchangeKind", "publisher.oversize", "publisher.envelope", "publisher.cloudEvents",
		"publisher.bodyCompression", "publisher.kafka.sasl", "publisher.kafka.compression", "publisher.pubsub.maxBatchMessages",
		"publisher.pubsub.maxBatchBytes", "publisher.nats.replicas", "publisher.nats.storage", "notifier.parking.store", "logger.level", "logger.fmt",
		"monitoring.address", "monitoring.maxSeries",
	}
	if !slices.Equal(paths, want) {
		t.Errorf("got  %q\nwant %q", paths, want)
	}
}

// only is a publisher of a type that needs no more than its name.
func only(kind string) Publisher {
	p := defaultPublisher()
	p.Type = kind
	return p
}

func TestOutputsAreTheListOrTheOne(t *testing.T) {
	c := valid()
	if outs := c.Outputs(); len(outs) != 1 || outs[0].Name != c.Publisher.Type || outs[0].Section != "publisher" {
		t.Errorf("one publisher makes the outputs %+v", outs)
	}
	c.Publishers = Publishers{only("discard"), only("stdout")}
	c.Publishers[1].Name = "second"
	outs := c.Outputs()
	if len(outs) != 2 || outs[0].Name != "discard" || outs[1].Name != "second" || outs[1].Section != "publishers[1]" {
		t.Errorf("two publishers make the outputs %+v", outs)
	}
}

func TestOwnTopicRulesTakeThePlaceOfTheListeners(t *testing.T) {
	l := Listener{TopicsMap: TopicsMap{{"a", "b"}}, FallbackTopic: "rest"}
	p := only("discard")
	if got := p.TopicRules(&l); len(got.Map) != 1 || got.Fallback != "rest" {
		t.Errorf("without rules of its own an output has %+v", got)
	}
	p.TopicTemplate = "{{.Table}}"
	if got := p.TopicRules(&l); len(got.Map) != 0 || got.Fallback != "" || got.Template != "{{.Table}}" {
		t.Errorf("with rules of its own an output has %+v", got)
	}
}
