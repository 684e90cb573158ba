package config

import "time"

// Default returns the configuration before the file and the environment are
// read. It is not valid by itself: it names no source and no destination.
func Default() Config {
	return Config{
		Listener: Listener{
			HeartbeatInterval: 10 * time.Second,
			AckTimeout:        30 * time.Second,
			DrainTimeout:      10 * time.Second,
			Window:            16 << 20,
			SlotMemory:        true,
			Schema:            "walherald",
			Values:            Values{Numeric: NumericNumber, Bytea: ByteaHex},
		},
		Database:  Database{Port: 5432},
		Publisher: defaultPublisher(),
		Logger:    Logger{Level: "info", Fmt: "json"},
	}
}

// defaultPublisher is what each publisher begins with.
func defaultPublisher() Publisher {
	return Publisher{
		Envelope: EnvelopeWalherald, CloudEvents: CloudEventsStructured, BodyCompression: CompressionNone,
		Oversize: OversizeStop, ExchangeKind: "topic", EnableOrdering: true,
		NATS:   NATS{Replicas: 1, Storage: StorageFile},
		Kafka:  Kafka{SASL: SASLNone, Compression: CompressionNone},
		PubSub: PubSub{MaxBatchMessages: maxPubSubMessages, MaxBatchBytes: 9 << 20},
	}
}

// setDefaults is called when a key of the section is first met; a section that
// is not there stays nil.
func (e *Embedded) setDefaults() { e.SyncInterval = time.Second }
