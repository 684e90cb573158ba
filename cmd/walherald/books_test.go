package main

import (
	"fmt"
	"slices"
	"testing"
)

// message is a body as the books read it.
type message struct{ id, body string }

func row(id, lsn string, seq int, action, row string) message {
	rows := `"data":` + row
	if action == "DELETE" {
		rows = `"dataOld":` + row
	}
	table := "items"
	if action == "" {
		table, action = "txs", "INSERT"
	}
	return message{id, fmt.Sprintf(`{"id":%q,"table":%q,"action":%q,%s,"lsn":%q,"seq":%d}`, id, table, action, rows, lsn, seq)}
}

// transactions is a stream in which nothing is wrong.
var transactions = []message{
	row("a", "0/1", 0, "INSERT", `{"worker":1,"n":7,"version":1}`),
	row("b", "0/1", 1, "UPDATE", `{"worker":1,"n":7,"version":2}`),
	row("c", "0/1", 2, "", `{"worker":1,"number":1,"changes":3}`),
	row("d", "0/2", 0, "DELETE", `{"worker":1,"n":7}`),
	row("e", "0/2", 1, "INSERT", `{"worker":1,"n":7,"version":3}`),
	row("f", "0/2", 2, "", `{"worker":1,"number":2,"changes":3}`),
	row("g", "0/3", 0, "UPDATE", `{"worker":1,"n":7,"version":4}`),
	row("h", "0/3", 1, "", `{"worker":1,"number":3,"changes":2}`),
}

func enter(messages []message) *books {
	b := newBooks()
	for _, m := range messages {
		b.add(m.id, []byte(m.body))
	}
	b.complete()
	return b
}

// The tests of losses rest on the books: those must find every kind of fault.
func TestBooksFindWhatIsMissingRepeatedOrOutOfOrder(t *testing.T) {
	if b := enter(transactions); len(b.faults) > 0 || b.repeats > 0 || b.items[key{1, 7}] != 4 || len(b.txs) != 3 {
		t.Fatalf("books of a good stream: %+v", b)
	}
	for i := range transactions {
		if b := enter(slices.Delete(slices.Clone(transactions), i, i+1)); len(b.faults) == 0 {
			t.Errorf("nothing is wrong without message %d", i)
		}
		if b := enter(slices.Insert(slices.Clone(transactions), i, transactions[i])); b.repeats != 1 || len(b.faults) > 0 {
			t.Errorf("message %d is there twice: %+v", i, b)
		}
		changed := message{transactions[i].id, transactions[i].body + " "}
		if b := enter(slices.Insert(slices.Clone(transactions), i, changed)); b.repeats != 1 || len(b.faults) != 1 {
			t.Errorf("message %d is there twice with different bodies: %+v", i, b)
		}
		if i == 0 {
			continue
		}
		turned := slices.Clone(transactions)
		turned[i-1], turned[i] = turned[i], turned[i-1]
		if b := enter(turned); len(b.faults) == 0 {
			t.Errorf("nothing is wrong with message %d before the one before it", i)
		}
	}
}
