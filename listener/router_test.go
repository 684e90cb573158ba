package listener

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

func mustRouter(t testing.TB, cfg config.Listener, route Route) *router {
	t.Helper()
	if route.Envelope == nil {
		route.Envelope = format.Walherald{}
	}
	route.Rules = cfg.TopicRules()
	r, err := newRouter(cfg, []Route{route}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustPlan(t testing.TB, r *router, rel *pgoutput.Relation, d details) *plan {
	t.Helper()
	p, err := r.plan(rel, d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// describedTable is a table whose key columns are marked with an asterisk.
func describedTable(name string, identity pgoutput.ReplicaIdentity, columns ...string) *pgoutput.Relation {
	schema, table, _ := strings.Cut(name, ".")
	rel := &pgoutput.Relation{ID: 1, Namespace: schema, Name: table, Identity: identity}
	for _, c := range columns {
		plain, key := strings.CutSuffix(c, "*")
		rel.Columns = append(rel.Columns, pgoutput.RelationColumn{Name: plain, Key: key, TypeOID: oidText})
	}
	return rel
}

func TestFilterIncludeAndExcludeDecideTogether(t *testing.T) {
	tables := func(t map[string][]string) config.TableActions { return config.TableActions{Tables: t} }
	const all = "INSERT UPDATE DELETE TRUNCATE"
	users := tables(map[string][]string{"users": {"insert"}})
	qualified := tables(map[string][]string{"public.users": {"insert", "delete"}})
	both := tables(map[string][]string{"public.users": {"delete"}, "users": {"insert"}})
	tests := []struct {
		name  string
		cfg   config.Listener
		table string
		want  string
	}{
		{"no rule lets everything pass", config.Listener{}, "public.users", all},

		{"filter lets the actions of a listed table pass", config.Listener{Filter: users}, "public.users", "INSERT"},
		{"filter by plain name holds in every schema", config.Listener{Filter: users}, "audit.users", "INSERT"},
		{"filter drops a table it does not list", config.Listener{Filter: users}, "public.orders", ""},
		{"filter by qualified name holds in its schema", config.Listener{Filter: qualified}, "public.users", "INSERT DELETE"},
		{"filter by qualified name drops its namesake", config.Listener{Filter: qualified}, "audit.users", ""},
		{"filter prefers the qualified name", config.Listener{Filter: both}, "public.users", "DELETE"},
		{"filter falls back to the plain name", config.Listener{Filter: both}, "audit.users", "INSERT"},
		{"filter keeps the case of tables", config.Listener{Filter: users}, "public.Users", ""},
		{
			"filter takes actions in any case",
			config.Listener{Filter: tables(map[string][]string{"users": {"Insert", "TRUNCATE", "uPdAtE"}})},
			"public.users", "INSERT UPDATE TRUNCATE",
		},

		{"include narrows the table it lists", config.Listener{Include: users}, "public.users", "INSERT"},
		{"include lets other tables pass", config.Listener{Include: users}, "public.orders", all},
		{"include by qualified name lets its namesake pass", config.Listener{Include: qualified}, "audit.users", all},
		{"include prefers the qualified name", config.Listener{Include: both}, "public.users", "DELETE"},
		{
			"include takes actions in any case",
			config.Listener{Include: tables(map[string][]string{"users": {"DELETE", "Truncate"}})},
			"public.users", "DELETE TRUNCATE",
		},
		{"filter and include both have to agree", config.Listener{Filter: qualified, Include: users}, "public.users", "INSERT"},
		{"include lists nothing for filter", config.Listener{Filter: users, Include: qualified}, "public.orders", ""},

		{"exclude drops a schema in any case", config.Listener{Exclude: config.Exclude{Schemas: []string{"AUDIT"}}}, "audit.users", ""},
		{"exclude of a schema spares the others", config.Listener{Exclude: config.Exclude{Schemas: []string{"audit"}}}, "audit2.users", all},
		{"exclude drops a table in any case", config.Listener{Exclude: config.Exclude{Tables: []string{"users"}}}, "public.Users", ""},
		{"exclude of a table holds in every schema", config.Listener{Exclude: config.Exclude{Tables: []string{"users"}}}, "audit.users", ""},
		{"exclude drops a qualified table in any case", config.Listener{Exclude: config.Exclude{Tables: []string{"Public.Users"}}}, "public.users", ""},
		{"exclude of a qualified table spares its namesake", config.Listener{Exclude: config.Exclude{Tables: []string{"public.users"}}}, "audit.users", all},
		{"exclude wins over filter", config.Listener{Filter: users, Exclude: config.Exclude{Tables: []string{"users"}}}, "public.users", ""},
		{"exclude wins over include", config.Listener{Include: users, Exclude: config.Exclude{Schemas: []string{"public"}}}, "public.users", ""},
		{"an empty schema is pg_catalog", config.Listener{Exclude: config.Exclude{Schemas: []string{"pg_catalog"}}}, ".pg_class", ""},
	}
	for _, tt := range tests {
		p := mustPlan(t, mustRouter(t, tt.cfg, Route{}), describedTable(tt.table, pgoutput.IdentityDefault, "id*"), details{})
		var passes []string
		for a := publisher.Insert; a <= publisher.Truncate; a++ {
			if p.pass[a] {
				passes = append(passes, a.String())
			}
		}
		if got := strings.Join(passes, " "); got != tt.want {
			t.Errorf("%s: %s lets pass %q, want %q", tt.name, tt.table, got, tt.want)
		}
	}
}

func TestExcludedColumnsAreFoundByEveryForm(t *testing.T) {
	for _, tt := range []struct {
		exclude string
		want    []bool
	}{
		{"email", []bool{false, true}},
		{"EMAIL", []bool{false, true}},
		{"users.email", []bool{false, true}},
		{"Public.Users.Email", []bool{false, true}},
		{"orders.email", nil},
		{"audit.users.email", nil},
		{"mail", nil},
	} {
		cfg := config.Listener{Exclude: config.Exclude{Columns: []string{"nothing", tt.exclude}}}
		p := mustPlan(t, mustRouter(t, cfg, Route{}), describedTable("public.users", pgoutput.IdentityDefault, "id*", "email"), details{})
		if !reflect.DeepEqual(p.hidden, tt.want) {
			t.Errorf("%s hides %v, want %v", tt.exclude, p.hidden, tt.want)
		}
	}
}

func TestTopicIsMadeOfTopicPrefixAndTable(t *testing.T) {
	rules := config.TopicsMap{
		{Match: "public_users", Topic: "people"},
		{Match: `/^public_(orders|items)_(\d+)$/`, Topic: "shop.${1}"},
		{Match: `/^public_orders_/`, Topic: "never.reached."},
		{Match: "public_orders_7", Topic: "never.reached"},
		{Match: "shop.orders", Topic: "never.again"},
		{Match: "public_late", Topic: "not.too.late"},
		{Match: `/late/`, Topic: "never"},
		{Match: `/_archive$/`, Topic: ""},
		{Match: "public.dotted", Topic: "dotted"},
	}
	upper := func(s string) string { return strings.ToUpper(s) }
	for _, tt := range []struct {
		name  string
		route Route
		rules config.TopicsMap
		table string
		want  string
	}{
		{"schema and table by default", Route{}, nil, "public.users", "public_users"},
		{"prefix before it", Route{TopicPrefix: "db1_"}, nil, "public.users", "db1_public_users"},
		{"topic first", Route{Topic: "STREAM"}, nil, "public.users", "STREAM.public_users"},
		{"topic, prefix, table", Route{Topic: "STREAM", TopicPrefix: "db1_"}, nil, "public.users", "STREAM.db1_public_users"},
		{"exact rule", Route{Topic: "STREAM", TopicPrefix: "db1_"}, rules, "public.users", "STREAM.db1_people"},
		{"exact rule keeps the case", Route{}, rules, "public.Users", "public_Users"},
		{"no rule", Route{}, rules, "public.other", "public_other"},
		{"expression with group", Route{}, rules, "public.orders_7", "shop.orders"},
		{"expression replaces only what it matches", Route{}, rules, "audit.users_archive", "audit_users"},
		{"first rule that matches wins", Route{}, rules, "public.late", "not.too.late"},
		{"later expression for others", Route{}, rules, "audit.late", "audit_never"},
		{"an exact rule is no expression", Route{}, rules, "publicXdotted.t", "publicXdotted_t"},
		{"the hook has the last word", Route{Topic: "s", TopicPrefix: "p_", Name: upper}, rules, "public.users", "S.P_PEOPLE"},
	} {
		r := mustRouter(t, config.Listener{TopicsMap: tt.rules}, tt.route)
		p := mustPlan(t, r, describedTable(tt.table, pgoutput.IdentityDefault, "id*"), details{})
		for a := publisher.Insert; a <= publisher.Truncate; a++ {
			if p.outs[0].topics[a] != tt.want {
				t.Errorf("%s: topic for %v of %s is %s, want %s", tt.name, a, tt.table, p.outs[0].topics[a], tt.want)
			}
		}
	}
}

func TestRulesInTheOtherOrderGiveTheOtherTopic(t *testing.T) {
	exact, expr := config.TopicRule{Match: "public_users", Topic: "exact"}, config.TopicRule{Match: "/^public_.*$/", Topic: "expression"}
	for want, rules := range map[string]config.TopicsMap{"exact": {exact, expr}, "expression": {expr, exact}} {
		r := mustRouter(t, config.Listener{TopicsMap: rules}, Route{})
		p := mustPlan(t, r, describedTable("public.users", pgoutput.IdentityDefault, "id*"), details{})
		if got := p.outs[0].topics[publisher.Insert]; got != want {
			t.Errorf("topic is %s, want %s", got, want)
		}
	}
}

func TestUnusableExpressionIsNamed(t *testing.T) {
	_, err := newTopicMaker(Route{Rules: config.TopicRules{Map: config.TopicsMap{{Match: "/(/", Topic: "t"}}}})
	if err == nil || !strings.Contains(err.Error(), `rule "/(/" of topicsMap`) {
		t.Errorf("got %v", err)
	}
}

func TestKeyIsTheReplicaIdentityUnlessNamed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		rel     *pgoutput.Relation
		keyFrom string
		exclude string
		want    []int
	}{
		{"primary key", describedTable("s.t", pgoutput.IdentityDefault, "id*", "name"), "", "", []int{0}},
		{"several columns", describedTable("s.t", pgoutput.IdentityDefault, "name", "a*", "b*"), "", "", []int{1, 2}},
		{"index", describedTable("s.t", pgoutput.IdentityIndex, "id", "email*"), "", "", []int{1}},
		{"nothing", describedTable("s.t", pgoutput.IdentityNothing, "id", "name"), "", "", nil},
		{"no primary key", describedTable("s.t", pgoutput.IdentityDefault, "id", "name"), "", "", nil},
		{"the whole row is no key", describedTable("s.t", pgoutput.IdentityFull, "id*", "name*"), "", "", nil},
		{"named column", describedTable("s.t", pgoutput.IdentityDefault, "id*", "name"), "name", "", []int{1}},
		{"named column with the whole row", describedTable("s.t", pgoutput.IdentityFull, "id*", "name*"), "name", "", []int{1}},
		{"named column the table lacks", describedTable("s.t", pgoutput.IdentityDefault, "id*", "name"), "tenant", "", []int{0}},
		{"excluded column", describedTable("s.t", pgoutput.IdentityDefault, "id*", "name"), "", "id", nil},
		{"part of a key is none", describedTable("s.t", pgoutput.IdentityDefault, "a*", "b*"), "", "b", nil},
		{"named but excluded column", describedTable("s.t", pgoutput.IdentityDefault, "id*", "name"), "name", "name", []int{0}},
	} {
		cfg := config.Listener{Exclude: config.Exclude{Columns: []string{tt.exclude}}}
		p := mustPlan(t, mustRouter(t, cfg, Route{KeyFrom: strings.Fields(tt.keyFrom)}), tt.rel, details{})
		if !reflect.DeepEqual(p.outs[0].key, tt.want) {
			t.Errorf("%s: the key is columns %v, want %v", tt.name, p.outs[0].key, tt.want)
		}
	}
}

func textValue(s string) publisher.Value {
	return publisher.Value{Kind: publisher.Text, Text: []byte(s)}
}

// Failure 24 of docs/failures.md.
func TestKeyIsTakenFromTheRowThatHasIt(t *testing.T) {
	row := func(v ...publisher.Value) []publisher.Value { return v }
	null, unchanged := publisher.Value{Kind: publisher.Null}, publisher.Value{Kind: publisher.Unchanged}
	one, two := []int{0}, []int{0, 2}
	for _, tt := range []struct {
		name     string
		key      []int
		new, old []publisher.Value
		want     string
	}{
		{"insert", one, row(textValue("7"), null), nil, "7"},
		{"delete", one, nil, row(textValue("7"), publisher.Value{}), "7"},
		{"update of the key", one, row(textValue("8"), null), row(textValue("7"), null), "8"},
		{"truncate", one, nil, nil, ""},
		{"truncate with several", two, nil, nil, ""},
		{"no key", nil, row(textValue("7")), nil, ""},
		{"one column is not quoted", one, row(textValue(`say "hi"`)), nil, `say "hi"`},
		{"several columns", two, row(textValue("7"), null, textValue("a,b")), nil, `["7","a,b"]`},
		{"null is not the text null", two, row(null, null, textValue("null")), nil, `[null,"null"]`},
		{"a large key that did not change", one, row(unchanged, null), row(textValue("large"), null), "large"},
		{"a part of it that did not", two, row(textValue("1"), null, unchanged), row(textValue("1"), null, textValue("large")), `["1","large"]`},
		{"a large value that the log leaves out", one, row(unchanged, null), nil, ""},
	} {
		p := &outPlan{key: tt.key}
		got := string(p.appendKey([]byte("before "), &publisher.Event{New: tt.new, Old: tt.old}))
		if got != "before "+tt.want {
			t.Errorf("%s: got %q, want %q after what was there", tt.name, got, tt.want)
		}
	}
}

// A key of several columns can be read back, so no two keys look alike.
func TestDifferentKeysNeverLookAlike(t *testing.T) {
	text := rapid.OneOf(
		rapid.StringOf(rapid.SampledFrom([]rune(`",[]\nul `))),
		rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Ptr(text, true), 2, 4).Draw(t, "key")
		p, e := &outPlan{}, &publisher.Event{}
		for i, s := range want {
			p.key = append(p.key, i)
			v := publisher.Value{Kind: publisher.Null}
			if s != nil {
				v = textValue(*s)
			}
			e.New = append(e.New, v)
		}
		var got []*string
		key := p.appendKey(nil, e)
		if err := json.Unmarshal(key, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("key %s reads back as %v, %v", key, got, err)
		}
	})
}
