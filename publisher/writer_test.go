package publisher

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

func bodies(lines ...string) []Message {
	var batch []Message
	for _, l := range lines {
		batch = append(batch, Message{Key: []byte("key"), Body: []byte(l)})
	}
	return batch
}

func TestEachBodyIsALineOnceDeliverReturns(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	large := strings.Repeat("x", 200<<10)
	for _, batch := range [][]Message{nil, bodies(`{"a":1}`, `{"b":2}`), bodies(large)} {
		if err := w.Deliver(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if want := "{\"a\":1}\n{\"b\":2}\n" + large + "\n"; out.String() != want {
		t.Errorf("%d bytes are written, want %d", out.Len(), len(want))
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestPrettyBodiesAreIndentedWithAnEmptyLineBehindEach(t *testing.T) {
	var out bytes.Buffer
	w := NewPrettyWriter(&out)
	if err := w.Deliver(t.Context(), bodies(`{"a":1,"b":["x"],"c":{}}`, `[]`, "no JSON {")); err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"a\": 1,\n  \"b\": [\n    \"x\"\n  ],\n  \"c\": {}\n}\n\n[]\n\nno JSON {\n\n"
	if out.String() != want {
		t.Errorf("written is\n%s", out.String())
	}
}

// Numbers of any length stay as they are, and so do names that come twice.
func TestPrettyBodiesKeepTheirValues(t *testing.T) {
	var out bytes.Buffer
	body := `{"n":123456789012345678901234567890.10,"t":"ü\u2028<","n":1e400}`
	if err := NewPrettyWriter(&out).Deliver(t.Context(), bodies(body)); err != nil {
		t.Fatal(err)
	}
	if got := strings.NewReplacer("\n", "", " ", "").Replace(out.String()); got != body {
		t.Errorf("written is %s", got)
	}
}

// brokenPipe takes so many bytes, then fails.
type brokenPipe struct {
	room int
	err  error
}

func (p *brokenPipe) Write(b []byte) (int, error) {
	n := min(len(b), p.room)
	if p.room -= n; n < len(b) {
		return n, p.err
	}
	return n, nil
}

func TestFailedWriteIsPermanent(t *testing.T) {
	pipe := &brokenPipe{room: 10, err: errors.New("broken pipe")}
	w := NewWriter(pipe)
	if err := w.Deliver(t.Context(), bodies("12345")); err != nil {
		t.Fatal(err)
	}
	if err := w.Deliver(t.Context(), bodies("1", "2345678")); !IsPermanent(err) || !errors.Is(err, pipe.err) {
		t.Errorf("got %v", err)
	}
	// Half a batch is out. The rest must not follow as if nothing had been.
	pipe.room = 1000
	if err := w.Deliver(t.Context(), bodies("1")); !IsPermanent(err) || pipe.room != 1000 {
		t.Errorf("got %v with %d bytes written", err, 1000-pipe.room)
	}
}

func TestNothingIsTakenOnceTheContextHasEnded(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	for name, d := range map[string]Deliverer{"writer": NewWriter(&out), "discard": Discard{}} {
		if err := d.Deliver(ctx, bodies("a")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	cancel()
	for name, d := range map[string]Deliverer{"writer": NewWriter(&out), "discard": Discard{}} {
		if err := d.Deliver(ctx, bodies("b")); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out.String() != "a\n" {
		t.Errorf("written is %q", out.String())
	}
}

// A value of type json is written as the database holds it.
func TestBodyWithLineFeedsIsOneLine(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	body := "{\"data\":{\"j\":{\r\n  \"a\": 1\n}}}"
	if err := w.Deliver(t.Context(), []Message{{Body: []byte(body)}, {Body: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "{\"data\":{\"j\":{    \"a\": 1 }}}\n{}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
