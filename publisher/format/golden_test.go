package format

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/walherald/walherald/publisher"
)

var update = flag.Bool("update", false, "write the golden files in testdata anew")

// goldenCase is an event that every envelope has to have a body for.
type goldenCase struct {
	about string
	event *publisher.Event
	tags  map[string]string
}

// goldenCases returns what the golden files show: one line for each.
func goldenCases() []goldenCase {
	key := []publisher.Value{text("122"), absent, absent, absent, absent, absent}
	return append([]goldenCase{
		{about: "an insert", event: event(users(), publisher.Insert, userRow(`Ada "Countess" Lovelace`), nil)},
		{about: "nulls and a column that is not published", event: event(users(), publisher.Insert, []publisher.Value{absent, null, text(""), null, absent, null}, nil)},
		{"tags", event(users(), publisher.Insert, userRow("tagged"), nil), map[string]string{"zone": "b", "env": "dev", `"`: "\n"}},
		{about: "an update, old row unknown", event: event(users(), publisher.Update, userRow("new"), nil)},
		{about: "an update of the key", event: event(users(), publisher.Update, userRow("new"), key)},
		{about: "an update with the old row", event: event(users(), publisher.Update, userRow("new"), userRow("old"))},
		{about: "unchanged large values", event: event(users(), publisher.Update, []publisher.Value{unchanged, unchanged, text("e"), null, unchanged, null}, nil)},
		{about: "unchanged large values, filled from the old row where it holds them", event: event(users(), publisher.Update,
			[]publisher.Value{unchanged, unchanged, unchanged, unchanged, text("1"), text("2")},
			[]publisher.Value{text("9"), null, absent, unchanged, text("1"), null})},
		{about: "a delete by key", event: event(users(), publisher.Delete, nil, key)},
		{about: "a delete with the old row", event: event(users(), publisher.Delete, nil, userRow("gone"))},
		{about: "a truncation", event: event(users(), publisher.Truncate, nil, nil)},
	}, rareCases()...)
}

// rareCases returns events at the edges.
func rareCases() []goldenCase {
	odd := &publisher.Table{Schema: `My "Schema"`, Name: "größe.\n", Columns: []publisher.Column{
		newColumn(`a"b\`, AppendString), newColumn("東京", AppendDocument), newColumn("", AppendString),
	}}
	first := event(users(), publisher.Insert, userRow("first"), nil)
	first.ID, first.LSN, first.XID, first.Ordinal, first.CommitTime = publisher.ID{}, 0, 0, 0, 0
	first.CommitTimeText = []byte("1970-01-01T00:00:00.000000Z")
	last := event(users(), publisher.Insert, userRow("last"), nil)
	last.LSN, last.XID, last.Ordinal = 1<<64-1, 1<<32-1, 1<<64-1
	outside := message("app", text("x"), absent)
	outside.XID, outside.New[1].Text = 0, []byte("f")
	return []goldenCase{
		{about: "a logical message", event: message("app", text(`{"say": "grüß dich"}`), absent)},
		{about: "a logical message that is not UTF-8, of an odd prefix", event: message("a\"\n", absent, text("//4AAQ=="))},
		{about: "a logical message outside of transactions", event: outside},
		{about: "a table without columns", event: event(&publisher.Table{Schema: "s", Name: "t"}, publisher.Insert, nil, nil)},
		{about: "odd names", event: event(odd, publisher.Update, []publisher.Value{unchanged, text(`{"n": 1e400}`), unchanged}, nil)},
		{about: "the smallest numbers", event: first},
		{about: "the largest numbers", event: last},
	}
}

func TestBodiesAreThoseOfTheGoldenFiles(t *testing.T) {
	for name, envelope := range envelopes(t) {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			for _, c := range goldenCases() {
				body := envelope.Plan(c.event.Table, c.tags).Append(nil, c.event)
				if !json.Valid(body) {
					t.Errorf("%s: body is not JSON: %s", c.about, body)
				}
				fmt.Fprintf(&got, "{\"case\":%q,\"body\":%s}\n", c.about, body)
			}
			golden(t, "testdata/"+name+".golden.jsonl", got.Bytes())
		})
	}
}

// golden compares got with a file, or writes it there.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant, as in %s,\n%s", got, file, want)
	}
}
