package pgoutput

import (
	"errors"
	"testing"
	"unsafe"
)

// views returns all slices of m that have to lie in the message's bytes.
func views(m Message) [][]byte {
	var out [][]byte
	row := func(t *Tuple) {
		for _, c := range t.Columns {
			out = append(out, c.Data)
		}
	}
	switch m := m.(type) {
	case *Origin:
		out = append(out, m.Name)
	case *LogicalMessage:
		out = append(out, m.Prefix, m.Content)
	case *Insert:
		row(&m.New)
	case *Delete:
		row(&m.Old)
	case *Update:
		row(&m.New)
		if m.Old != nil {
			row(m.Old)
		}
	}
	return out
}

// inside reports whether all of view, spare capacity included, lies in src.
func inside(view, src []byte) bool {
	if cap(view) == 0 {
		return true
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(view)))
	first := uintptr(unsafe.Pointer(unsafe.SliceData(src)))
	return start >= first && start+uintptr(cap(view)) <= first+uintptr(len(src))
}

// Failure 28 of docs/failures.md.
func FuzzDecode(f *testing.F) {
	for _, src := range messages() {
		f.Add(src)
		f.Add(src[:len(src)/2])
	}
	var d Decoder
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := d.Decode(src)
		if (m == nil) != (err != nil) {
			t.Fatalf("got message %v and error %v", m, err)
		}
		var de *DecodeError
		if err != nil && (!errors.As(err, &de) || de.Offset < 0 || de.Offset > len(src)) {
			t.Fatalf("unexpected error %v", err)
		}
		for _, v := range views(m) {
			if !inside(v, src) {
				t.Fatalf("view of %d bytes is not inside the message", cap(v))
			}
		}
	})
}

// Failure 28 of docs/failures.md.
func FuzzDecodeStream(f *testing.F) {
	f.Add([]byte(xLogData(sixColumns())))
	f.Add([]byte(keepalive(1)))
	f.Fuzz(func(t *testing.T, src []byte) {
		x, err := DecodeXLogData(src)
		if err == nil && len(x.Data) != len(src)-25 || !inside(x.Data, src) {
			t.Fatalf("%d bytes of data in a message of %d", len(x.Data), len(src))
		}
		if _, err := DecodeKeepalive(src); err == nil && len(src) != 18 {
			t.Fatalf("a keepalive of %d bytes was accepted", len(src))
		}
	})
}
