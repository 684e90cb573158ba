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
		Notifier: Notifier{
			Window:  8 << 20,
			Parking: Parking{Store: StoreTable, Schedule: defaultSchedule()},
		},
		Logger:     Logger{Level: "info", Fmt: "json"},
		Monitoring: Monitoring{Address: DefaultAddress, MaxSeries: 1000, Tracing: Tracing{Ratio: 1}},
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

// defaultSchedule is the example of Standard Webhooks 1.0, "Operational
// considerations", without its first attempt, which is made in line.
func defaultSchedule() []time.Duration {
	return []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour}
}

// defaultDestination is what each destination begins with.
func defaultDestination() Destination {
	return Destination{
		Method: "POST", Envelope: EnvelopeWalherald, CloudEvents: CloudEventsStructured,
		Timeout: 10 * time.Second, Concurrency: 8, Order: OrderKey, Batch: 1,
		MaxAttempts: 3, Backoff: []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}, TimeBudget: 30 * time.Second,
		OnFailure: OnFailurePark, Circuit: Circuit{Failures: 5, OpenFor: 30 * time.Second},
	}
}

// setDefaults is called when a key of the section is first met; a section that
// is not there stays nil.
func (e *Embedded) setDefaults() { e.SyncInterval = time.Second }
