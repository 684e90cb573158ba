package publishertest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestOnlyFirstOccurrencesInOrderOfTheirKeyAreAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		stored []int
		want   int    // the messages below it
		err    string // or accepted
	}{
		"nothing":                   {nil, 0, ""},
		"in order":                  {[]int{0, 1, 2, 3, 4, 5, 6, 7, 8}, 9, ""},
		"keys apart":                {[]int{1, 8, 0, 7, 6, 5, 4, 3, 2}, 9, ""},
		"repeats":                   {[]int{0, 1, 0, 7, 0, 1, 7, 2, 3, 4, 5, 6}, 8, ""},
		"repeats behind newer ones": {[]int{0, 7, 14, 0, 7, 1, 8, 2, 9, 3, 10, 4, 11, 5, 12, 6, 13}, 15, ""},
		"missing":                   {[]int{0, 1, 2, 3, 4, 5, 6}, 8, "the first is 7"},
		"hole":                      {[]int{0, 14, 1, 2, 3, 4, 5, 6}, 15, "message 14 of key-0 comes before 7"},
		"turned round":              {[]int{7, 0, 1, 2, 3, 4, 5, 6}, 8, "message 7 of key-0 comes before 0"},
		"turned round, with a repeat": {
			[]int{7, 0, 7, 1, 2, 3, 4, 5, 6}, 8, "message 7 of key-0 comes before 0",
		},
		"surplus": {[]int{0, 1, 9}, 2, "message 9 of key-2 is stored"},
	} {
		err := compare(c.stored, below(c.want))
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: got %v, want %q", name, err, c.err)
		}
	}
}

func TestMessagesAreDistinctAndOrderedByTheirIDs(t *testing.T) {
	batch := (&Harness{Topic: "t"}).messages(0, 50)
	for i := range batch[1:] {
		if batch[i].ID.Compare(batch[i+1].ID) >= 0 {
			t.Errorf("message %d has id %v, the next %v", i, batch[i].ID, batch[i+1].ID)
		}
	}
}

func TestOversizeBodyHasItsSizeAndIsJSON(t *testing.T) {
	h := Harness{Topic: "t", TooLarge: 9000}
	batch := h.withOversize(10, 4)
	for i, m := range batch {
		if !json.Valid(m.Body) || (len(m.Body) >= h.TooLarge) != (i == 4) {
			t.Errorf("message %d has %d bytes: %.100s", i, len(m.Body), m.Body)
		}
	}
}

func TestSizeInAnErrorIsFoundAmongOtherNumbers(t *testing.T) {
	for text, want := range map[string]bool{
		"message of 9000 bytes exceeds 8192": true, "message of 9100 bytes": true,
		"exceeds 8192": false, "": false, "message of 90000 bytes": false,
	} {
		if saysSize(text, 9000) != want {
			t.Errorf("%q: %v, want %v", text, !want, want)
		}
	}
}

func TestEveryGuaranteeHasANameOfItsOwn(t *testing.T) {
	var names []string
	for _, g := range guarantees {
		if slices.Contains(names, g.name) {
			t.Errorf("%s comes twice", g.name)
		}
		names = append(names, g.name)
	}
}
