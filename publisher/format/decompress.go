package format

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxBody bounds what a body may be decompressed to, in bytes: the largest value
// PostgreSQL has is 1 GB.
const maxBody = 1 << 30

// Decompress returns a body that was compressed as encoding says (one of the
// Compression constants, or empty for not at all).
func Decompress(encoding string, body []byte) ([]byte, error) {
	switch encoding {
	case "", CompressionNone:
		return body, nil
	case CompressionGzip:
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("decompress body: %w", err)
		}
		return readBody(r)
	case CompressionZstd:
		r, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody))
		if err != nil {
			return nil, fmt.Errorf("decompress body: %w", err)
		}
		defer r.Close()
		return readBody(r)
	}
	return nil, fmt.Errorf("decompress body: %w", unknown("encoding", encoding, CompressionGzip, CompressionZstd))
}

func readBody(r io.Reader) ([]byte, error) {
	plain, err := io.ReadAll(io.LimitReader(r, maxBody))
	if err != nil {
		return nil, fmt.Errorf("decompress body: %w", err)
	}
	return plain, nil
}
