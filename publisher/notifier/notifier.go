// Package notifier delivers changes that rules select to webhooks and to people,
// under the same position as the brokers.
//
// A [Selector] belongs to the reader: it decides, by the rules, which events go to one
// destination, and frames them with what the rules said. A [Destination] belongs to
// the output of that destination: it takes batches of frames and returns from Deliver
// once each notification of a batch has come to an end, which is one of these:
//
//   - The [Sender] sent it and the other side accepted it.
//   - It was given up (attempts or time are used up, the answer was a refusal, the
//     circuit is open, its turn did not come) and the [Store] has it durably, to be
//     tried again by Run or by hand; or it was dropped, if that is configured.
//   - A later one of its key took its place, if the destination coalesces.
//
// Otherwise Deliver fails, nothing is confirmed, and the batch comes again: what came
// to an end is not repeated as long as the process lives. After a crash it is, with
// equal ids. The notifications of a row follow each other; a parked one comes after
// newer ones. What kind of request a notification becomes is the affair of the folders
// below this one (webhook, slack, telegram), as is where it is parked (parking).
package notifier

import (
	"context"
	"errors"
	"time"

	"github.com/walherald/walherald/publisher"
)

// Delivery is one notification: one event for one destination. Its slices must
// not be written to.
type Delivery struct {
	// ID is the event's identity, equal on every redelivery.
	ID publisher.ID
	// Rule is the name of the rule that selected the event, the first one if
	// several did.
	Rule string
	// Topic is the table's part of the topic, Table the qualified name.
	Topic, Table string
	Action       publisher.Action
	// Key is the row's key; empty for tables without one.
	Key []byte
	// CommitTime is in microseconds since the Unix epoch.
	CommitTime int64
	// Payload is the event in the destination's envelope: walherald's own for Slack,
	// Telegram and whatever has a template.
	Payload []byte
}

// A Sender makes requests to one destination. It is safe for concurrent use.
type Sender interface {
	// Send sends deliveries in one request: one of them, or as many as the
	// destination takes at once. Nil means that the destination has accepted all
	// of them. An error that satisfies [publisher.IsPermanent] will be the same
	// next time, and one that satisfies [IsUnsent] too if nothing was sent because of
	// the event; [RetryAfter] tells when another may be mended. No error holds a
	// secret or data of a row. Send does not try again by itself, heeds ctx, and uses
	// nothing of ds once it has returned.
	Send(ctx context.Context, ds []Delivery) error
	// Close gives up connections, once, after the last Send.
	Close() error
}

// delayedError is an error that is not mended before a time has passed.
type delayedError struct {
	err   error
	after time.Duration
}

func (e *delayedError) Error() string { return e.err.Error() }
func (e *delayedError) Unwrap() error { return e.err }

// Delayed wraps err, which the destination asks not to be tried again for as long
// as after. Delayed(nil, …) is nil.
func Delayed(err error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &delayedError{err, after}
}

// RetryAfter returns how long the destination wants not to be called, 0 if it did
// not say.
func RetryAfter(err error) time.Duration {
	var d *delayedError
	if errors.As(err, &d) {
		return d.after
	}
	return 0
}

// notTriedError is the error of an attempt that was not made.
type notTriedError struct{ err error }

func (e *notTriedError) Error() string { return e.err.Error() }
func (e *notTriedError) Unwrap() error { return e.err }

// NotTried wraps why no attempt was made, which is no failure of the delivery.
func NotTried(err error) error { return &notTriedError{err} }

// IsNotTried reports whether err says that no attempt was made.
func IsNotTried(err error) bool {
	var n *notTriedError
	return errors.As(err, &n)
}

// unsentError is the error of a delivery of which no request can be made.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// Unsent wraps why no request can be made of a delivery, such as a mistake of a
// template, which says nothing of the destination. Unsent(nil) is nil.
func Unsent(err error) error {
	if err == nil {
		return nil
	}
	return &unsentError{err}
}

// IsUnsent reports whether err says that no request can be made.
func IsUnsent(err error) bool {
	var u *unsentError
	return errors.As(err, &u)
}

// Parked is a delivery that was given up in line.
type Parked struct {
	Delivery
	// Destination is the name of the destination.
	Destination string
	// Attempts is how often it was tried since it was parked.
	Attempts int
	// Reason is why the last attempt failed.
	Reason string
	// Manual leaves the next attempt to somebody: whether it is to be delivered at all
	// could not be told.
	Manual bool
	// ParkedAt is when it was parked; Next when it is tried again, zero if that is
	// left to somebody.
	ParkedAt, Next time.Time
}

// Share is a part of a destination's deliveries: those of one key are in the same
// one. The zero Share is all of them.
type Share struct {
	// Part counts from 0 to Of-1.
	Part, Of int
}

// A Store keeps parked deliveries. It is safe for concurrent use.
type Store interface {
	// Park returns nil only once every delivery is durable. One that is there
	// already, by destination and id, is left as it is.
	Park(ctx context.Context, ds []Parked) error
	// Due hands the share's deliveries that are due, at most limit of them and in the
	// order of their ids, to try, and keeps others from trying the same ones meanwhile.
	// Those that try returns nil for are removed; for the others it notes the error
	// and when they are due again, unless the error satisfies [IsNotTried]: then they
	// stay as they were. It returns how many were tried, and an error only if the store
	// failed.
	Due(ctx context.Context, destination string, s Share, limit int, try func(ctx context.Context, p Parked) error) (int, error)
}
