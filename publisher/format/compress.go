package format

import (
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/walherald/walherald/publisher"
)

// compressor appends src, compressed, to dst: equal bytes for equal bytes. It can
// be used by several goroutines.
type compressor func(dst, src []byte) []byte

// compressed is an envelope whose bodies are compressed, each by itself.
type compressed struct {
	Envelope
	encoding string // one of the Compression constants
	compress compressor
}

// Plan implements [Envelope].
func (c compressed) Plan(t *publisher.Table, tags map[string]string) Plan {
	return &compressedPlan{c.Envelope.Plan(t, tags), c.compress}
}

// compressedPlan compresses what another plan makes.
type compressedPlan struct {
	plan     Plan
	compress compressor
}

// maxKept is the largest buffer, in bytes, that is kept for the next body.
const maxKept = 1 << 20

// plainBodies holds buffers for bodies that are not compressed yet.
var plainBodies = sync.Pool{New: func() any { return new([]byte) }}

// Append implements [Plan].
func (p *compressedPlan) Append(dst []byte, e *publisher.Event) []byte {
	body := plainBodies.Get().(*[]byte)
	*body = p.plan.Append((*body)[:0], e)
	dst = p.compress(dst, *body)
	if cap(*body) <= maxKept {
		plainBodies.Put(body)
	}
	return dst
}

// newZstd returns what makes one frame of each body (RFC 8878). Bodies are small,
// so that the fastest level loses little.
func newZstd() compressor {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // an option is out of its range
	}
	return func(dst, src []byte) []byte { return encoder.EncodeAll(src, dst) }
}

// newGzip returns what makes one member of each body (RFC 1952), without name
// and time.
func newGzip() compressor {
	pool := sync.Pool{New: func() any { return &gzipWriter{Writer: gzip.NewWriter(nil)} }}
	return func(dst, src []byte) []byte {
		w := pool.Get().(*gzipWriter)
		w.dst = dst
		w.Reset(&w.dst)
		_, _ = w.Write(src) // an appender does not fail
		_ = w.Close()
		dst, w.dst = w.dst, nil
		pool.Put(w)
		return dst
	}
}

// gzipWriter compresses to the end of dst.
type gzipWriter struct {
	*gzip.Writer
	dst appender
}

// appender is an [io.Writer] that appends to itself.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}
