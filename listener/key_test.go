package listener

import (
	"reflect"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
)

func TestKeyColumnsStandInTheConfiguredOrder(t *testing.T) {
	full := func() *pgoutput.Relation { return describedTable("s.t", pgoutput.IdentityFull, "a*", "b*", "c*") }
	byID := func() *pgoutput.Relation { return describedTable("s.t", pgoutput.IdentityDefault, "a*", "b", "c") }
	for _, tt := range []struct {
		name    string
		rel     *pgoutput.Relation
		keyFrom []string
		primary []string
		cfg     config.Listener
		want    []int
	}{
		{"several named", byID(), []string{"c", "b"}, nil, config.Listener{}, []int{2, 1}},
		{"one of them missing", byID(), []string{"c", "tenant"}, nil, config.Listener{}, []int{0}},
		{"case counts", byID(), []string{"C"}, nil, config.Listener{}, []int{0}},
		{"one of them excluded", byID(), []string{"c", "b"}, nil, config.Listener{Exclude: config.Exclude{Columns: []string{"b"}}}, []int{0}},
		{"one of them redacted", byID(), []string{"c", "b"}, nil, maskConfig(mask("*", "b", "redact")), []int{0}},
		{"one of them hashed", byID(), []string{"c", "b"}, nil, maskConfig(mask("*", "b", "hash")), []int{2, 1}},
		{"named before the primary key", full(), []string{"b"}, []string{"a"}, config.Listener{}, []int{1}},
		{"primary key of the whole row", full(), nil, []string{"c", "a"}, config.Listener{}, []int{2, 0}},
		{"primary key with a column that was renamed since", full(), nil, []string{"c", "renamed"}, config.Listener{}, nil},
		{"primary key with an excluded column", full(), nil, []string{"c", "a"}, config.Listener{Exclude: config.Exclude{Columns: []string{"a"}}}, nil},
		{"primary key with a column masked as null", full(), nil, []string{"c", "a"}, maskConfig(mask("*", "a", "null")), nil},
		{"whole row without a primary key", full(), nil, nil, config.Listener{}, nil},
		{"primary key where the identity says more", byID(), nil, []string{"c"}, config.Listener{}, []int{0}},
	} {
		p := mustPlan(t, mustRouter(t, tt.cfg, Route{KeyFrom: tt.keyFrom}), tt.rel, details{primaryKey: tt.primary})
		if !reflect.DeepEqual(p.outs[0].key, tt.want) {
			t.Errorf("%s: the key is columns %v, want %v", tt.name, p.outs[0].key, tt.want)
		}
	}
}

func TestDeleteWhoseOldRowLacksTheKeyHasNone(t *testing.T) {
	for name, keyFrom := range map[string][]string{"one": {"tenant"}, "several": {"id", "tenant"}} {
		r := &recorder{}
		c := newChanges(t.Context(), mustRouter(t, config.Listener{}, Route{KeyFrom: keyFrom}), r, nil, always(7), 0, nil)
		for _, m := range []wire{
			beginMsg(0x10), relationMsg(1, pgoutput.IdentityDefault, "public.t", "id*", "tenant"),
			insertMsg(1, "1", "a"), updateMsg(1, pgoutput.OldNone, nil, tupleOf("1", toasted)), deleteMsg(1, pgoutput.OldKey, "1", sqlNull),
			relationMsg(1, pgoutput.IdentityFull, "public.t", "id*", "tenant*"), deleteMsg(1, pgoutput.OldFull, "1", "a"),
		} {
			if err := c.handle(m); err != nil {
				t.Fatal(err)
			}
		}
		key := map[string]string{"one": "a", "several": `["1","a"]`}[name]
		wantRecorded(t, r,
			"begin",
			"0 INSERT public_t key="+key+" new=[1 a] old=[]",
			"1 UPDATE public_t key= new=[1 unchanged] old=[]",
			"2 DELETE public_t key= new=[] old=[1 absent]",
			"3 DELETE public_t key="+key+" new=[] old=[1 a]",
		)
	}
}
