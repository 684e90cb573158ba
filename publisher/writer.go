package publisher

import (
	"bufio"
	"context"
	"fmt"
	"io"
)

// Writer is a Deliverer that writes each body as a line. A batch counts as
// delivered once the writer behind it has taken all of it.
type Writer struct{ w *bufio.Writer }

// NewWriter returns a Writer on w, which it never closes.
func NewWriter(w io.Writer) *Writer { return &Writer{bufio.NewWriterSize(w, 64<<10)} }

// Deliver implements Deliverer. A failed write is permanent: what was written
// before it cannot be taken back, and a closed pipe does not open again.
func (w *Writer) Deliver(ctx context.Context, batch []Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range batch {
		w.w.Write(batch[i].Body) // the error stays with the buffer until Flush
		w.w.WriteByte('\n')
	}
	if err := w.w.Flush(); err != nil {
		return Permanent(fmt.Errorf("write events: %w", err))
	}
	return nil
}

// Close implements Deliverer.
func (w *Writer) Close() error { return nil }

// Discard is a Deliverer that takes everything and keeps nothing: for trying a
// configuration, and for measuring all that comes before the network.
type Discard struct{}

// Deliver implements Deliverer.
func (Discard) Deliver(ctx context.Context, _ []Message) error { return ctx.Err() }

// Close implements Deliverer.
func (Discard) Close() error { return nil }
