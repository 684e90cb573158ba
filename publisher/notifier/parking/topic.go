package parking

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// Topic is a Store in a topic of a broker. It keeps what the topic keeps, and
// tries nothing again by itself. It is safe for concurrent use.
type Topic struct {
	deliverer publisher.Deliverer
	topic     string
	now       func() time.Time
	turn      chan struct{} // a Deliverer has one caller at a time
}

var _ notifier.Store = (*Topic)(nil)

// NewTopic makes a Store of the topic, whose whole name is given. The deliverer
// must be for this Store alone and its bodies plain JSON; the caller closes it.
func NewTopic(d publisher.Deliverer, topic string) *Topic {
	return &Topic{deliverer: d, topic: topic, now: time.Now, turn: make(chan struct{}, 1)}
}

// Park implements notifier.Store: one message for each delivery, a JSON object
// that [ParseRecord] reads. After an error the same deliveries are to be parked
// again; the topic can then hold some of them twice.
func (t *Topic) Park(ctx context.Context, ds []notifier.Parked) error {
	if err := check(ds); err != nil {
		return err
	}
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, group := range byDestination(ds) {
		batch, err := t.messages(group)
		if err != nil {
			return err
		}
		if err := t.deliverer.Deliver(ctx, batch); err != nil {
			return fmt.Errorf("park deliveries in topic %s: %w", t.topic, err)
		}
	}
	return nil
}

// Due implements notifier.Store: nothing in a topic is ever due.
func (t *Topic) Due(context.Context, string, notifier.Share, int, func(context.Context, notifier.Parked) error) (int, error) {
	return 0, nil
}

// byDestination returns the deliveries of each destination, each once and in the
// order of their ids.
func byDestination(ds []notifier.Parked) [][]notifier.Parked {
	sorted := slices.Clone(ds)
	slices.SortStableFunc(sorted, func(a, b notifier.Parked) int {
		return cmp.Or(strings.Compare(a.Destination, b.Destination), a.ID.Compare(b.ID))
	})
	sorted = slices.CompactFunc(sorted, func(a, b notifier.Parked) bool { return a.Destination == b.Destination && a.ID == b.ID })
	var groups [][]notifier.Parked
	for len(sorted) > 0 {
		n := slices.IndexFunc(sorted, func(p notifier.Parked) bool { return p.Destination != sorted[0].Destination })
		if n < 0 {
			n = len(sorted)
		}
		groups, sorted = append(groups, sorted[:n]), sorted[n:]
	}
	return groups
}

// messages makes the messages of one destination's deliveries. Brokers leave out
// what is not after the last message of its writer, so each group of deliveries
// has a writer of its own, which is the same when the group is parked again.
func (t *Topic) messages(group []notifier.Parked) ([]publisher.Message, error) {
	digest := sha256.New()
	digest.Write([]byte(group[0].Destination))
	for i := range group {
		digest.Write(group[i].ID[:])
	}
	writer := "parked-" + hex.EncodeToString(digest.Sum(nil)[:8])
	batch := make([]publisher.Message, len(group))
	for i := range group {
		p := group[i]
		p.ParkedAt = t.now()
		body, err := appendRecord(nil, &p)
		if err != nil {
			return nil, err
		}
		batch[i] = publisher.Message{
			ID: p.ID, Writer: writer, Topic: t.topic, Table: p.Table, Action: p.Action, CommitTime: p.CommitTime,
			Key: []byte(p.Destination + "/" + p.ID.String()), Body: body,
		}
	}
	return batch, nil
}
