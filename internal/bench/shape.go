package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/walherald/walherald/publisher"
)

// shape is what walherald's messages look like.
type shape struct {
	meanBody float64 // bytes
	writer   string
	subject  string // behind the topic
}

// readShape lets walherald read some rows and looks at what it makes of them.
func (b *bench) readShape(ctx context.Context) error {
	const slot = "shape"
	if err := b.src.createSlot(ctx, slot); err != nil {
		return err
	}
	loaded, err := b.src.load(ctx, rowsPerTransaction, rowsPerTransaction)
	if err != nil {
		return err
	}
	count, size := 0, 0
	nowhere := destinations{discard{}}
	h, err := b.startHere(ctx, slot, publication, nowhere.sections(slot), func(batch []publisher.Message, _ time.Time) {
		count += len(batch)
		for i := range batch {
			size += len(batch[i].Body)
		}
		b.shape.writer, b.shape.subject = batch[0].Writer, batch[0].Topic
	})
	if err != nil {
		return err
	}
	err = b.src.awaitConfirmed(ctx, slot, loaded.end, h.ended)
	if err = errors.Join(err, h.stop()); err != nil {
		return fmt.Errorf("read a message's shape: %w", err)
	}
	if want := loaded.rows + 1; count != want {
		return fmt.Errorf("read a message's shape: got %d messages, should be %d", count, want)
	}
	b.shape.meanBody = float64(size) / float64(count)
	return b.src.dropSlot(ctx, slot)
}
