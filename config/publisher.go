package config

import (
	"strconv"
	"time"
)

// The publisher types a configuration can name.
const (
	PublisherNATS     = "nats"
	PublisherKafka    = "kafka"
	PublisherRabbitMQ = "rabbitmq"
	PublisherPubSub   = "google_pubsub"
	PublisherStdout   = "stdout"
	PublisherFile     = "file"
	PublisherDiscard  = "discard"
)

// Publisher says where changes go, which ones, and what they look like there.
type Publisher struct {
	// Name is the output's name in logs, metrics and /ready; empty means Type.
	Name string `yaml:"name"`
	// Type is one of the Publisher constants; Load writes it in lower case, as
	// every value here that is one of a fixed set.
	Type string `yaml:"type"`
	// Address lists the brokers. In YAML: a list, or one string with commas.
	Address Addresses `yaml:"address"`
	// User and Password are the credentials at the brokers; with RabbitMQ and NATS
	// they can stand in the address too.
	User     string `yaml:"user"`
	Password Secret `yaml:"password"`
	// Topic is the first part of every topic; for NATS also the stream, for
	// RabbitMQ the exchange.
	Topic string `yaml:"topic"`
	// TopicPrefix comes between Topic and the table's part.
	TopicPrefix string `yaml:"topicPrefix"`
	// MissingTopic says what to do where a topic (stream, exchange) does not
	// exist: one of the MissingTopic constants, or empty; see TopicPolicy.
	MissingTopic string `yaml:"missingTopic"`
	// Filter is an allow list of this output alone, within what the listener lets
	// pass: once it names a table, all others are not sent here.
	Filter TableActions `yaml:"filter"`
	// TopicsMap, TopicTemplate, FallbackTopic and DiscardUnmatched are those of
	// Listener. If one of them is set, they take the place of all four there.
	TopicsMap        TopicsMap `yaml:"topicsMap"`
	TopicTemplate    string    `yaml:"topicTemplate"`
	FallbackTopic    string    `yaml:"fallbackTopic"`
	DiscardUnmatched bool      `yaml:"discardUnmatched"`
	// MessageKeyFrom names the columns whose values are the message key of the
	// tables that have them all.
	MessageKeyFrom []string `yaml:"messageKeyFrom"`
	// Envelope is one of the Envelope constants.
	Envelope string `yaml:"envelope"`
	// CloudEvents is CloudEventsStructured or CloudEventsBinary.
	CloudEvents string `yaml:"cloudEvents"`
	// BodyCompression is CompressionNone, CompressionGzip or CompressionZstd.
	BodyCompression string `yaml:"bodyCompression"`
	// Oversize says what happens to a message that is larger than the broker
	// takes: OversizeStop or OversizeSkip.
	Oversize string `yaml:"oversize"`
	// EnableTLS speaks TLS to the brokers. The keys below refine it and are an
	// error without it. All four also answer to enable_tls, client_cert,
	// client_key and ca_cert.
	EnableTLS bool `yaml:"enableTLS" alias:"enable_tls"`
	// ClientCert and ClientKey are PEM files and go together.
	ClientCert string `yaml:"clientCert" alias:"client_cert"`
	ClientKey  string `yaml:"clientKey" alias:"client_key"`
	// CACert is a PEM file with the authorities to trust instead of the system's.
	CACert string `yaml:"caCert" alias:"ca_cert"`
	// ExchangeKind is fanout, topic or direct (RabbitMQ).
	ExchangeKind string `yaml:"exchangeKind"`
	// PubSubProjectID is the Google Cloud project (Pub/Sub).
	PubSubProjectID string `yaml:"pubSubProjectID" alias:"pubsub_project_id"`
	// EnableOrdering publishes with ordering keys (Pub/Sub).
	EnableOrdering bool `yaml:"enableOrdering"`
	// Path is the file to append to (type file).
	Path string `yaml:"path"`
	// Pretty writes events indented, for people (type stdout).
	Pretty bool   `yaml:"pretty"`
	NATS   NATS   `yaml:"nats"`
	Kafka  Kafka  `yaml:"kafka"`
	PubSub PubSub `yaml:"pubsub"`
	// Embedded runs a JetStream server inside walherald (type nats).
	Embedded *Embedded `yaml:"embedded"`
}

// Publishers is a list of outputs, side by side.
type Publishers []Publisher

// What can happen to a message that is too large for its broker.
const (
	OversizeStop = "stop"
	OversizeSkip = "skip"
)

// What can happen where a topic is missing: it is made, waited for, or the end.
const (
	MissingTopicCreate = "create"
	MissingTopicWait   = "wait"
	MissingTopicStop   = "stop"
)

// TopicPolicy returns the MissingTopic constant that holds: create for NATS and
// RabbitMQ, wait for Kafka and Pub/Sub, where topics are as a rule made by
// somebody who decides how many partitions and which rights they have.
func (p *Publisher) TopicPolicy() string {
	switch {
	case p.MissingTopic != "":
		return p.MissingTopic
	case p.Type == PublisherKafka, p.Type == PublisherPubSub:
		return MissingTopicWait
	}
	return MissingTopicCreate
}

// The envelopes, described in docs/envelopes.md.
const (
	EnvelopeWalherald    = "walherald"
	EnvelopeWalListener  = "wal-listener"
	EnvelopePGEvents     = "pgevents"
	EnvelopePSQLStreamer = "psql-streamer"
	EnvelopeSetu         = "setu"
	EnvelopeCloudEvents  = "cloudevents"
	EnvelopeDebezium     = "debezium"
)

// Where the attributes of CloudEvents stand: in the body, or beside it.
const (
	CloudEventsStructured = "structured"
	CloudEventsBinary     = "binary"
)

// The compressions. Bodies know the first three, batches of Kafka all.
const (
	CompressionNone   = "none"
	CompressionGzip   = "gzip"
	CompressionZstd   = "zstd"
	CompressionSnappy = "snappy"
	CompressionLZ4    = "lz4"
)

// NATS refines type nats: credentials of its kinds, and what the stream is made
// with where it does not exist. A stream that exists is never altered.
type NATS struct {
	// Token is the server's authorization token.
	Token Secret `yaml:"token"`
	// CredsFile holds a user's JWT and seed, as "nsc generate creds" writes it.
	CredsFile string `yaml:"credsFile"`
	// NkeyFile holds an nkey seed.
	NkeyFile string `yaml:"nkeyFile"`
	// Replicas is how many servers keep the stream, 1 to 5.
	Replicas int `yaml:"replicas"`
	// Storage is StorageFile or StorageMemory.
	Storage string `yaml:"storage"`
	// MaxAge is how long the stream keeps a message; 0 means for ever.
	MaxAge time.Duration `yaml:"maxAge"`
	// DuplicateWindow is how long the stream remembers message ids; 0 means the
	// server's default of two minutes.
	DuplicateWindow time.Duration `yaml:"duplicateWindow"`
}

// Where a stream is kept.
const (
	StorageFile   = "file"
	StorageMemory = "memory"
)

// Kafka refines type kafka.
type Kafka struct {
	// SASL is the mechanism that User and Password are used with: one of the SASL
	// constants.
	SASL string `yaml:"sasl"`
	// Compression of record batches is one of the Compression constants.
	Compression string `yaml:"compression"`
	// Partitions and ReplicationFactor are of topics that are made; 0 means the
	// broker's defaults.
	Partitions        int `yaml:"partitions"`
	ReplicationFactor int `yaml:"replicationFactor"`
}

// The ways to show credentials to Kafka (RFC 4616, RFC 5802, RFC 7677).
const (
	SASLNone        = "none"
	SASLPlain       = "plain"
	SASLScramSHA256 = "scram-sha-256"
	SASLScramSHA512 = "scram-sha-512"
)

// PubSub refines type google_pubsub.
type PubSub struct {
	// CredentialsFile is a service account's JSON file; empty means the
	// environment's credentials.
	CredentialsFile string `yaml:"credentialsFile"`
	// Endpoint is a regional endpoint, host:port; empty means the global one, or
	// the emulator that PUBSUB_EMULATOR_HOST names.
	Endpoint string `yaml:"endpoint"`
	// MaxBatchMessages and MaxBatchBytes bound one request; Pub/Sub takes 1000
	// messages and 10 MB.
	MaxBatchMessages int      `yaml:"maxBatchMessages"`
	MaxBatchBytes    ByteSize `yaml:"maxBatchBytes"`
}

// Embedded is a JetStream server inside walherald: no broker is needed.
type Embedded struct {
	// Listen is the address clients connect to, host:port. Port 0 means any.
	Listen string `yaml:"listen"`
	// StoreDir is the folder the streams are kept in.
	StoreDir string `yaml:"storeDir"`
	// SyncInterval is how often the store is forced to disk, which is what a
	// power loss can take from it; 0 means before every confirmation. The death
	// of the process alone takes nothing.
	SyncInterval time.Duration `yaml:"syncInterval"`
}

// TopicRules decide the tables' part of topics.
type TopicRules struct {
	Map              TopicsMap
	Template         string
	Fallback         string
	DiscardUnmatched bool
}

func (r *TopicRules) any() bool {
	return len(r.Map) > 0 || r.Template != "" || r.Fallback != "" || r.DiscardUnmatched
}

// TopicRules returns the rules of the listener.
func (l *Listener) TopicRules() TopicRules {
	return TopicRules{l.TopicsMap, l.TopicTemplate, l.FallbackTopic, l.DiscardUnmatched}
}

// TopicRules returns the rules that hold for p: its own if it has any, else
// those of the listener.
func (p *Publisher) TopicRules(l *Listener) TopicRules {
	if own := (TopicRules{p.TopicsMap, p.TopicTemplate, p.FallbackTopic, p.DiscardUnmatched}); own.any() {
		return own
	}
	return l.TopicRules()
}

// Output is a publisher of the configuration and where it stands there.
type Output struct {
	Publisher
	// Section is the path of its section: publisher, or publishers[0].
	Section string
}

// Outputs returns the publishers of the configuration, with their names filled
// in: those of Publishers or, without any, Publisher, unless that is empty and
// there are destinations of the notifier to send to.
func (c *Config) Outputs() []Output {
	outs := make([]Output, 0, max(1, len(c.Publishers)))
	for i, p := range c.Publishers {
		outs = append(outs, Output{p, entry("publishers", strconv.Itoa(i))})
	}
	if len(outs) == 0 && !c.leavesPublisherOut() {
		outs = append(outs, Output{c.Publisher, "publisher"})
	}
	for i := range outs {
		if outs[i].Name == "" {
			outs[i].Name = outs[i].Type
		}
	}
	return outs
}

// leavesPublisherOut reports whether rules take the place of Publisher.
func (c *Config) leavesPublisherOut() bool {
	return c.Publisher.Type == "" && len(c.Publishers) == 0 && len(c.Notifier.Rules) > 0
}
