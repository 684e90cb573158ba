package format

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/walherald/walherald/publisher"
)

var update = flag.Bool("update", false, "write the golden files in testdata anew")

// Values of rows, for short.
var (
	absent    = publisher.Value{}
	null      = publisher.Value{Kind: publisher.Null}
	unchanged = publisher.Value{Kind: publisher.Unchanged}
)

func text(s string) publisher.Value {
	return publisher.Value{Kind: publisher.Text, Text: []byte(s)}
}

// column returns a column whose values are written by appendJSON.
func column(name string, appendJSON func(dst, text []byte) []byte) publisher.Column {
	return publisher.Column{Name: name, AppendJSON: appendJSON}
}

func appendBool(dst, text []byte) []byte {
	if string(text) == "t" {
		return append(dst, "true"...)
	}
	return append(dst, "false"...)
}

// users is a table with six columns of common types.
func users() *publisher.Table {
	return &publisher.Table{Schema: "public", Name: "users", Columns: []publisher.Column{
		column("id", AppendNumber), column("name", AppendString), column("email", AppendString),
		column("active", appendBool), column("balance", AppendNumber), column("created_at", AppendString),
	}}
}

// event returns an event with the given rows and everything else set.
func event(t *publisher.Table, action publisher.Action, newRow, oldRow []publisher.Value) *publisher.Event {
	id, err := publisher.NewID(0x16B3748, 1, 7)
	if err != nil {
		panic(err)
	}
	return &publisher.Event{
		ID: id, Action: action, Table: t, New: newRow, Old: oldRow,
		LSN: 0x16B3748, XID: 742, Ordinal: 1,
		CommitTimeText: []byte("2024-02-29T12:34:56.789012Z"),
	}
}

func userRow(name string) []publisher.Value {
	return []publisher.Value{
		text("123456789"), text(name), text("ada@example.org"),
		text("t"), text("1234.5600"), text("2024-02-29T12:34:56.789012Z"),
	}
}

func body(e *publisher.Event, tags map[string]string) []byte {
	return Walherald{}.Plan(e.Table, tags).Append(nil, e)
}

func TestWalheraldBodiesAreThoseOfTheGoldenFile(t *testing.T) {
	table := users()
	odd := &publisher.Table{Schema: `My "Schema"`, Name: "größe.\n", Columns: []publisher.Column{
		column(`a"b\`, AppendString), column("東京", AppendDocument), column("", AppendString),
	}}
	key := []publisher.Value{text("122"), absent, absent, absent, absent, absent}
	first := event(table, publisher.Insert, userRow("first"), nil)
	first.ID, first.LSN, first.XID, first.Ordinal = publisher.ID{}, 0, 0, 0
	last := event(table, publisher.Insert, userRow("last"), nil)
	last.LSN, last.XID, last.Ordinal = 1<<64-1, 1<<32-1, 1<<64-1

	bodies := []struct {
		about string
		event *publisher.Event
		tags  map[string]string
	}{
		{"an insert", event(table, publisher.Insert, userRow(`Ada "Countess" Lovelace`), nil), nil},
		{"nulls and a column that is not published", event(table, publisher.Insert, []publisher.Value{absent, null, text(""), null, absent, null}, nil), nil},
		{"tags", event(table, publisher.Insert, userRow("tagged"), nil), map[string]string{"zone": "b", "env": "dev", `"`: "\n"}},
		{"an update, old row unknown", event(table, publisher.Update, userRow("new"), nil), nil},
		{"an update of the key", event(table, publisher.Update, userRow("new"), key), nil},
		{"an update with the old row", event(table, publisher.Update, userRow("new"), userRow("old")), nil},
		{"unchanged large values", event(table, publisher.Update, []publisher.Value{unchanged, unchanged, text("e"), null, unchanged, null}, nil), nil},
		{"unchanged large values, filled from the old row where it holds them", event(table, publisher.Update,
			[]publisher.Value{unchanged, unchanged, unchanged, unchanged, text("1"), text("2")},
			[]publisher.Value{text("9"), null, absent, unchanged, text("1"), null}), nil},
		{"a delete by key", event(table, publisher.Delete, nil, key), nil},
		{"a truncation", event(table, publisher.Truncate, nil, nil), nil},
		{"a table without columns", event(&publisher.Table{Schema: "s", Name: "t"}, publisher.Insert, nil, nil), nil},
		{"odd names", event(odd, publisher.Update, []publisher.Value{unchanged, text(`{"n": 1e400}`), unchanged}, nil), nil},
		{"the smallest numbers", first, nil},
		{"the largest numbers", last, nil},
	}
	var got bytes.Buffer
	for _, b := range bodies {
		encoded := body(b.event, b.tags)
		if !json.Valid(encoded) {
			t.Errorf("%s: body is not JSON: %s", b.about, encoded)
		}
		fmt.Fprintf(&got, "# %s\n%s\n", b.about, encoded)
	}
	golden(t, "testdata/walherald.txt", got.Bytes())
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

func TestMembersStandInTheDocumentedOrder(t *testing.T) {
	d := json.NewDecoder(bytes.NewReader(body(event(users(), publisher.Update, userRow("new"), userRow("old")), nil)))
	if _, err := d.Token(); err != nil { // the opening brace
		t.Fatal(err)
	}
	var members []string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, name.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"id", "schema", "table", "action", "data", "dataOld", "commitTime",
		"unchangedToastedValues", "tags", "lsn", "xid", "seq",
	}
	if !slices.Equal(members, want) {
		t.Errorf("members are %q, want %q", members, want)
	}
}

func TestBodyIsAppendedToWhatIsThere(t *testing.T) {
	e := event(users(), publisher.Insert, userRow("Ada"), nil)
	plan := Walherald{}.Plan(e.Table, nil)
	once := plan.Append(nil, e)
	if got := plan.Append(slices.Clone(once), e); !bytes.Equal(got, append(slices.Clone(once), once...)) {
		t.Errorf("two bodies in a row are %s", got)
	}
}

// decoded is what the tests look at of a body, as a consumer reads it.
type decoded struct {
	Schema, Table          string
	Data, DataOld          map[string]json.RawMessage
	UnchangedToastedValues []string
	Tags                   map[string]string
}

func FuzzBodiesAreJSONWhateverTheNamesAndValues(f *testing.F) {
	f.Add("public", "users", "id", "name", "1", "Ada", []byte{2, 2, 0, 1})
	f.Add(`"\`, "\n\x00", "\u2028", "größe", `{"`, "\xff", []byte{3, 3, 2, 1})
	f.Fuzz(func(t *testing.T, schema, table, first, second, value, other string, kinds []byte) {
		if len(kinds) < 4 || first == second {
			return
		}
		for _, s := range []string{schema, table, first, second} {
			if !utf8.ValidString(s) {
				return // such names would become equal
			}
		}
		values := make([]publisher.Value, 4)
		for i := range values {
			values[i] = publisher.Value{Kind: publisher.ValueKind(kinds[i] % 4), Text: []byte([]string{value, other}[i%2])}
		}
		e := event(&publisher.Table{Schema: schema, Name: table, Columns: []publisher.Column{
			column(first, AppendString), column(second, AppendDocument),
		}}, publisher.Update, values[:2], values[2:])

		encoded := body(e, map[string]string{first: value, second: other})
		var got decoded
		if err := json.Unmarshal(encoded, &got); err != nil || !utf8.Valid(encoded) {
			t.Fatalf("body is not JSON: %s: %v", encoded, err)
		}
		if got.Schema != schema || got.Table != table || len(got.Tags) != 2 {
			t.Fatalf("names are lost in %s", encoded)
		}
		checkRows(t, e, &got)
	})
}

// checkRows checks that each column is where the kinds of its values put it.
func checkRows(t *testing.T, e *publisher.Event, got *decoded) {
	t.Helper()
	for i, c := range e.Table.Columns {
		_, inNew := got.Data[c.Name]
		_, inOld := got.DataOld[c.Name]
		known := e.Old[i].Kind == publisher.Text
		held := e.New[i].Kind == publisher.Text || e.New[i].Kind == publisher.Null
		missing := e.New[i].Kind == publisher.Unchanged && !known
		if inNew != (held || e.New[i].Kind == publisher.Unchanged && known) {
			t.Errorf("column %q: in data: %t, new value %v, old value %v", c.Name, inNew, e.New[i], e.Old[i])
		}
		if inOld != (known || e.Old[i].Kind == publisher.Null) {
			t.Errorf("column %q: in dataOld: %t, old value %v", c.Name, inOld, e.Old[i])
		}
		if slices.Contains(got.UnchangedToastedValues, c.Name) != missing {
			t.Errorf("column %q: listed as unchanged: %t", c.Name, !missing)
		}
	}
}

// Failure 26 of docs/failures.md.
func TestUnchangedValueIsTheOneOfTheOldRow(t *testing.T) {
	var got decoded
	e := event(users(), publisher.Update, slices.Repeat([]publisher.Value{unchanged}, 6), userRow("kept"))
	if err := json.Unmarshal(body(e, nil), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Data) != 6 || !reflect.DeepEqual(got.Data, got.DataOld) || len(got.UnchangedToastedValues) != 0 {
		t.Errorf("data is %v, dataOld %v, unchanged %q", got.Data, got.DataOld, got.UnchangedToastedValues)
	}
}

func TestLSNIsWrittenAsPostgreSQLDoes(t *testing.T) {
	for _, lsn := range []uint64{0, 1, 0xF, 0x10, 0x16B3748, 0xFFFFFFFF, 1 << 32, 0x16_B374D848, 1<<64 - 1} {
		want := fmt.Sprintf("%X/%X", lsn>>32, uint32(lsn))
		if got := string(publisher.AppendLSN(nil, lsn)); got != want {
			t.Errorf("%d is written as %s, want %s", lsn, got, want)
		}
	}
}

func TestBodiesAllocateNothing(t *testing.T) {
	row := userRow(strings.Repeat("é \"", 100))
	row[2] = unchanged
	e := event(users(), publisher.Update, row, userRow("old")[:1])
	plan := Walherald{}.Plan(e.Table, map[string]string{"env": "dev"})
	dst := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { plan.Append(dst, e) }); n != 0 {
		t.Errorf("%v allocations a body", n)
	}
}

func BenchmarkWalheraldInsertOfSixColumns(b *testing.B) {
	e := event(users(), publisher.Insert, userRow("Ada Lovelace"), nil)
	plan := Walherald{}.Plan(e.Table, nil)
	dst := make([]byte, 0, 1024)
	b.SetBytes(int64(len(plan.Append(dst, e))))
	b.ReportAllocs()
	for b.Loop() {
		plan.Append(dst, e)
	}
}
