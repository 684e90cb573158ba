package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/walherald/walherald/publisher"
)

// Values of rows, for short.
var (
	absent    = publisher.Value{}
	null      = publisher.Value{Kind: publisher.Null}
	unchanged = publisher.Value{Kind: publisher.Unchanged}
)

func text(s string) publisher.Value {
	return publisher.Value{Kind: publisher.Text, Text: []byte(s)}
}

// newColumn returns a column whose values are written by appendJSON.
func newColumn(name string, appendJSON func(dst, text []byte) []byte) publisher.Column {
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
		{Name: "id", Key: true, AppendJSON: AppendNumber},
		newColumn("name", AppendString), newColumn("email", AppendString),
		newColumn("active", appendBool), newColumn("balance", AppendNumber), newColumn("created_at", AppendString),
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
		CommitTime: 1709210096789012, CommitTimeText: []byte("2024-02-29T12:34:56.789012Z"),
	}
}

func userRow(name string) []publisher.Value {
	return []publisher.Value{
		text("123456789"), text(name), text("ada@example.org"),
		text("t"), text("1234.5600"), text("2024-02-29T12:34:56.789012Z"),
	}
}

// message returns the event of a logical message, as package listener makes it.
func message(prefix string, content, base64 publisher.Value) *publisher.Event {
	return event(&publisher.Table{Columns: []publisher.Column{
		{Name: "prefix", Key: true, AppendJSON: AppendString},
		newColumn("transactional", appendBool),
		newColumn("content", AppendString), newColumn("contentBase64", AppendString),
	}}, publisher.LogicalMessage, []publisher.Value{text(prefix), text("t"), content, base64}, nil)
}

var testSource = Source{Host: "db1", Database: "shop", Slot: "walherald"}

// envelopes returns all envelopes by name.
func envelopes(t testing.TB) map[string]Envelope {
	t.Helper()
	all := map[string]Envelope{}
	for _, name := range []string{
		EnvelopeWalherald, EnvelopeWalListener, EnvelopePGEvents, EnvelopePSQLStreamer, EnvelopeSetu, EnvelopeCloudEvents, EnvelopeDebezium,
	} {
		e, _, err := New(Options{Envelope: name, Source: testSource})
		if err != nil {
			t.Fatal(err)
		}
		all[name] = e
	}
	return all
}

func body(e *publisher.Event, tags map[string]string) []byte {
	return Walherald{testSource}.Plan(e.Table, tags).Append(nil, e)
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
		"unchangedToastedValues", "tags", "lsn", "xid", "seq", "source",
	}
	if !slices.Equal(members, want) {
		t.Errorf("members are %q, want %q", members, want)
	}
}

func TestBodyIsAppendedToWhatIsThere(t *testing.T) {
	for name, envelope := range envelopes(t) {
		for _, c := range goldenCases() {
			plan := envelope.Plan(c.event.Table, c.tags)
			once := plan.Append(nil, c.event)
			if got := plan.Append(slices.Clone(once), c.event); !bytes.Equal(got, append(slices.Clone(once), once...)) {
				t.Errorf("%s: %s: two bodies in a row are %s", name, c.about, got)
			}
		}
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
			newColumn(first, AppendString), newColumn(second, AppendDocument),
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

func FuzzBodiesOfAllEnvelopesAreJSON(f *testing.F) {
	f.Add("public", "users", "id", "name", "1", "Ada", "shop", []byte{2, 2, 0, 1, 2})
	f.Add(`"\`, "\n\x00", "\u2028", "größe", `{"`, "\xff", "\xff/?", []byte{3, 3, 2, 1, 1})
	f.Add("", "", "prefix", "content", "\x00\xff", "x", "", []byte{2, 2, 0, 0, 5})
	f.Fuzz(func(t *testing.T, schema, table, first, second, value, other, database string, kinds []byte) {
		if len(kinds) < 5 {
			return
		}
		values := make([]publisher.Value, 4)
		for i := range values {
			values[i] = publisher.Value{Kind: publisher.ValueKind(kinds[i] % 4), Text: []byte([]string{value, other}[i%2])}
		}
		e := event(&publisher.Table{Schema: schema, Name: table, Columns: []publisher.Column{
			newColumn(first, AppendString), newColumn(second, AppendDocument),
		}}, publisher.Insert+publisher.Action(kinds[4]%5), values[:2], values[2:])
		for name := range envelopes(t) {
			envelope, _, err := New(Options{Envelope: name, Source: Source{Host: database, Database: database, Slot: database}})
			if err != nil {
				t.Fatal(err)
			}
			encoded := envelope.Plan(e.Table, map[string]string{first: value}).Append(nil, e)
			if !json.Valid(encoded) || !utf8.Valid(encoded) {
				t.Errorf("body of %s is not JSON: %q", name, encoded)
			}
		}
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

// The events are those that come by the million: rows, and large ones.
func TestBodiesAllocateNothing(t *testing.T) {
	row := userRow(strings.Repeat("é \"", 100))
	row[2] = unchanged
	table := users()
	for _, e := range []*publisher.Event{
		event(table, publisher.Insert, row, nil), event(table, publisher.Update, row, userRow("old")[:1]),
		event(table, publisher.Delete, nil, row), event(table, publisher.Truncate, nil, nil),
	} {
		for name, envelope := range envelopes(t) {
			plan := envelope.Plan(table, map[string]string{"env": "dev"})
			dst := make([]byte, 0, 8192)
			if n := testing.AllocsPerRun(100, func() { plan.Append(dst, e) }); n != 0 {
				t.Errorf("%s: %v allocations for the body of %s", name, n, e.Action)
			}
		}
	}
}

// Many tables' events are encoded at once, and some of one table.
func TestPlanCanBeUsedBySeveralGoroutines(t *testing.T) {
	for name, envelope := range envelopes(t) {
		e := event(users(), publisher.Update, userRow("new"), userRow("old"))
		plan := envelope.Plan(e.Table, nil)
		want := plan.Append(nil, e)
		together(func() {
			if got := plan.Append(nil, e); !bytes.Equal(got, want) {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		})
	}
}

// together runs f in several goroutines at once, some times each.
func together(f func()) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				f()
			}
		})
	}
	wg.Wait()
}

func BenchmarkInsertOfSixColumns(b *testing.B) {
	e := event(users(), publisher.Insert, userRow("Ada Lovelace"), nil)
	for name, envelope := range envelopes(b) {
		b.Run(name, func(b *testing.B) { benchmarkBody(b, envelope.Plan(e.Table, nil), e) })
	}
}

func BenchmarkUpdateOfSixColumns(b *testing.B) {
	e := event(users(), publisher.Update, userRow("Ada Lovelace"), userRow("Ada Byron"))
	for name, envelope := range envelopes(b) {
		b.Run(name, func(b *testing.B) { benchmarkBody(b, envelope.Plan(e.Table, nil), e) })
	}
}

func benchmarkBody(b *testing.B, plan Plan, e *publisher.Event) {
	b.Helper()
	dst := make([]byte, 0, 4096)
	b.SetBytes(int64(len(plan.Append(dst, e))))
	b.ReportAllocs()
	for b.Loop() {
		plan.Append(dst, e)
	}
}
