package listener

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
)

// hostileSettings change how values look as text: none of it may reach an event.
var hostileSettings = map[string]string{
	"TimeZone": "Asia/Kolkata", "DateStyle": "SQL, DMY", "IntervalStyle": "iso_8601",
	"extra_float_digits": "0", "bytea_output": "escape",
}

// pgHostile returns a database of a server whose settings, those of the database
// and those of the role are hostile, and a connection with usual ones.
func pgHostile(t *testing.T) (s *pgSource, plain *pgx.Conn) {
	t.Helper()
	s = pgOwn(t, pgserver.Options{Settings: hostileSettings})
	for name, value := range hostileSettings {
		s.exec(
			fmt.Sprintf("ALTER DATABASE %s SET %s = '%s'", s.db.Name, name, value),
			fmt.Sprintf("ALTER ROLE %s SET %s = '%s'", s.db.User, name, value),
		)
	}
	s.conn, plain = s.connect(), s.connect()
	for name, value := range pinned {
		if _, err := plain.Exec(s.ctx, fmt.Sprintf("SET %s = '%s'", name, value)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.value("SELECT '2024-02-29 12:00+00'::timestamptz"); got != "29/02/2024 17:30:00 IST" {
		t.Fatalf("the settings are not hostile: a timestamp is %s", got)
	}
	return s, plain
}

// valueType is one block of testdata/values/types.txt.
type valueType struct {
	name, sqlType, only, setup, compare string
	values                              []valueGolden
}

// valueGolden is a value in SQL and the JSON it becomes.
type valueGolden struct {
	since     int // major version
	sql, json string
}

func readValueTypes(t *testing.T) []valueType {
	t.Helper()
	content, err := os.ReadFile("testdata/values/types.txt")
	if err != nil {
		t.Fatal(err)
	}
	var types []valueType
	for i, line := range strings.Split(string(content), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "" || word == "#" {
			continue
		}
		if word == "type" {
			name, sqlType, _ := strings.Cut(rest, " ")
			types = append(types, valueType{name: name, sqlType: sqlType, compare: "text"})
			continue
		}
		vt := &types[len(types)-1]
		switch word {
		case "only":
			vt.only = rest
		case "setup":
			vt.setup = rest
		case "compare":
			vt.compare = rest
		default:
			vt.values = append(vt.values, readValueGolden(t, i+1, line))
		}
	}
	return types
}

func readValueGolden(t *testing.T, number int, line string) (g valueGolden) {
	t.Helper()
	if since, rest, found := strings.Cut(line, "+ "); found && len(since) == 2 {
		g.since, _ = strconv.Atoi(since)
		line = rest
	}
	at := strings.LastIndex(line, " => ")
	if at < 0 {
		t.Fatalf("types.txt:%d: neither a value nor a word that is known: %s", number, line)
	}
	g.sql, g.json = line[:at], line[at+len(" => "):]
	return g
}

// valueRun plays blocks against one server.
type valueRun struct {
	*pgSource
	plain   *pgx.Conn
	sink    *guaranteeSink
	version int
	seen    int // messages
}

func startValueRun(t *testing.T, values config.Values) *valueRun {
	t.Helper()
	s, plain := pgHostile(t)
	s.cfg.Values = values
	version, err := strconv.Atoi(s.value("SELECT current_setting('server_version_num')::int / 10000"))
	if err != nil {
		t.Fatal(err)
	}
	r := &valueRun{pgSource: s, plain: plain, sink: newGuaranteeSink(), version: version}
	s.stream(r.sink)
	return r
}

// in returns the run for a subtest.
func (r *valueRun) in(t *testing.T) *valueRun {
	s := *r.pgSource
	s.t = t
	sub := *r
	sub.pgSource = &s
	return &sub
}

// rows executes a statement that changes n rows and returns their columns as JSON.
func (r *valueRun) rows(n int, sql string, args ...any) []map[string]json.RawMessage {
	r.t.Helper()
	r.seen = len(r.sink.messages())
	if _, err := r.conn.Exec(r.ctx, sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	var rows []map[string]json.RawMessage
	for _, m := range r.sink.awaitAccepted(r.ctx, r.t, r.seen+n)[r.seen:] {
		var body struct{ Data map[string]json.RawMessage }
		if err := json.Unmarshal([]byte(m.Body), &body); err != nil {
			r.t.Fatalf("body is no JSON: %v\n%s", err, m.Body)
		}
		rows = append(rows, body.Data)
	}
	return rows
}

// ask returns the only value of a plain query; NULL is "".
func (r *valueRun) ask(sql string, args ...any) string {
	r.t.Helper()
	var value *string
	if err := r.plain.QueryRow(r.ctx, sql, args...).Scan(&value); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	if value == nil {
		return ""
	}
	return *value
}

func TestValuesOfEveryTypeArriveAsTheServerHasThem(t *testing.T) {
	r := startValueRun(t, config.Default().Listener.Values)
	for _, vt := range readValueTypes(t) {
		if vt.only != "" && r.value(vt.only) != "true" {
			continue
		}
		vt.values = slices.DeleteFunc(vt.values, func(g valueGolden) bool { return g.since > r.version })
		t.Run(vt.name, func(t *testing.T) { r.in(t).play(vt) })
	}
}

// play sends every value of a type: alone, all in an array, and in two dimensions
// with lower bounds of their own.
func (r *valueRun) play(vt valueType) {
	r.t.Helper()
	if vt.setup != "" {
		r.exec(vt.setup)
	}
	table := "v_" + vt.name
	r.exec(fmt.Sprintf("CREATE TABLE %s (id int PRIMARY KEY, v %s, a %[2]s[], m %[2]s[], e %[2]s[])", table, vt.sqlType))
	var sql, want []string
	for i, g := range vt.values {
		sql, want = append(sql, fmt.Sprintf("(%s)::%s", g.sql, vt.sqlType)), append(want, g.json)
		row := r.rows(1, fmt.Sprintf("INSERT INTO %s VALUES (%d, %s)", table, i, g.sql))[0]
		r.is(g.sql, row["v"], g.json)
		r.compare(vt, row["v"], "v", table, i)
	}
	n := len(sql) + 1
	array := "ARRAY[" + strings.Join(sql, ", ") + ", NULL]::" + vt.sqlType + "[]"
	row := r.rows(1, fmt.Sprintf("INSERT INTO %s (id, a, e, m) SELECT %d, a, '{}', array_cat(array_fill(a[1], ARRAY[1,%[2]d], ARRAY[-1,1]), a) FROM (SELECT %s) AS q(a)",
		table, n, array))[0]
	list := "[" + strings.Join(append(want, "null"), ",") + "]"
	nested := "[[" + strings.Join(slices.Repeat(want[:1], n), ",") + "]," + list + "]"
	r.is("NULL", row["v"], "null")
	r.is("an empty array", row["e"], "[]")
	r.is(array, row["a"], list)
	r.is("two dimensions of "+array, row["m"], nested)
	r.compareArrays(vt, row, table, n)
}

func (r *valueRun) is(what string, got json.RawMessage, want string) {
	r.t.Helper()
	if string(got) != want {
		r.t.Errorf("%s is\n%s\nwant\n%s", what, got, want)
	}
}

// compareArrays compares each element of row n's arrays, of n elements and of two
// rows of n, with the same element in a plain query.
func (r *valueRun) compareArrays(vt valueType, row map[string]json.RawMessage, table string, n int) {
	r.t.Helper()
	var list []json.RawMessage
	var nested [][]json.RawMessage
	if err := errors.Join(json.Unmarshal(row["a"], &list), json.Unmarshal(row["m"], &nested)); err != nil {
		r.t.Fatal(err)
	}
	for i := range n {
		r.compare(vt, list[i], fmt.Sprintf("a[%d]", i+1), table, n)
		r.compare(vt, nested[0][i], fmt.Sprintf("m[-1][%d]", i+1), table, n)
		r.compare(vt, nested[1][i], fmt.Sprintf("m[0][%d]", i+1), table, n)
	}
}

// compare compares JSON with what a plain query says of the same value, in the
// way the type's block names.
func (r *valueRun) compare(vt valueType, got json.RawMessage, value, table string, id int) {
	r.t.Helper()
	from := fmt.Sprintf("FROM %s WHERE id = %d", table, id)
	if r.ask(fmt.Sprintf("SELECT (%s IS NULL)::text %s", value, from)) == "true" {
		r.is(value, got, "null")
		return
	}
	text := string(got)
	isString := len(got) > 0 && got[0] == '"' && json.Unmarshal(got, &text) == nil
	plain := r.ask(fmt.Sprintf("SELECT (%s)::text %s", value, from))
	same := false
	switch vt.compare {
	case "text":
		same = isString && text == plain
	case "output":
		plain = r.ask(fmt.Sprintf("SELECT concat(%s) %s", value, from))
		same = isString && text == plain
	case "number":
		same = text == plain
	case "document":
		same = string(got) == plain
	case "instant":
		same = isString && r.ask(fmt.Sprintf("SELECT (%s = $1::text::%s)::text %s", value, vt.sqlType, from), text) == "true"
	case "json":
		plain = r.ask(fmt.Sprintf("SELECT to_jsonb(%s)::text %s", value, from))
		same = sameJSON(string(got), plain)
	}
	if !same {
		r.t.Errorf("%s is %s, a plain query says %s", value, got, plain)
	}
}

// sameJSON compares two documents, numbers digit by digit.
func sameJSON(a, b string) bool {
	parse := func(s string) (v any) {
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return err
		}
		return v
	}
	return reflect.DeepEqual(parse(a), parse(b))
}
