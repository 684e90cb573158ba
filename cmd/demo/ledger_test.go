package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// reported is an event of the stream.
type reported struct{ id, body string }

func about(id, table, action, row string) reported {
	data, old := row, "{}"
	if action == "DELETE" {
		data, old = "{}", row
	}
	return reported{id, fmt.Sprintf(`{"schema":"public","table":%q,"action":%q,"data":%s,"dataOld":%s}`, table, action, data, old)}
}

// history is what a shop did in which nothing went wrong: 6 changes.
var history = []reported{
	about("1", "inventory", "INSERT", `{"sku":"lamp","version":1}`),
	about("2", "users", "INSERT", `{"id":1,"version":1}`),
	about("3", "inventory", "UPDATE", `{"sku":"lamp","version":2}`),
	about("4", "orders", "INSERT", `{"id":1,"version":1}`),
	about("5", "orders", "DELETE", `{"id":1}`),
	about("6", "users", "UPDATE", `{"id":1,"version":2}`),
}

// tables is where the history leads.
var tables = map[string]int{"public.inventory/lamp": 2, "public.users/1": 2}

// judge closes the books over events for a shop that committed the history.
func judge(t *testing.T, events []reported, change func(*shop)) (printed string, err error) {
	t.Helper()
	s := &shop{committed: len(history), transactions: 4}
	if change != nil {
		change(s)
	}
	h := newHoldings()
	for _, e := range events {
		if err := h.add(e.id, []byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	l := &ledger{shop: s, out: screenTo(&out, false)}
	err = l.summary(h, tables)
	return out.String(), err
}

func TestBooksOfAGoodRunBalance(t *testing.T) {
	printed, err := judge(t, history, nil)
	if err != nil || !strings.Contains(printed, "0 lost, 0 repeated, 0 out of order\n2 rows in the tables, 0 differ") {
		t.Errorf("%v:\n%s", err, printed)
	}
}

func TestMissingEventIsAnError(t *testing.T) {
	for i := range history {
		printed, err := judge(t, slices.Delete(slices.Clone(history), i, i+1), nil)
		if err == nil || err.Error() != "1 changes are lost" || !strings.Contains(printed, "1 lost, 0 repeated") {
			t.Errorf("without event %d: %v:\n%s", i+1, err, printed)
		}
	}
}

func TestRepeatedEventIsAnError(t *testing.T) {
	for i, e := range history {
		printed, err := judge(t, append(slices.Clone(history), e), nil)
		if err == nil || !strings.Contains(err.Error(), "repeated") || !strings.Contains(printed, "0 lost, 1 repeated, 0 out of order") {
			t.Errorf("with event %d once more: %v:\n%s", i+1, err, printed)
		}
	}
}

func TestEventsOutOfOrderAreAnError(t *testing.T) {
	for _, pair := range [][2]int{{0, 2}, {1, 5}, {3, 4}} { // events of one row
		turned := slices.Clone(history)
		turned[pair[0]], turned[pair[1]] = turned[pair[1]], turned[pair[0]]
		printed, err := judge(t, turned, nil)
		if err == nil || err.Error() != "the events do not tell what happened" || !strings.Contains(printed, "0 lost, 0 repeated") {
			t.Errorf("with events %v turned round: %v:\n%s", pair, err, printed)
		}
	}
}

func TestEventsOfChangesNobodyMadeAreAnError(t *testing.T) {
	_, err := judge(t, append(slices.Clone(history), about("7", "users", "INSERT", `{"id":9,"version":1}`)), nil)
	if err == nil || !strings.Contains(err.Error(), "changes nobody made") {
		t.Errorf("one event too many: %v", err)
	}
}

func TestBooksWithAnUnknownOutcomeAreNotClosed(t *testing.T) {
	_, err := judge(t, history, func(s *shop) { s.doubtful = 2 })
	if err == nil || !strings.Contains(err.Error(), "unknown outcome") {
		t.Errorf("with 2 changes in doubt: %v", err)
	}
}

func TestEventThatCannotBeReadIsAnError(t *testing.T) {
	h := newHoldings()
	if err := h.add("x", []byte("{")); err == nil || !strings.Contains(err.Error(), "event x") {
		t.Errorf("add returned %v", err)
	}
}
