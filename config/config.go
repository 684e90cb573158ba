// Package config is walherald's configuration: the whole YAML schema, how it is
// read and what it must satisfy.
//
// A configuration is read strictly: a key that does not exist is an error that
// names its line and the nearest key that does. Defaults come first, then the
// file, then the environment (WAL_<SECTION>_<KEY>), then [Config.Validate],
// which reports every problem at once, each with its path. A file written for
// wal-listener loads unchanged, and so does setu's activation.yaml, which
// [ConvertActivation] turns into a configuration.
//
// In secrets, in the database section and in the notifier's destinations ${name}
// stands for what a file of secrets or the environment says: see [Secrets].
//
// Messages about a configuration name keys, lines and variables, never values,
// so that a password that landed in the wrong place is not printed. Values that
// are secrets have the type [Secret].
//
// The package imports no other of walherald's. A room gets its own section,
// never the whole. Two struct tags besides yaml's steer the reading: alias is
// another spelling of a key, env another variable that sets it.
package config

import "time"

// Config is a whole configuration file.
type Config struct {
	Listener  Listener  `yaml:"listener"`
	Database  Database  `yaml:"database"`
	Publisher Publisher `yaml:"publisher"`
	// Publishers takes the place of Publisher where there are several.
	Publishers Publishers `yaml:"publishers"`
	Notifier   Notifier   `yaml:"notifier"`
	Secrets    Secrets    `yaml:"secrets"`
	Logger     Logger     `yaml:"logger"`
	Monitoring Monitoring `yaml:"monitoring"`
	// Tags stand on every event.
	Tags map[string]string `yaml:"tags"`

	warnings []string
}

// Warnings lists what [Load] noticed that is probably a mistake but cannot be
// told from chance, such as a WAL_ variable that sets no key. It holds no
// values, so it can be logged.
func (c *Config) Warnings() []string { return c.warnings }

// Listener says what is read from the log and which changes count.
type Listener struct {
	// SlotName is the replication slot; it is created if it does not exist.
	SlotName string `yaml:"slotName"`
	// Failover makes the slot one that standbys keep a copy of, so that it is
	// there after a failover (PostgreSQL 17 and newer).
	Failover bool `yaml:"failover"`
	// SlotMemory keeps in the database how far the slot has been read, so that
	// one that is gone, made anew or moved is told from a first start.
	SlotMemory bool `yaml:"slotMemory"`
	// Schema is walherald's own schema, where SlotMemory is kept.
	Schema string `yaml:"schema"`
	// Publication is the publication the slot reads; it is created if it does
	// not exist.
	Publication Publication `yaml:"publication"`
	// ServerPort serves /healthz and /ready; 0 means no probes.
	ServerPort int `yaml:"serverPort"`
	// RefreshConnection is accepted for wal-listener's sake and has no effect:
	// a lost connection is noticed and replaced at once.
	RefreshConnection time.Duration `yaml:"refreshConnection"`
	// HeartbeatInterval is how often the server is told the position at the
	// least, whatever the outputs do.
	HeartbeatInterval time.Duration `yaml:"heartbeatInterval"`
	// AckTimeout bounds one attempt to deliver a batch.
	AckTimeout time.Duration `yaml:"ackTimeout"`
	// DrainTimeout bounds how long a stop waits for what is in flight.
	DrainTimeout time.Duration `yaml:"drainTimeout"`
	// Window bounds the encoded changes that are held in memory.
	Window ByteSize `yaml:"window"`
	// Filter is an allow list: once it names a table, all others are dropped.
	Filter TableActions `yaml:"filter"`
	// Include narrows the actions of the tables it names; others pass.
	Include TableActions `yaml:"include"`
	// Exclude drops schemas, tables and columns.
	Exclude Exclude `yaml:"exclude"`
	// TopicsMap names the topics of tables; the first rule that matches counts.
	TopicsMap TopicsMap `yaml:"topicsMap"`
	// SkipTransactionBuffering is accepted for wal-listener's sake: walherald
	// never buffers a transaction.
	SkipTransactionBuffering bool `yaml:"skipTransactionBuffering"`
	// MaxTransactionSize drops, counts and logs the changes of a transaction
	// past this number; 0 means no limit.
	MaxTransactionSize int `yaml:"maxTransactionSize"`
	// DropForeignOrigin asks the server for changes without an origin only
	// (PostgreSQL 16 and newer).
	DropForeignOrigin bool `yaml:"dropForeignOrigin"`
	// Messages lists the prefixes of the logical messages that become events
	// (PostgreSQL 14 and newer); AnyPrefix stands for every one.
	Messages []string `yaml:"messages"`
	// Values says how values of some types are written.
	Values Values `yaml:"values"`
	// Mask hides the values of columns.
	Mask Masks `yaml:"mask"`
	// MaskKey is the key of the hashes of Mask.
	MaskKey Secret `yaml:"maskKey"`
	// TopicTemplate makes the table's part of the topic where no rule of
	// TopicsMap matches (package text/template); empty means schema_table.
	TopicTemplate string `yaml:"topicTemplate"`
	// FallbackTopic is the topic of what no rule of TopicsMap matches.
	FallbackTopic string `yaml:"fallbackTopic"`
	// DiscardUnmatched drops, and counts, what no rule of TopicsMap matches.
	DiscardUnmatched bool `yaml:"discardUnmatched"`
	// SkipUnchangedUpdates drops, and counts, updates whose old row is in the log
	// and equals the new one.
	SkipUnchangedUpdates bool `yaml:"skipUnchangedUpdates"`
}

// AnyPrefix in Listener.Messages stands for every prefix.
const AnyPrefix = "*"

// Values says how values of some types are written.
type Values struct {
	// Numeric is NumericNumber or NumericString.
	Numeric string `yaml:"numeric"`
	// Bytea is ByteaHex or ByteaBase64.
	Bytea string `yaml:"bytea"`
}

// The ways to write values: numeric as a JSON number with all its digits or as
// a string, for consumers that read numbers as floats; bytea in PostgreSQL's
// own form (\x and hexadecimal digits) or in base64 (RFC 4648, section 4).
const (
	NumericNumber = "number"
	NumericString = "string"
	ByteaHex      = "hex"
	ByteaBase64   = "base64"
)

// Mask hides the values of a column; NULL stays NULL.
type Mask struct {
	// Table is "table" or "schema.table", or "*" for every table. Its case, and
	// that of Column, does not matter.
	Table  string `yaml:"table"`
	Column string `yaml:"column"`
	// With is one of the Mask constants.
	With string `yaml:"with"`
}

// What can stand in the place of a masked value: null; the HMAC-SHA256 of its
// text under Listener.MaskKey, in hexadecimal digits; or the text "***".
const (
	MaskNull   = "null"
	MaskHash   = "hash"
	MaskRedact = "redact"
)

// Masks is the list of masks; the first that names a column counts.
type Masks []Mask

// Publication names a publication and what it is made of where it has to be
// created. In YAML it is the name alone or a mapping.
type Publication struct {
	// Name of the publication. Empty means "walherald", or "wal-listener" where
	// only that one exists.
	Name string `yaml:"name" env:"WAL_LISTENER_PUBLICATION"`
	// Tables lists the tables it is created for, as "table" or "schema.table";
	// empty means all tables.
	Tables []string `yaml:"tables"`
	// ViaPartitionRoot publishes the changes of partitions as those of the table
	// they are part of (publish_via_partition_root).
	ViaPartitionRoot bool `yaml:"viaPartitionRoot"`
	// Alter lets a publication that exists be altered to Tables and
	// ViaPartitionRoot at start. Without it one that differs is only warned of.
	Alter bool `yaml:"alter"`
}

// TableActions maps table names ("table" or "schema.table", case kept) to
// actions: insert, update, delete, truncate. Load writes the actions in lower
// case and refuses a table without any.
type TableActions struct {
	Tables map[string][]string `yaml:"tables"`
}

// Exclude lists what never leaves: names are compared without regard to case.
type Exclude struct {
	Schemas []string `yaml:"schemas"`
	Tables  []string `yaml:"tables"`
	Columns []string `yaml:"columns"`
}

// TopicRule is one entry of TopicsMap.
type TopicRule struct {
	// Match is "schema_table", or a regular expression between slashes.
	Match string
	// Topic replaces the match; in it ${1} stands for a group of the expression.
	Topic string
}

// Expression returns the regular expression of the rule (package regexp's
// syntax) without its slashes; ok is false for a rule that is a plain name.
func (r TopicRule) Expression() (expr string, ok bool) {
	if len(r.Match) < 2 || r.Match[0] != '/' || r.Match[len(r.Match)-1] != '/' {
		return "", false
	}
	return r.Match[1 : len(r.Match)-1], true
}

// TopicsMap is a YAML mapping whose order counts.
type TopicsMap []TopicRule

// Database says how the source is reached.
type Database struct {
	// Host is a name, an address or the folder of a Unix socket.
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
	Name string `yaml:"name"`
	User string `yaml:"user"`
	// Password can be empty where the server asks for none.
	Password Secret `yaml:"password" env:"WAL_LISTENER_DB_PASSWORD"`
	SSL      SSL    `yaml:"ssl"`
	// EnableTLS asks for TLS with the server's certificate verified.
	EnableTLS bool `yaml:"enableTLS"`
	// SSLMode is one of the SSLMode constants or empty; see TLSMode.
	SSLMode string `yaml:"sslMode"`
	// Debug is accepted for wal-listener's sake; use logger.level.
	Debug bool `yaml:"debug"`
}

// What TLS towards the database demands, in the words of libpq's sslmode
// (PostgreSQL manual, "SSL Support"). The modes that fall back to plain text,
// allow and prefer, are left out on purpose.
const (
	SSLModeDisable    = "disable"
	SSLModeRequire    = "require"
	SSLModeVerifyCA   = "verify-ca"
	SSLModeVerifyFull = "verify-full"
)

// TLSMode returns the SSLMode constant that holds: SSLMode if it is given, else
// disable if neither EnableTLS nor a key of SSL is, else require if the
// certificate is not to be verified, else verify-full.
func (d Database) TLSMode() string {
	switch {
	case d.SSLMode != "":
		return d.SSLMode
	case !d.EnableTLS && d.SSL == SSL{}:
		return SSLModeDisable
	case d.SSL.SkipVerify:
		return SSLModeRequire
	}
	return SSLModeVerifyFull
}

// SSL refines TLS towards the database. A key set here turns TLS on.
type SSL struct {
	// ServerName is the name the certificate must carry instead of the host's.
	ServerName string `yaml:"serverName"`
	// SkipVerify accepts any certificate.
	SkipVerify bool `yaml:"skipVerify"`
	// CACert is a PEM file with the authorities to trust instead of the system's.
	CACert string `yaml:"caCert"`
}

// Logger says how walherald logs.
type Logger struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Fmt is json or text.
	Fmt string `yaml:"fmt"`
}

// Monitoring says where walherald is watched.
type Monitoring struct {
	// SentryDSN is where errors are reported; empty means nowhere.
	SentryDSN Secret `yaml:"sentryDSN"`
	// Environment is what Sentry and traces call this installation, such as
	// production.
	Environment string `yaml:"environment"`
	// PromAddr serves /metrics; empty means none.
	PromAddr string `yaml:"promAddr"`
	// Address serves the page and the HTTP API, probes and metrics among it; AddressOff
	// means nowhere. [DefaultAddress] gives way where it is taken.
	Address string `yaml:"address"`
	// Token is what a request to Address has to show that changes something or asks
	// for parked notifications; where it is empty there are no such requests.
	Token Secret `yaml:"token"`
	// Pprof serves /debug/pprof at Address (package net/http/pprof).
	Pprof bool `yaml:"pprof"`
	// MaxSeries bounds the tables, and the pairs of subject and table, that have a
	// series of their own in metrics; what comes later counts as "_other".
	MaxSeries int     `yaml:"maxSeries"`
	Tracing   Tracing `yaml:"tracing"`
}

const (
	// DefaultAddress is where the page is without a word about it: on loopback.
	DefaultAddress = "127.0.0.1:8084"
	// AddressOff in Monitoring.Address means nowhere.
	AddressOff = "off"
)

// Tracing says where OpenTelemetry traces go.
type Tracing struct {
	// Endpoint is the URL of a collector that takes OTLP over HTTP, such as
	// http://collector:4318; empty means no traces.
	Endpoint string `yaml:"endpoint"`
	// Ratio is the share of batches that are traced, 0 to 1.
	Ratio float64 `yaml:"ratio"`
}
