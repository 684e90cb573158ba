package rules

import (
	"errors"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

func planWhen(t *testing.T, when string) *Plan {
	t.Helper()
	return planOf(t, orders, nil, config.Rule{When: when})
}

// whole makes a plan whose expression runs in the virtual machine as a whole.
func whole(t testing.TB, when string) *Plan {
	t.Helper()
	s, err := New([]config.NamedRule{ruleOf(config.Rule{When: when})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := s.rules[0].when
	x.term = wholeProgram(t, when)
	return s.Plan(orders, topicOf(orders))
}

func TestExpressionsSeeValuesAsInBodies(t *testing.T) {
	everything := updated(
		[]string{"id=1", "status=open", "price=9.50", "note=a", "paid=f", "doc={\"n\": 1}", "at=2024-09-30 10:00:00"},
		[]string{
			"id=2", "status=paid", "price=10", "note=line\nbreak \"x\" \\ ü", "paid=t",
			`doc={"city": {"name": "Ulm"}, "tags": ["a", "b"], "big": 9007199254740993, "f": 1.5, "huge": 1e400}`, "at=2024-10-01 00:00:00", "Mixed Name=x",
		})
	for _, when := range []string{
		`new.price > old.price`, `new.price == 10`, `new.price == 10.0`, `old.price == 9.5`, `old.price < 10`, `not (old.price >= 10)`,
		`new.price >= 10 && new.price <= 10 && new.price > -1`, `-1 < new.price`,
		`new.status == "paid"`, `old.status != new.status`, `new.status in ["void", "paid"]`, `new.status not in ["void"]`,
		`new.id in [1, 2]`, `new.id in 1..3`, `new["Mixed Name"] == "x"`, `new?.status == "paid"`,
		`new.paid`, `!old.paid`, `new.paid == true`, `new.paid and not old.paid`, `old.paid ? false : true`,
		`new.note contains "break"`, `new.note startsWith "line\n"`, `new.note endsWith "ü"`, `new.note matches "^line\\s"`, `new.note contains "\"x\" \\"`,
		`new.at > "2024-09-30"`, `new.at == "2024-10-01T00:00:00Z"`, `date(new.at).Year() == 2024`, `date(new.at) > date(old.at)`, `date(new.at) < now()`,
		`new.doc.city.name == "Ulm"`, `"b" in new.doc.tags`, `new.doc.big == 9007199254740993`, `new.doc.f > 1`, `new.doc.huge > 1.7e308`, `old.doc.n + 1 == 2`,
		`new.doc.missing == nil`, `new.doc.missing?.deeper == nil`, `new.doc != old.doc`, `new.doc == new.doc`,
		`len(new.note) > 3 && new.price > 9`, `lower(new.status) == "paid"`, `any(new.doc.tags, # == "a")`,
		`"status" in new`, `new[table == "orders" ? "status" : "x"] == "paid"`, `len(keys(new)) == 8`, `$env.new.status == "paid"`, `$env["action"] == "UPDATE"`,
		`let s = new.status; s == "paid" || s == "void"`,
		`action == "UPDATE" && table == "orders" && schema == "public" && topic == "public_orders"`,
		`action + table + schema + topic == "UPDATEorderspublicpublic_orders"`,
	} {
		for name, p := range map[string]*Plan{"bytes": planWhen(t, when), "machine": whole(t, when)} {
			if !matches(t, p, everything) {
				t.Errorf("%s does not match (%s)", when, name)
			}
		}
	}
}

func TestNilIsNeitherLessNorGreaterAndFalse(t *testing.T) {
	e := updated(nil, []string{"id=1", "price=" + sqlNull, "paid=" + sqlNull, "note=" + absent, "doc={\"n\": null}"})
	for when, want := range map[string]bool{
		`new.price < 1`: false, `new.price > 1`: false, `new.price <= 1`: false, `new.price >= 1`: false, `1 < new.price`: false,
		`new.price < new.price`: false, `!(new.price < 1)`: true, `new.price < len("a")`: false, `new.price < now()`: false,
		`new.price == nil`: true, `new.price != nil`: false, `nil == new.note`: true, `new.price == 0`: false, `new.price != 0`: true,
		`old.status == nil`: true, `old.price < 5`: false, `old.status != "x"`: true,
		`new.paid`: false, `!new.paid`: true, `not new.paid && true`: true, `new.paid || new.id == 1`: true, `new.paid ? false : true`: true,
		`new.note contains "a"`: false, `new.note startsWith ""`: false, `new.note matches ".*"`: false, `new.note endsWith ""`: false,
		`new.note in ["a", nil]`: true, `new.note in ["a"]`: false, `new.doc.n < 3`: false, `(new.price ?? 5) > 4`: true, `new.doc == nil`: false,
		`(new.paid ?? true) && true`: true,
	} {
		for name, p := range map[string]*Plan{"bytes": planWhen(t, when), "machine": whole(t, when)} {
			if got := matches(t, p, e); got != want {
				t.Errorf("%s is %t (%s)", when, got, name)
			}
		}
	}
}

func TestRowsThatAreNotThereAreNil(t *testing.T) {
	for _, c := range []struct {
		when string
		e    *publisher.Event
		want bool
	}{
		{`old.status == nil`, inserted("status=x"), true},
		{`new.status == nil`, deleted("status=x"), true},
		{`old.status == "x"`, deleted("status=x"), true},
		{`old.status == nil && new.status == nil`, truncated(), true},
		{`new.status != "x"`, truncated(), true},
		{`new.nowhere == nil`, inserted(), true},
		{`len(old) == 0`, inserted("status=x"), true},
		{`len(new) == 0`, deleted("status=x"), true},
	} {
		if got := matches(t, planWhen(t, c.when), c.e); got != c.want {
			t.Errorf("%s is %t for %s", c.when, got, c.e.Action)
		}
	}
}

func TestValuesOfOneEventAreNotSeenInTheNext(t *testing.T) {
	p := planWhen(t, `len(old.note ?? "") + len(new.note ?? "") == 2`)
	for _, c := range []struct {
		e    *publisher.Event
		want bool
	}{
		{updated([]string{"note=a"}, []string{"note=b"}), true},
		{inserted("note=b"), false},
		{updated(nil, []string{"note=b"}), false},
		{deleted("note=bb"), true},
		{updated([]string{"note=a"}, []string{"note=" + unchanged}), true},
	} {
		if got := matches(t, p, c.e); got != c.want {
			t.Errorf("%s: %t", c.e.Action, got)
		}
	}
}

func TestNumbersThatHaveNoDigitsAreOrderedAsPostgreSQLOrdersThem(t *testing.T) {
	for value, above := range map[string]bool{"NaN": true, "Infinity": true, "-Infinity": false} {
		e := inserted("price=" + value)
		for when, want := range map[string]bool{
			`new.price > 1e300`: above, `new.price >= 5`: above, `new.price < 5`: !above, `5 > new.price`: !above, `new.price == 5`: false,
		} {
			for name, p := range map[string]*Plan{"bytes": planWhen(t, when), "machine": whole(t, when)} {
				if got := matches(t, p, e); got != want {
					t.Errorf("%s is %t for %s (%s)", when, got, value, name)
				}
			}
		}
	}
}

func TestEvaluationErrorsHoldNothingOfTheRow(t *testing.T) {
	e := inserted("id=77001", "status=topsecret", "price=12345.678", "doc={\"topsecret\": 12345}", "paid=t")
	for when, at := range map[string]string{
		`new.status > 5`: "1:12", `5 < new.status`: "1:3", `new.id contains "x"`: "1:8", `new.id matches "x"`: "1:8", `new.status`: "1:",
		`new.status && true`: "1:", `!new.status`: "1:", `new.paid < new.status`: "1:10",
		`len(new.id) > 1`: "1:1", `new.status + 1 == 2`: "1:12", `int(new.status) == 1`: "1:1", `date(new.status) < now()`: "1:1",
		`new.id.topsecret == 1`: "1:", `new.doc[new.status].x.y == 1`: "1:", `new.doc.x[new.status] == 1`: "1:", `fromJSON(new.status) == 1`: "1:",
		`duration(new.status) == duration("1s")`: "1:1", `new.status[new.id] == "x"`: "1:", `new.status in new.id`: "1:", `new.id % 0 == new.price % 2`: "1:",
		"true &&\n new.status < 3": "2:13", "true && len(\n new.id) > 3": "1:9",
	} {
		p := planWhen(t, when)
		rule, err := p.Match(e)
		var broken *Error
		if rule != 0 || !errors.As(err, &broken) {
			t.Errorf("%s: rule %d, %v; want an error of rule 0", when, rule, err)
			continue
		}
		text := err.Error()
		if !strings.HasPrefix(text, "notifier.rules[3].when: cannot be evaluated at "+at) {
			t.Errorf("%s: error %q, want it at %s", when, text, at)
		}
		for _, data := range []string{"topsecret", "12345", "77001"} {
			if strings.Contains(text, data) {
				t.Errorf("%s: error %q has data of the row", when, text)
			}
		}
	}
}

func TestErrorThatDoesNotMatterIsNone(t *testing.T) {
	e := inserted("status=x", "price=5")
	for when, want := range map[string]bool{
		`new.status > 5 && action == "DELETE"`: false, `new.price == 5 || new.status > 5`: true, `new.price == 6 && new.status > 5`: false,
		`new.status > 5 || action == "INSERT"`: true, `new.price == 6 && len(new.price) > 5`: false,
	} {
		if got := matches(t, planWhen(t, when), e); got != want {
			t.Errorf("%s is %t", when, got)
		}
	}
}

func TestRuleBeforeAFailingOneStillMatches(t *testing.T) {
	p := planOf(t, orders, nil, config.Rule{When: `new.price == 5`}, config.Rule{When: `new.status > 5`}, config.Rule{})
	if rule, err := p.Match(inserted("price=5", "status=x")); rule != 0 || err != nil {
		t.Errorf("rule %d, %v", rule, err)
	}
	if rule, err := p.Match(inserted("price=6", "status=x")); rule != 1 || err == nil {
		t.Errorf("rule %d, %v; want an error of rule 1", rule, err)
	}
}

func TestHugeValueIsNotKept(t *testing.T) {
	p := planWhen(t, `new.note == "x"`)
	matches(t, p, inserted("note="+strings.Repeat("y", 2*maxScratch)))
	matches(t, p, inserted("note=y"))
	if cap(p.cells.scratch) > maxScratch {
		t.Errorf("keeps %d bytes", cap(p.cells.scratch))
	}
}
