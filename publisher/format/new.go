package format

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/walherald/walherald/publisher"
)

// The envelopes, by the names they have in a configuration.
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

// What bodies are compressed with.
const (
	CompressionNone = "none"
	CompressionGzip = "gzip" // RFC 1952
	CompressionZstd = "zstd" // RFC 8878
)

// Options say what bodies look like. The zero value is the default envelope, not
// compressed, of a source without names.
type Options struct {
	// Envelope is one of the Envelope constants; empty means EnvelopeWalherald.
	Envelope string
	// CloudEvents is CloudEventsStructured or CloudEventsBinary; empty means the
	// former. CloudEventsBinary needs EnvelopeCloudEvents.
	CloudEvents string
	// Compression is one of the Compression constants; empty means CompressionNone.
	Compression string
	// Source is where the changes are read from.
	Source Source
}

// Source names what changes are read from, for the envelopes that tell.
type Source struct {
	// Host is the database server as the configuration calls it.
	Host string
	// Database is the name of the database.
	Database string
	// Slot is the name of the replication slot.
	Slot string
}

// New makes the envelope that o asks for, and says what its bodies are where they
// go. It is an error if a name is not known or does not fit another.
func New(o Options) (Envelope, publisher.Content, error) {
	e, c, err := plainEnvelope(o)
	if err != nil {
		return nil, publisher.Content{}, fmt.Errorf("make envelope: %w", err)
	}
	switch o.Compression {
	case "", CompressionNone:
		return e, c, nil
	case CompressionGzip:
		e = compressed{e, o.Compression, newGzip()}
	case CompressionZstd:
		e = compressed{e, o.Compression, newZstd()}
	default:
		err := unknown("compression", o.Compression, CompressionNone, CompressionGzip, CompressionZstd)
		return nil, publisher.Content{}, fmt.Errorf("make envelope: %w", err)
	}
	c.Encoding = o.Compression
	return e, c, nil
}

// Same reports whether two envelopes make equal bodies of equal events. It may say
// no where they do.
func Same(a, b Envelope) bool {
	x, compressedA := a.(compressed)
	y, compressedB := b.(compressed)
	switch {
	case compressedA && compressedB:
		return x.encoding == y.encoding && Same(x.Envelope, y.Envelope)
	case compressedA || compressedB, a == nil || b == nil, !reflect.TypeOf(a).Comparable():
		return false
	}
	return a == b
}

// plainEnvelope makes the envelope without compression.
func plainEnvelope(o Options) (Envelope, publisher.Content, error) {
	c := publisher.Content{Type: "application/json"}
	if err := checkMode(o); err != nil {
		return nil, c, err
	}
	switch o.Envelope {
	case "", EnvelopeWalherald:
		return Walherald{o.Source}, c, nil
	case EnvelopeWalListener:
		return WalListener{}, c, nil
	case EnvelopePGEvents:
		return PGEvents{}, c, nil
	case EnvelopePSQLStreamer:
		return PSQLStreamer{o.Source}, c, nil
	case EnvelopeSetu:
		return Setu{}, c, nil
	case EnvelopeDebezium:
		return Debezium{o.Source}, c, nil
	case EnvelopeCloudEvents:
		if o.CloudEvents == CloudEventsBinary {
			c.CloudEvents = &publisher.CloudEvents{Source: cloudEventsSource(o.Source), TypePrefix: cloudEventsTypes}
			return Walherald{o.Source}, c, nil
		}
		c.Type = "application/cloudevents+json"
		return CloudEvents{o.Source}, c, nil
	}
	return nil, c, unknown("envelope", o.Envelope, EnvelopeWalherald, EnvelopeWalListener, EnvelopePGEvents,
		EnvelopePSQLStreamer, EnvelopeSetu, EnvelopeCloudEvents, EnvelopeDebezium)
}

// checkMode checks that the mode of CloudEvents is one, and has an envelope to be
// the mode of.
func checkMode(o Options) error {
	switch o.CloudEvents {
	case "", CloudEventsStructured:
		return nil
	case CloudEventsBinary:
		if o.Envelope != EnvelopeCloudEvents {
			return fmt.Errorf("the mode %s of CloudEvents needs the envelope %s", CloudEventsBinary, EnvelopeCloudEvents)
		}
		return nil
	}
	return unknown("mode of CloudEvents", o.CloudEvents, CloudEventsStructured, CloudEventsBinary)
}

// unknown returns the error for a name that is none of known.
func unknown(what, name string, known ...string) error {
	return fmt.Errorf("the %s %q is none of %s", what, name, strings.Join(known, ", "))
}
