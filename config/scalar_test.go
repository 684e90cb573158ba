package config

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestByteSizeReadsBothKindsOfUnits(t *testing.T) {
	for text, want := range map[string]ByteSize{
		"0": 0, "1": 1, "16MiB": 16 << 20, "64KB": 64000, "64kb": 64000, "1 GiB": 1 << 30, "2TB": 2e12, "3TiB": 3 << 40,
		"5B": 5, "7mb": 7e6, "1GB": 1e9, "9223372036854775807": math.MaxInt64,
	} {
		var got ByteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "MiB", "B", "-1", "-1KB", "1.5MiB", "1M", "1Mi", "16 MiB of RAM", "9223372036854775808", "8388608TiB", "1KKB", "KBKB",
	} {
		var got ByteSize
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q = %d, want an error", text, got)
		}
	}
}

func TestByteSizeReadsWhatItWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shift := rapid.IntRange(0, 40).Draw(t, "shift")
		want := ByteSize(rapid.Int64Range(0, math.MaxInt64>>shift).Draw(t, "n") << shift)
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got ByteSize
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Fatalf("%d is written %q and read as %d, %v", want, text, got, err)
		}
	})
}

func TestNearestFindsSlipsAndNothingElse(t *testing.T) {
	known := []string{"address", "topic", "topicPrefix", "port", "name", "fmt"}
	for name, want := range map[string]string{
		"adress": "address", "addresses": "address", "ADDRESS": "address", "prot": "port", "topik": "topic",
		"prefix": "topicPrefix", "nmae": "name", "foo": "", "x": "", "": "", "completely": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
}
