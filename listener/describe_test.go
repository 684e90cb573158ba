package listener

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
)

// scriptedSQL answers the statements it is asked, in order, and fails on any more.
type scriptedSQL struct {
	answers [][][]string
	asked   []string
}

func (s *scriptedSQL) query(_ context.Context, sql string) ([][]string, error) {
	s.asked = append(s.asked, sql)
	if len(s.asked) > len(s.answers) {
		return nil, errors.New("out of answers")
	}
	return s.answers[len(s.asked)-1], nil
}

// tableOf describes a table with columns of these types.
func tableOf(identity pgoutput.ReplicaIdentity, types ...uint32) *pgoutput.Relation {
	rel := &pgoutput.Relation{ID: 16500, Namespace: "public", Name: "t", Identity: identity}
	for i, oid := range types {
		rel.Columns = append(rel.Columns, pgoutput.RelationColumn{Name: fmt.Sprint("c", i), TypeOID: oid})
	}
	return rel
}

func mustDescribe(t *testing.T, c *catalogue, rel *pgoutput.Relation) details {
	t.Helper()
	d, err := c.describe(t.Context(), rel)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNothingIsAskedForBuiltInTypesAndKeys(t *testing.T) {
	c := newCatalogue(&scriptedSQL{})
	for _, identity := range []pgoutput.ReplicaIdentity{pgoutput.IdentityDefault, pgoutput.IdentityIndex, pgoutput.IdentityNothing} {
		d := mustDescribe(t, c, tableOf(identity, oidInt8, oidText, oidNumericArray, firstAssignedOID-1))
		if len(d.types)+len(d.primaryKey) != 0 {
			t.Errorf("identity %c: %v", identity, d)
		}
	}
}

func TestDomainsTheLogTellsOfAreNotAskedFor(t *testing.T) {
	c := newCatalogue(&scriptedSQL{})
	c.learn(&pgoutput.Type{ID: 16390, Name: "numeric"})
	c.learn(&pgoutput.Type{ID: 16391, Name: "_int4"})
	c.learn(&pgoutput.Type{ID: 16392, Name: "text"})
	d := mustDescribe(t, c, tableOf(pgoutput.IdentityDefault, 16390, 16391, 16392))
	for oid, want := range map[uint32]string{16390: `1.50`, 16391: `"1.50"`, 16392: `"1.50"`} {
		if got := string(appenderFor(oid, config.Default().Listener.Values, d.types)(nil, []byte("1.50"))); got != want {
			t.Errorf("type %d: got %s, want %s", oid, got, want)
		}
	}
	if got := string(appenderFor(16391, config.Values{}, d.types)(nil, []byte("{1,2}"))); got != "[1,2]" {
		t.Errorf("domain over an array: got %s", got)
	}
}

// A schema of the user's can have a type with a built-in name.
func TestTypeOfAnotherSchemaIsNotTakenForTheBuiltInOne(t *testing.T) {
	sql := &scriptedSQL{answers: [][][]string{{{"16390", "0", "", ""}}}}
	c := newCatalogue(sql)
	c.learn(&pgoutput.Type{ID: 16390, Namespace: "public", Name: "numeric"})
	d := mustDescribe(t, c, tableOf(pgoutput.IdentityDefault, 16390))
	if got := string(appenderFor(16390, config.Values{}, d.types)(nil, []byte("1.50"))); got != `"1.50"` || len(sql.asked) != 1 {
		t.Errorf("got %s after %d questions", got, len(sql.asked))
	}
}

func TestTypesAreAskedForOnceInOneQuestion(t *testing.T) {
	sql := &scriptedSQL{answers: [][][]string{
		{
			{"16400", "0", "16390", ","}, // array of an enum
			{"16401", "0", "16391", ";"}, // array of a domain
			{"16402", "16403", "", ""},   // domain over a domain over an array of a domain
			{"16403", "16401", "", ""},
			{"16391", "16392", "", ""}, // domain over a domain over numeric
			{"16392", "1700", "", ""},
			{"16404", "0", "16402", ","}, // array of a domain over an array
			{"16405", "1231", "", ""},    // domain over an array of numeric
			{"16390", "0", "", ""},       // enum
		},
		{{"16407", "0", "", ""}},
	}}
	c := newCatalogue(sql)
	table := tableOf(pgoutput.IdentityDefault, oidInt4, 16400, 16402, 16404, 16405)
	d := mustDescribe(t, c, table)
	for oid, want := range map[uint32]typeInfo{
		16400: {element: 16390, delimiter: ','}, 16401: {element: 1700, delimiter: ';'}, 16402: {element: 1700, delimiter: ';'},
		16404: {element: 16401, delimiter: ','}, 16405: {base: 1231}, 16391: {base: 1700}, 16390: {},
	} {
		if got := d.types[oid]; got != want {
			t.Errorf("type %d is %+v, want %+v", oid, got, want)
		}
	}
	mustDescribe(t, c, table)
	mustDescribe(t, c, tableOf(pgoutput.IdentityDefault, 16391, 16407, 16401))
	if len(sql.asked) != 2 || !strings.Contains(sql.asked[0], "IN (16400,16402,16404,16405)") || !strings.Contains(sql.asked[1], "IN (16407)") {
		t.Errorf("asked %q", sql.asked)
	}
}

func TestTypeThatIsNotVisibleYetIsAskedForAgain(t *testing.T) {
	sql := &scriptedSQL{answers: [][][]string{nil, {{"16401", "20", "", ""}}, {{"16400", "1700", "", ""}, {"16401", "20", "", ""}}}}
	d := mustDescribe(t, newCatalogue(sql), tableOf(pgoutput.IdentityDefault, 16400, 16401))
	if want := map[uint32]typeInfo{16400: {base: 1700}, 16401: {base: 20}}; !reflect.DeepEqual(d.types, want) {
		t.Errorf("got %v, want %v", d.types, want)
	}
}

func TestTypeThatIsGoneIsTextAndNotAskedForTwice(t *testing.T) {
	sql := &scriptedSQL{answers: make([][][]string, 100)}
	c := newCatalogue(sql)
	d := mustDescribe(t, c, tableOf(pgoutput.IdentityDefault, 16400))
	if got := string(appenderFor(16400, config.Values{}, d.types)(nil, []byte("{1}"))); got != `"{1}"` {
		t.Errorf("got %s", got)
	}
	n := len(sql.asked)
	mustDescribe(t, c, tableOf(pgoutput.IdentityDefault, 16400))
	if len(sql.asked) != n || n < 2 {
		t.Errorf("asked %d times, then %d", n, len(sql.asked)-n)
	}
}

func TestPrimaryKeyIsReadAtEveryDescriptionOfAWholeRowIdentity(t *testing.T) {
	sql := &scriptedSQL{answers: [][][]string{{{"b"}, {"a"}}, {{""}}, nil, {{"c"}}}}
	c := newCatalogue(sql)
	for _, want := range [][]string{{"b", "a"}, nil, {"c"}} { // the second has no key; the third is not visible at first
		if d := mustDescribe(t, c, tableOf(pgoutput.IdentityFull, oidInt4)); !reflect.DeepEqual(d.primaryKey, want) {
			t.Errorf("got %v, want %v", d.primaryKey, want)
		}
	}
}

func TestCatalogueThatCannotBeReadIsAnError(t *testing.T) {
	for name, answer := range map[string][][][]string{
		"no answer":         nil,
		"too few columns":   {{{"16400", "0", ""}}},
		"an OID of letters": {{{"16400", "x", "", ""}}},
		"an OID too large":  {{{"16400", "4294967296", "", ""}}},
	} {
		if d, err := newCatalogue(&scriptedSQL{answers: answer}).describe(t.Context(), tableOf(pgoutput.IdentityDefault, 16400)); err == nil {
			t.Errorf("%s: got %v", name, d)
		}
	}
	if d, err := newCatalogue(&scriptedSQL{}).describe(t.Context(), tableOf(pgoutput.IdentityFull, oidInt4)); err == nil {
		t.Errorf("primary key: got %v", d)
	}
}
