package format

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/walherald/walherald/publisher"
)

var compressions = []string{CompressionGzip, CompressionZstd}

// compressedEnvelope returns the default envelope, compressed.
func compressedEnvelope(t testing.TB, compression string) Envelope {
	t.Helper()
	e, c, err := New(Options{Compression: compression, Source: testSource})
	if err != nil {
		t.Fatal(err)
	}
	if c.Encoding != compression || c.Type != "application/json" {
		t.Fatalf("content of %s is %+v", compression, c)
	}
	return e
}

// large returns a text that compresses hardly at all.
func large(size int) publisher.Value {
	r, letters := rand.New(rand.NewPCG(1, 2)), make([]byte, size)
	for i := range letters {
		letters[i] = ' ' + byte(r.Uint32()%0x5f)
	}
	return text(string(letters))
}

func TestCompressedBodiesUnpackToThePlainOnes(t *testing.T) {
	huge := userRow("huge")
	huge[1] = large(2 * maxKept)
	cases := append(goldenCases(), goldenCase{about: "a huge body", event: event(users(), publisher.Insert, huge, nil)})
	for _, name := range compressions {
		envelope := compressedEnvelope(t, name)
		for _, c := range cases {
			packed := envelope.Plan(c.event.Table, c.tags).Append([]byte("before"), c.event)
			rest, found := bytes.CutPrefix(packed, []byte("before"))
			if !found {
				t.Fatalf("%s: %s: the body is not appended", name, c.about)
			}
			got, err := Decompress(name, rest)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, c.about, err)
			}
			if want := body(c.event, c.tags); !bytes.Equal(got, want) {
				t.Errorf("%s: %s: unpacked is %.200s, want %.200s", name, c.about, got, want)
			}
		}
	}
}

// A destination that tells repeats by their bytes must see equal ones, whatever
// the compressor did in between and however many use it.
func TestCompressedBodiesAreEqualOnEveryRedelivery(t *testing.T) {
	e := event(users(), publisher.Update, userRow("new"), userRow("old"))
	between := event(users(), publisher.Insert, append(userRow("x")[:5], large(100_000)), nil)
	for _, name := range compressions {
		plan := compressedEnvelope(t, name).Plan(e.Table, nil)
		want := compressedEnvelope(t, name).Plan(e.Table, nil).Append(nil, e)
		together(func() {
			if got := plan.Append(nil, e); !bytes.Equal(got, want) {
				t.Errorf("%s: got %x, want %x", name, got, want)
			}
			plan.Append(nil, between)
		})
	}
}

func TestCompressionMakesBodiesSmaller(t *testing.T) {
	e := event(users(), publisher.Update, userRow("new"), userRow("old"))
	for _, name := range compressions {
		if got, all := len(compressedEnvelope(t, name).Plan(e.Table, nil).Append(nil, e)), len(body(e, nil)); got > all*3/4 {
			t.Errorf("%s makes %d bytes of %d", name, got, all)
		}
	}
}

func BenchmarkCompressedUpdateOfSixColumns(b *testing.B) {
	e := event(users(), publisher.Update, userRow("Ada Lovelace"), userRow("Ada Byron"))
	for _, name := range compressions {
		b.Run(name, func(b *testing.B) { benchmarkBody(b, compressedEnvelope(b, name).Plan(e.Table, nil), e) })
	}
}

func TestSameEnvelopesAreTold(t *testing.T) {
	made := func(o Options) Envelope {
		e, _, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	all := []Options{
		{},
		{Source: Source{Slot: "s"}},
		{Compression: CompressionGzip},
		{Compression: CompressionZstd},
		{Envelope: EnvelopeSetu},
		{Envelope: EnvelopeSetu, Compression: CompressionGzip},
	}
	for i, a := range all {
		for j, b := range all {
			if got := Same(made(a), made(b)); got != (i == j) {
				t.Errorf("%+v and %+v: %t", a, b, got)
			}
		}
	}
	if Same(nil, made(Options{})) {
		t.Error("no envelope is like one")
	}
}
