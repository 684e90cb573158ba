package publisher

import (
	"bytes"
	"cmp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// change is what an id is made of.
type change struct {
	lsn, ordinal uint64
	source       uint32
}

// drawChange prefers the ends of the ranges, and values close to each other.
func drawChange(t *rapid.T, name string) change {
	from := func(highest uint64) *rapid.Generator[uint64] {
		return rapid.OneOf(rapid.Uint64Range(0, 4), rapid.Uint64Range(highest-4, highest), rapid.Uint64Range(0, highest))
	}
	return change{
		lsn: from(MaxLSN).Draw(t, name+" LSN"), ordinal: from(MaxOrdinal).Draw(t, name+" ordinal"),
		source: rapid.Uint32().Draw(t, name+" source"),
	}
}

func (c change) id(t *rapid.T) ID {
	id, err := NewID(c.lsn, c.ordinal, c.source)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIDHoldsItsPositionAndReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChange(t, "change")
		id := c.id(t)
		if id.LSN() != c.lsn || id.Ordinal() != c.ordinal {
			t.Fatalf("%v holds %X, %d, want %X, %d", id, id.LSN(), id.Ordinal(), c.lsn, c.ordinal)
		}
		if back, err := ParseID(id.String()); err != nil || back != id {
			t.Fatalf("%v reads back as %v, %v", id, back, err)
		}
		if text, err := id.AppendText([]byte("id: ")); err != nil || string(text) != "id: "+id.String() {
			t.Fatalf("%v is appended as %s, %v", id, text, err)
		}
	})
}

func TestIDIsAUUIDOfVersion8(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := drawChange(t, "change").id(t)
		u, err := uuid.Parse(id.String())
		if err != nil || u != uuid.UUID(id) {
			t.Fatalf("%v is read as %v, %v", id, u, err)
		}
		if u.Version() != 8 || u.Variant() != uuid.RFC4122 {
			t.Fatalf("%v has version %d and variant %v", id, u.Version(), u.Variant())
		}
	})
}

// Destinations that know bytes or text only can tell what came first.
func TestIDsOfOneSourceSortInCommitOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawChange(t, "a"), drawChange(t, "b")
		b.source = a.source
		if rapid.Bool().Draw(t, "same transaction") {
			b.lsn = a.lsn
		}
		want := cmp.Or(cmp.Compare(a.lsn, b.lsn), cmp.Compare(a.ordinal, b.ordinal))
		ida, idb := a.id(t), b.id(t)
		if got := ida.Compare(idb); got != want {
			t.Fatalf("Compare is %d, want %d", got, want)
		}
		if asBytes, asText := bytes.Compare(ida[:], idb[:]), strings.Compare(ida.String(), idb.String()); asBytes != want || asText != want {
			t.Fatalf("as bytes %d, as text %d, want %d", asBytes, asText, want)
		}
	})
}

func TestDifferentChangesHaveDifferentIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawChange(t, "a"), drawChange(t, "b")
		for _, same := range []struct {
			name string
			make func()
		}{
			{"same LSN", func() { b.lsn = a.lsn }},
			{"same ordinal", func() { b.ordinal = a.ordinal }},
			{"same source", func() { b.source = a.source }},
		} {
			if rapid.Bool().Draw(t, same.name) {
				same.make()
			}
		}
		const counts = 1<<26 - 1
		equal := a.lsn == b.lsn && a.ordinal == b.ordinal && a.source&counts == b.source&counts
		if got := a.id(t) == b.id(t); got != equal {
			t.Fatalf("%+v and %+v: equal ids is %v", a, b, got)
		}
	})
}

func TestPositionsBeyondTheLimitsHaveNoID(t *testing.T) {
	if _, err := NewID(MaxLSN, MaxOrdinal, 1<<32-1); err != nil {
		t.Errorf("largest position: %v", err)
	}
	for _, c := range []change{{lsn: MaxLSN + 1}, {ordinal: MaxOrdinal + 1}, {lsn: 1<<64 - 1, ordinal: 1<<64 - 1}} {
		id, err := NewID(c.lsn, c.ordinal, c.source)
		if err == nil || id != (ID{}) {
			t.Errorf("LSN %X, ordinal %d: got %v, %v", c.lsn, c.ordinal, id, err)
		}
	}
}

func TestOtherTextIsNoID(t *testing.T) {
	const valid = "0000016b-3748-8123-8000-000004000007"
	if _, err := ParseID(valid); err != nil {
		t.Fatal(err)
	}
	others := []string{
		"", valid[1:], valid + "0", "{" + valid + "}", strings.ReplaceAll(valid, "-", ""),
		"0000016b3-748-8123-8000-000004000007", "0000016b-37488-123-8000-000004000007",
		"0000016b-3748-812380-00-000004000007", "0000016b-3748-8123-80000-00004000007",
		"g000016b-3748-8123-8000-000004000007", "0000016b-3748-8123-8000-00000400000 ",
	}
	for _, dash := range []int{8, 13, 18, 23} {
		others = append(others, valid[:dash]+"0"+valid[dash+1:])
	}
	for _, s := range others {
		if id, err := ParseID(s); err == nil || id != (ID{}) {
			t.Errorf("%q: got %v, %v", s, id, err)
		}
	}
}
