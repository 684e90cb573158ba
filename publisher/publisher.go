// Package publisher holds what walherald knows of a change once PostgreSQL is
// behind it, and the contract of everything a change can be delivered to.
//
// An [Event] describes one committed change without a word of the replication
// protocol. An envelope (package format) turns it into the bytes of a
// [Message]. A [Deliverer] takes messages in commit order, in batches, and
// answers only when the whole batch is safe at its destination. Each kind of
// broker is one folder below this one; all of them pass the same conformance
// suite (package publishertest).
package publisher

import (
	"bytes"
	"context"
	"errors"
)

// Message is one event ready to be sent. Its slices are views into the batch
// they came with: they are valid until Deliver returns and must not be kept or
// written to.
type Message struct {
	// ID is the event's identity, equal on every redelivery.
	ID ID
	// Writer names what the ids are ordered within: of two messages of one
	// writer the one with the smaller ID came first. It changes when the log is
	// no longer the same one (another server, another timeline, another slot).
	Writer string
	// Topic is where the message goes: a NATS subject, a Kafka or Pub/Sub
	// topic, an AMQP routing key.
	Topic string
	// Table is the qualified table name, "schema.table", for errors and metrics;
	// of a logical message "message." and its prefix, or "message.*".
	Table string
	// Action says what happened to the row or table.
	Action Action
	// Key is the row's key: messages of one topic with equal keys are never
	// reordered. Empty for tables without a key.
	Key []byte
	// Body is the encoded envelope.
	Body []byte
	// CommitTime is when the transaction committed, in microseconds since the
	// Unix epoch, by the database server's clock; of a logical message outside of
	// a transaction when it was sent.
	CommitTime int64
}

// A Deliverer hands batches to one destination.
type Deliverer interface {
	// Deliver returns nil only once every message of the batch is durably
	// accepted. It has one caller at a time, which calls in commit order. After
	// an error the same batch is delivered again, so a message can be delivered
	// twice; ids are stable. An error that trying again cannot mend satisfies
	// [IsPermanent]. A cancelled ctx is an error, never a delivery. An empty
	// batch asks only whether the destination could take one now.
	Deliver(ctx context.Context, batch []Message) error
	// Close gives up the destination's connections. It is called once, after
	// the last Deliver has returned.
	Close() error
}

// permanentError marks an error that trying again cannot mend.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent wraps err so that [IsPermanent] holds for it. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// keyError names a message by its key.
type keyError struct {
	key []byte
	err error
}

func (e *keyError) Error() string      { return e.err.Error() }
func (e *keyError) Unwrap() error      { return e.err }
func (e *keyError) MessageKey() []byte { return e.key }

// NamingKey wraps an error whose text quotes (%q) a message's key, for which the log
// is the place: the key is data of a row, and leaves the text of what is sent
// elsewhere ([metrics.NewSentryHandler]).
func NamingKey(key []byte, err error) error { return &keyError{bytes.Clone(key), err} }

// IsPermanent reports whether trying again cannot mend err: a message the
// destination will never take, a right that is missing, a name it refuses.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}
