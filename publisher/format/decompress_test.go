package format

import (
	"strings"
	"testing"
)

func TestWhatWasCompressedReadsBack(t *testing.T) {
	want := `{"id":"` + strings.Repeat("ä", 5000) + `"}`
	for encoding, compress := range map[string]compressor{
		CompressionGzip: newGzip(), CompressionZstd: newZstd(), "": func(dst, src []byte) []byte { return append(dst, src...) },
	} {
		got, err := Decompress(encoding, compress(nil, []byte(want)))
		if err != nil || string(got) != want {
			t.Errorf("%q: %v, %d bytes of %d", encoding, err, len(got), len(want))
		}
	}
}

func TestBodyThatIsNotWhatItSaysIsAnError(t *testing.T) {
	for _, encoding := range []string{CompressionGzip, CompressionZstd, "br"} {
		if got, err := Decompress(encoding, []byte("plain")); err == nil {
			t.Errorf("%s: %q", encoding, got)
		}
	}
}

func FuzzDecompress(f *testing.F) {
	f.Add(CompressionGzip, newGzip()(nil, []byte("{}")))
	f.Add(CompressionZstd, newZstd()(nil, []byte("{}")))
	f.Fuzz(func(_ *testing.T, encoding string, body []byte) { _, _ = Decompress(encoding, body) })
}
