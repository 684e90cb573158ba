package publisher

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Writer is a Deliverer that writes each body as a line. A batch counts as
// delivered once the writer behind it has taken all of it.
type Writer struct {
	w      *bufio.Writer
	pretty bool
	buf    bytes.Buffer
}

// NewWriter returns a Writer on w, which it never closes.
func NewWriter(w io.Writer) *Writer { return &Writer{w: bufio.NewWriterSize(w, 64<<10)} }

// NewPrettyWriter returns a Writer for people to read: each body is indented,
// with an empty line behind it. A body that is no JSON is written as it is.
func NewPrettyWriter(w io.Writer) *Writer {
	pretty := NewWriter(w)
	pretty.pretty = true
	return pretty
}

// Deliver implements Deliverer. A failed write is permanent: what was written
// before it cannot be taken back, and a closed pipe does not open again.
func (w *Writer) Deliver(ctx context.Context, batch []Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range batch {
		w.write(batch[i].Body) // an error stays with the buffer until Flush
	}
	if err := w.w.Flush(); err != nil {
		return Permanent(fmt.Errorf("write events: %w", err))
	}
	return nil
}

func (w *Writer) write(body []byte) {
	if !w.pretty {
		WriteLine(w.w, body)
		return
	}
	w.buf.Reset()
	if err := json.Indent(&w.buf, body, "", "  "); err == nil {
		body = w.buf.Bytes()
	}
	w.w.Write(body)
	w.w.WriteString("\n\n")
}

// WriteLine writes a body and a line feed. A value of type json can bring line
// feeds and carriage returns of its own; since they are white space wherever a
// valid body has them, they become blanks. The error stays with w until Flush.
func WriteLine(w *bufio.Writer, body []byte) {
	for len(body) > 0 {
		n := bytes.IndexAny(body, "\r\n")
		if n < 0 {
			w.Write(body)
			break
		}
		w.Write(body[:n])
		w.WriteByte(' ')
		body = body[n+1:]
	}
	w.WriteByte('\n')
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
