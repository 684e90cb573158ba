package listener

import (
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// sixColumnRow is a row of common types.
var sixColumnRow = []struct {
	name, text string
	oid        uint32
}{
	{"id", "123456789", oidInt8},
	{"name", "Ada Lovelace", oidText},
	{"email", "ada@example.org", oidText},
	{"active", "t", oidBool},
	{"balance", "1234.5600", oidNumeric},
	{"created_at", "2024-02-29 12:34:56.789012+00", oidTimestamptz},
}

func TestValuesAllocateNothing(t *testing.T) {
	dst := make([]byte, 0, 1<<20)
	for _, values := range everyStyle {
		for _, tt := range append(append(styleTests, valueTests...), arrayTests...) {
			types := userTypes(oidBytea, tt.oid, ';')
			for _, oid := range []uint32{tt.oid, 16400, 16401, 16402, 16403} {
				appendJSON, text := appenderFor(oid, values, types), []byte(tt.in)
				if n := testing.AllocsPerRun(10, func() { appendJSON(dst, text) }); n != 0 {
					t.Errorf("type %d, %.60q: %v allocations", oid, tt.in, n)
				}
			}
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	for _, c := range append(sixColumnRow, []struct {
		name, text string
		oid        uint32
	}{
		{"document", `{"id": 1, "name": "Ada Lovelace", "tags": ["a", "b"], "score": 12.5}`, oidJSONB},
		{"numbers", `{1,2,3,4,5,6,7,8}`, oidInt4Array},
		{"texts", `{a,"b c","say \"hi\"",NULL}`, oidTextArray},
	}...) {
		b.Run(c.name, func(b *testing.B) {
			dst, appendJSON, text := make([]byte, 0, 1024), appenderFor(c.oid, config.Default().Listener.Values, nil), []byte(c.text)
			b.ReportAllocs()
			for b.Loop() {
				appendJSON(dst, text)
			}
		})
	}
}

// The whole body of an insert, as the default envelope has it.
func BenchmarkBodyOfSixColumnRow(b *testing.B) {
	table := &publisher.Table{Schema: "public", Name: "users"}
	var row []publisher.Value
	for _, c := range sixColumnRow {
		table.Columns = append(table.Columns, publisher.Column{Name: c.name, AppendJSON: appenderFor(c.oid, config.Default().Listener.Values, nil)})
		row = append(row, publisher.Value{Kind: publisher.Text, Text: []byte(c.text)})
	}
	plan := format.Walherald{}.Plan(table, nil)
	e := publisher.Event{
		Action: publisher.Insert, Table: table, New: row, LSN: 0x16B3748, XID: 742, Ordinal: 1,
		CommitTimeText: []byte("2024-02-29T12:34:56.789012Z"),
	}
	dst := make([]byte, 0, 1024)
	b.SetBytes(int64(len(plan.Append(dst, &e))))
	b.ReportAllocs()
	for b.Loop() {
		plan.Append(dst, &e)
	}
}
