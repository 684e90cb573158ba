package listener

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// wideRow is a row of values that the log leaves out of an update that does not
// change them: 100 kB each, kept outside of the table (TOAST).
const wideRow = `SELECT string_agg(md5(i::text), '') AS t, to_jsonb(array_agg(md5(i::text))) AS j,
	array_agg(md5(i::text)) AS a, decode(string_agg(md5(i::text), ''), 'hex') AS b FROM generate_series(1, 6400) AS i`

// wideBody is a body with the values as they are.
type wideBody struct {
	Data, DataOld map[string]json.RawMessage
	Unchanged     []string `json:"unchangedToastedValues"`
}

// wideUpdate inserts a row with wide columns into table, changes another column of
// it, and returns both events.
func wideUpdate(t *testing.T, s pgSource, sink *guaranteeSink, insert, update string) (inserted, updated wideBody) {
	t.Helper()
	s.t = t
	n := len(sink.messages())
	s.exec(insert, update)
	got := sink.awaitAccepted(s.ctx, t, n+2)[n:]
	for i, body := range []*wideBody{&inserted, &updated} {
		if err := json.Unmarshal([]byte(got[i].Body), body); err != nil {
			t.Fatal(err)
		}
	}
	if string(updated.Data["n"]) != "2" {
		t.Errorf("the changed column is %s", updated.Data["n"])
	}
	return inserted, updated
}

// Failure 26 of docs/failures.md.
func TestWideValuesThatDidNotChangeAreListedOrFilledAndNeverNull(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE wide AS " + wideRow)
	sink := newGuaranteeSink()
	s.cfg.Filter.Tables = map[string][]string{"by_default": {"insert", "update"}, "by_full": {"insert", "update"}}
	s.stream(sink)
	columns := []string{"t", "j", "a", "b"}
	for _, identity := range []string{"default", "full"} {
		t.Run(identity, func(t *testing.T) {
			s := *s
			s.t = t
			table := "by_" + identity
			s.exec("CREATE TABLE "+table+" (id int PRIMARY KEY, n int, t text, j jsonb, a text[], b bytea)",
				"ALTER TABLE "+table+" REPLICA IDENTITY "+identity)
			inserted, updated := wideUpdate(t, s, sink, "INSERT INTO "+table+" SELECT 1, 1, * FROM wide", "UPDATE "+table+" SET n = 2")
			for _, c := range columns {
				whole, now, old := string(inserted.Data[c]), string(updated.Data[c]), string(updated.DataOld[c])
				if len(whole) < 100_000 {
					t.Fatalf("%s of the insert has %d bytes", c, len(whole))
				}
				if identity == "full" && (now != whole || old != whole) {
					t.Errorf("%s has %d bytes, %d of the old row; want %d", c, len(now), len(old), len(whole))
				}
				if identity == "default" && (now != "" || old != "") {
					t.Errorf("%s is %.40q, of the old row %.40q; want it left out", c, now, old)
				}
			}
			if identity == "full" {
				columns = []string{}
			}
			if !slices.Equal(updated.Unchanged, columns) {
				t.Errorf("unchanged are %v, want %v", updated.Unchanged, columns)
			}
		})
	}
}

func TestWideKeyOfAnIndexIsFilledFromTheOldRow(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY, n int, k text NOT NULL, other text)",
		"ALTER TABLE t ALTER k SET STORAGE EXTERNAL, ALTER other SET STORAGE EXTERNAL",
		"CREATE UNIQUE INDEX k ON t (k)", "ALTER TABLE t REPLICA IDENTITY USING INDEX k")
	sink := newGuaranteeSink()
	s.stream(sink)
	const wide = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 80) AS i)"
	inserted, updated := wideUpdate(t, *s, sink, fmt.Sprintf("INSERT INTO t SELECT 1, 1, w, w FROM %s AS q(w)", wide), "UPDATE t SET n = 2")
	key := string(inserted.Data["k"])
	if len(key) != 80*32+2 || string(updated.Data["k"]) != key || string(updated.DataOld["k"]) != key {
		t.Errorf("key is %.40q, of the old row %.40q; want %.40q", updated.Data["k"], updated.DataOld["k"], key)
	}
	if _, ok := updated.Data["other"]; ok || !slices.Equal(updated.Unchanged, []string{"other"}) {
		t.Errorf("unchanged are %v; other is %.40q", updated.Unchanged, updated.Data["other"])
	}
	m := sink.messages()
	if keys := m[0].Key == m[1].Key; !keys || m[0].Key != strings.Trim(key, `"`) {
		t.Errorf("the keys of the messages are %.40q and %.40q", m[0].Key, m[1].Key)
	}
}
