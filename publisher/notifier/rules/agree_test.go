package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/file"
	"pgregory.net/rapid"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// wholeProgram compiles an expression for the virtual machine alone.
func wholeProgram(t testing.TB, when string) term {
	t.Helper()
	config := newConfig(expr.Patch(nilRules{}))
	tree, err := checker.ParseCheck(when, config)
	if err != nil {
		t.Fatal(err)
	}
	c := compiler{config: config, source: file.NewSource(when)}
	made := c.program(tree.Node)
	if c.err != nil {
		t.Fatal(c.err)
	}
	return made
}

var (
	texts     = []string{"", "a", "ab", "b\"\\\n", "ü", "10", "NaN", "Infinity", "-Infinity"}
	numbers   = []string{"0", "-0", "1", "9", "10", "10.0", "-1.5", "9007199254740993", "9223372036854775807", "-9223372036854775808", "12345678901234567890", "1e400", "0.1"}
	booleans  = []string{"t", "f"}
	documents = []string{`null`, `"a"`, `"\u00fc\n\ud83d\ude00\ud800"`, ` 10 `, `1.0`, `true`, `[1,2.0,"a"]`, `{"a":1}`, `{"a":1.0}`, `-0`, `1e400`}
)

// drawRow draws a row of orders.
func drawRow(t *rapid.T, label string) []publisher.Value {
	unknowns := []string{sqlNull, absent, unchanged}
	kinds := map[string][]string{"id": numbers, "price": append(numbers, texts[6:]...), "paid": booleans, "doc": documents}
	values := make([]publisher.Value, len(orders.Columns))
	for i, c := range orders.Columns {
		kind := kinds[c.Name]
		if kind == nil {
			kind = texts
		}
		values[i] = valueOf(rapid.SampledFrom(append(unknowns, kind...)).Draw(t, label+c.Name))
	}
	return values
}

// drawEvent draws an event of orders.
func drawEvent(t *rapid.T) *publisher.Event {
	e := &publisher.Event{Table: orders, Action: rapid.SampledFrom(allActions[:4]).Draw(t, "action")}
	if hasRow(e.Action, false) {
		e.New = drawRow(t, "new ")
	}
	if hasRow(e.Action, true) && rapid.Bool().Draw(t, "has old") {
		e.Old = drawRow(t, "old ")
	}
	return e
}

// writer writes an expression that is evaluated over the bytes alone.
type writer struct {
	t        *rapid.T
	constant bool // there are parts that do not depend on rows
}

func (w *writer) pick(label string, list ...string) string {
	return rapid.SampledFrom(list).Draw(w.t, label)
}

func (w *writer) column() string {
	side := w.pick("side", "old", "new")
	if name := w.pick("column", "id", "price", "status", "note", "paid", "doc", "Mixed Name"); !strings.Contains(name, " ") {
		return side + "." + name
	}
	return side + `["Mixed Name"]`
}

func (w *writer) literal() string {
	literals := []string{"true", "0", "1", "-1", "10", "1.5", "1e300", "9007199254740992", "9223372036854775807"}
	for _, text := range texts {
		literals = append(literals, strconv.Quote(text))
	}
	return w.pick("literal", literals...)
}

func (w *writer) ordered() string {
	if literal := w.literal(); literal != "true" {
		return literal
	}
	return "7"
}

func (w *writer) text() string { return strconv.Quote(w.pick("text", texts...)) }

func (w *writer) expression(depth int) string {
	kinds := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	if depth > 0 {
		kinds = append(kinds, 10, 11, 12, 13)
	}
	switch rapid.SampledFrom(kinds).Draw(w.t, "kind") {
	case 0:
		return w.column() + w.pick("equality", " == ", " != ") + w.pick("nil", "nil", w.literal())
	case 1:
		return w.column() + w.pick("order", " < ", " <= ", " > ", " >= ") + w.ordered()
	case 2:
		return w.ordered() + w.pick("order", " < ", " <= ", " > ", " >= ") + w.column()
	case 3:
		return w.column() + w.pick("relation", " == ", " != ", " < ", " >= ", " contains ", " endsWith ") + w.column()
	case 4:
		return w.column() + w.pick("in", " in [", " not in [") + w.literal() + ", " + w.literal() + ", nil]"
	case 5:
		return w.column() + w.pick("search", " contains ", " startsWith ", " endsWith ") + w.text()
	case 6:
		return w.column() + " matches " + w.pick("pattern", `"^a"`, `"b?$"`, `"(?i)A|ü"`)
	case 7:
		return w.column()
	case 8:
		w.constant = true
		return w.pick("name", `action == "UPDATE"`, `table != "orders"`, `schema in ["public"]`, `topic startsWith "x"`, `"DELETE" == action`)
	case 9:
		w.constant = true
		return w.pick("constant", "true", "false")
	case 10:
		return w.pick("not", "!", "not ") + "(" + w.expression(depth-1) + ")"
	}
	return "(" + w.expression(depth-1) + w.pick("junction", " && ", " || ", " and ", " or ") + w.expression(depth-1) + ")"
}

func TestBytesAndVirtualMachineAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		for range 10 {
			agree(t, rt)
		}
	})
}

// agree draws an expression and compares what comes of it for some events.
func agree(t *testing.T, rt *rapid.T) {
	w := &writer{t: rt}
	when := w.expression(3)
	bytesAlone, machineAlone := planWhen(t, when), whole(t, when)
	for _, a := range bytesAlone.agendas {
		if len(a.rules) > 0 && usesMachine(a.rules[0].when) {
			rt.Fatalf("%s needs the virtual machine", when)
		}
	}
	for range 20 {
		e := drawEvent(rt)
		got, gotErr := bytesAlone.Match(e)
		want, wantErr := machineAlone.Match(e)
		settled := w.constant || e.Action != publisher.Update // the plan may know better than to fail
		if wantErr == nil && (gotErr != nil || got != want) || wantErr != nil && gotErr == nil && !settled {
			rt.Fatalf("%s: %d, %v over the bytes; %d, %v in the virtual machine", when, got, gotErr, want, wantErr)
		}
	}
}

// usesMachine reports whether a part of the term is a program.
func usesMachine(t term) bool {
	switch t := t.(type) {
	case *program:
		return true
	case *not:
		return usesMachine(t.term)
	case *junction:
		return usesMachine(t.left) || usesMachine(t.right)
	}
	return false
}

func TestScalarsAreReadAsJSONIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(
			rapid.Map(rapid.String(), func(s string) string { return string(format.AppendString(nil, []byte(s))) }),
			rapid.StringMatching(`"([a-z]|\\(["\\/bfnrt]|u[0-9a-fA-F]{4}|ud[89abAB]0f|ud[c-f]e[0-9]))*"`),
			rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?`),
			rapid.SampledFrom([]string{"true", "false", "null", " [1, {\"a\": 1.5}] "}),
		).Draw(t, "value")
		s, _ := parseJSON([]byte(value), nil)
		got := s.value()
		want := decodeDocument([]byte(value))
		if fmt.Sprintf("%T %#v", got, got) != fmt.Sprintf("%T %#v", want, want) {
			t.Fatalf("%s is %#v, want %#v", value, got, want)
		}
		if s.kind == isFloat {
			var number json.Number
			d := json.NewDecoder(bytes.NewReader([]byte(value)))
			d.UseNumber()
			if err := d.Decode(&number); err != nil {
				t.Fatal(err)
			}
			if want, _ := number.Float64(); s.float != want {
				t.Fatalf("%s is %g, want %g", value, s.float, want)
			}
		}
	})
}
