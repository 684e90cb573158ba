package listener

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

func TestEveryKindOfChangeBecomesAnEvent(t *testing.T) {
	users := relationMsg(1, pgoutput.IdentityDefault, "public.users", "id*", "name")
	full := relationMsg(2, pgoutput.IdentityFull, "public.notes", "id*", "text*")
	r := play(t, config.Listener{}, beginMsg(0x10), users, insertMsg(1, "1", "Ada"), insertMsg(1, "2", sqlNull),
		updateMsg(1, pgoutput.OldNone, nil, tupleOf("1", "Ada L.")),
		updateMsg(1, pgoutput.OldKey, tupleOf("1", sqlNull), tupleOf("3", "Ada")),
		deleteMsg(1, pgoutput.OldKey, "3", sqlNull), commitMsg(0x10),
		beginMsg(0x30), full, insertMsg(2, "1", ""), updateMsg(2, pgoutput.OldFull, tupleOf("1", sqlNull), tupleOf("1", "b")),
		deleteMsg(2, pgoutput.OldFull, "1", "b"), commitMsg(0x30))
	wantRecorded(t, r,
		"begin",
		"0 INSERT public_users key=1 new=[1 Ada] old=[]",
		"1 INSERT public_users key=2 new=[2 null] old=[]",
		"2 UPDATE public_users key=1 new=[1 Ada L.] old=[]",
		"3 UPDATE public_users key=3 new=[3 Ada] old=[1 absent]",
		"4 DELETE public_users key=3 new=[] old=[3 absent]",
		"commit 0/18",
		"begin",
		"0 INSERT public_notes key= new=[1 ] old=[]",
		"1 UPDATE public_notes key= new=[1 b] old=[1 null]",
		"2 DELETE public_notes key= new=[] old=[1 b]",
		"commit 0/38",
	)
}

func TestBodySaysWhereTheChangeStands(t *testing.T) {
	r := play(t, config.Listener{}, beginMsg(0x16_B374D848),
		relationMsg(1, pgoutput.IdentityDefault, "public.users", "id*"), insertMsg(1, "1"), insertMsg(1, "2"))
	id, err := publisher.NewID(0x16_B374D848, 1, 7)
	if err != nil {
		t.Fatal(err)
	}
	want := `2 {"id":"` + id.String() + `","schema":"public","table":"users","action":"INSERT","data":{"id":"2"},"dataOld":{},` +
		`"commitTime":"2024-02-23T10:40:00.123456Z","unchangedToastedValues":[],"tags":{},"lsn":"16/B374D848","xid":3010779208,"seq":1,"source":{"database":"","slot":""}}`
	if r.bodies[1] != want {
		t.Errorf("got  %s\nwant %s", r.bodies[1], want)
	}
}

// Failure 24 of docs/failures.md.
func TestTruncateOfSeveralTablesIsAnEventForEach(t *testing.T) {
	r := play(t, config.Listener{}, beginMsg(0x10),
		relationMsg(1, pgoutput.IdentityDefault, "public.a", "id*"),
		relationMsg(2, pgoutput.IdentityDefault, "public.b", "id*"),
		truncateMsg(2, 1), truncateMsg(), insertMsg(1, "1"), commitMsg(0x10))
	wantRecorded(t, r,
		"begin",
		"0 TRUNCATE public_b key= new=[] old=[]",
		"1 TRUNCATE public_a key= new=[] old=[]",
		"2 INSERT public_a key=1 new=[1] old=[]",
		"commit 0/18",
	)
}

// Failure 24 of docs/failures.md.
func TestMessagesWithoutAChangeCountForNothing(t *testing.T) {
	r := play(t, config.Listener{},
		beginMsg(0x10),
		wire("O").i64(0x5).str("origin"),
		wire("Y").i32(16390).str("public").str("mood"),
		relationMsg(1, pgoutput.IdentityDefault, "public.a", "id*"),
		insertMsg(1, "1"), commitMsg(0x10))
	wantRecorded(t, r, "begin", "0 INSERT public_a key=1 new=[1] old=[]", "commit 0/18")
}

// someTransactions changes two tables, in turn and by several statements.
func someTransactions() []wire {
	return []wire{
		beginMsg(0x10),
		relationMsg(1, pgoutput.IdentityDefault, "public.users", "id*"),
		relationMsg(2, pgoutput.IdentityDefault, "public.orders", "id*"),
		insertMsg(1, "1"), insertMsg(2, "1"), insertMsg(1, "2"), truncateMsg(2, 1), insertMsg(1, "3"),
		commitMsg(0x10),
		beginMsg(0x50), deleteMsg(2, pgoutput.OldKey, "1"), insertMsg(1, "4"), commitMsg(0x50),
	}
}

func TestFiltersDoNotMoveTheIdsOfOthers(t *testing.T) {
	want := map[string][]publisher.ID{}
	all := play(t, config.Listener{}, someTransactions()...)
	for i, id := range all.ids {
		want[all.tables[i]] = append(want[all.tables[i]], id)
	}
	if len(want["public.users"]) != 5 || len(want["public.orders"]) != 3 {
		t.Fatalf("without a filter: %v", want)
	}
	for table, cfg := range map[string]config.Listener{
		"public.users":  {Exclude: config.Exclude{Tables: []string{"orders"}}},
		"public.orders": {Filter: config.TableActions{Tables: map[string][]string{"orders": {"insert", "truncate", "delete"}}}},
	} {
		got := play(t, cfg, someTransactions()...)
		if !slices.Equal(got.ids, want[table]) {
			t.Errorf("%s alone has the ids %v, want %v", table, got.ids, want[table])
		}
	}
}

func TestFilteredChangesAreCounted(t *testing.T) {
	c := newTestChanges(t, config.Listener{Exclude: config.Exclude{Tables: []string{"orders"}}}, &recorder{})
	for _, m := range someTransactions() {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
	}
	if users, orders := testutil.ToFloat64(c.plans[1].filtered), testutil.ToFloat64(c.plans[2].filtered); users != 0 || orders != 3 {
		t.Errorf("%v and %v changes counted, want 0 and 3", users, orders)
	}
}

func TestSameBytesGiveSameEventsOnASecondRun(t *testing.T) {
	first, second := play(t, config.Listener{}, someTransactions()...), play(t, config.Listener{}, someTransactions()...)
	if len(first.bodies) == 0 || !reflect.DeepEqual(first, second) {
		t.Errorf("first\n%+v\nsecond\n%+v", first, second)
	}
}

// Begin messages come with ever higher commit positions, however the
// transactions ran beside each other.
//
// Failure 16 of docs/failures.md.
func TestIdsIncreaseInStreamOrder(tt *testing.T) {
	rapid.Check(tt, func(t *rapid.T) {
		cfg := config.Listener{}
		if rapid.Bool().Draw(t, "filtered") {
			cfg.Exclude.Tables = []string{"orders"}
		}
		r := &recorder{}
		c := newChanges(tt.Context(), mustRouter(tt, cfg, Route{}), r, nil, always(rapid.Uint32().Draw(t, "source")), 0, nil)
		lsn := rapid.Uint64Range(0, 1<<40).Draw(t, "start")
		messages := []wire{
			relationMsg(1, pgoutput.IdentityDefault, "public.users", "id*"),
			relationMsg(2, pgoutput.IdentityDefault, "public.orders", "id*"),
		}
		for range rapid.IntRange(1, 10).Draw(t, "transactions") {
			lsn += rapid.Uint64Range(1, 1<<30).Draw(t, "distance")
			messages = append(messages, beginMsg(lsn))
			for _, table := range rapid.SliceOfN(rapid.IntRange(1, 2), 0, 10).Draw(t, "tables") {
				messages = append(messages, rapid.SampledFrom([]wire{insertMsg(table, "1"), truncateMsg(1, 2, 1)}).Draw(t, "change"))
			}
			messages = append(messages, commitMsg(lsn))
		}
		for _, m := range messages {
			if err := c.handle(m); err != nil {
				t.Fatal(err)
			}
		}
		for i := 1; i < len(r.ids); i++ {
			if r.ids[i-1].Compare(r.ids[i]) >= 0 {
				t.Fatalf("event %d has id %v after %v", i, r.ids[i], r.ids[i-1])
			}
		}
	})
}

// Errors end the listener and are logged, so they must say what is wrong
// without a word of any row.
func TestBrokenStreamIsAnErrorWithoutRowData(t *testing.T) {
	users := relationMsg(1, pgoutput.IdentityDefault, "public.users", "id*", "name")
	for _, tt := range []struct {
		name     string
		messages []wire
		want     string
	}{
		{
			"relation that was never described",
			[]wire{beginMsg(0x10), insertMsg(9, "SECRET")},
			"handle INSERT: relation 9 was never described",
		},
		{
			"truncate of one",
			[]wire{users, beginMsg(0x10), truncateMsg(1, 9)},
			"handle TRUNCATE: relation 9 was never described",
		},
		{
			"change before the first transaction",
			[]wire{users, insertMsg(1, "1", "SECRET")},
			"handle INSERT of relation 1: change outside of a transaction",
		},
		{
			"change after a commit",
			[]wire{users, beginMsg(0x10), commitMsg(0x10), deleteMsg(1, pgoutput.OldKey, "SECRET", sqlNull)},
			"handle DELETE of relation 1: change outside of a transaction",
		},
		{
			"too few columns",
			[]wire{users, beginMsg(0x10), insertMsg(1, "SECRET")},
			"handle row of public.users: 1 columns where its description has 2",
		},
		{
			"too many columns in the old row",
			[]wire{users, beginMsg(0x10), updateMsg(1, pgoutput.OldKey, tupleOf("SECRET", sqlNull, sqlNull), tupleOf("1", "a"))},
			"handle row of public.users: 3 columns where its description has 2",
		},
		{
			"binary form",
			[]wire{users, beginMsg(0x10), insertMsg(1, "SECRET", inBytes)},
			"handle row of public.users: column name is in binary form, which was not asked for",
		},
		{
			"cut message",
			[]wire{users, beginMsg(0x10), insertMsg(1, "1", "SECRET")[:22]},
			"decode Insert message at byte 19: message ends early",
		},
		{
			"position beyond what an id can hold",
			[]wire{users, beginMsg(1 << 60), insertMsg(1, "1", "SECRET")},
			"make event id: LSN 1000000000000000 or ordinal 0 is beyond what an id can hold (60 and 36 bits)",
		},
	} {
		c := newTestChanges(t, config.Listener{}, &recorder{})
		var err error
		for i, m := range tt.messages {
			if err = c.handle(m); err != nil && i < len(tt.messages)-1 {
				t.Fatalf("%s: message %d: %v", tt.name, i, err)
			}
		}
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestErrorOfTheSinkEndsTheSession(t *testing.T) {
	r := &recorder{err: errors.New("window is gone")}
	c := newTestChanges(t, config.Listener{}, r)
	for _, m := range []wire{beginMsg(0x10), relationMsg(1, pgoutput.IdentityDefault, "public.a", "id*")} {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
	}
	for name, m := range map[string]wire{"insert": insertMsg(1, "1"), "truncate": truncateMsg(1, 1)} {
		before := len(r.ids)
		if err := c.handle(m); !errors.Is(err, r.err) || len(r.ids) != before+1 {
			t.Errorf("%s: got %v after %d events", name, err, len(r.ids)-before)
		}
	}
}

// Failure 25 of docs/failures.md.
func TestTableIsReadByItsLatestDescription(t *testing.T) {
	r := play(t, config.Listener{}, beginMsg(0x10),
		relationMsg(1, pgoutput.IdentityDefault, "public.users", "id*"), insertMsg(1, "1"),
		relationMsg(1, pgoutput.IdentityDefault, "public.users", "id*", "name"), insertMsg(1, "2", "Ada"),
		relationMsg(2, pgoutput.IdentityDefault, "audit.users", "id*"), insertMsg(2, "3"), insertMsg(1, "4", "Bob"),
		commitMsg(0x10), beginMsg(0x30),
		relationMsg(1, pgoutput.IdentityIndex, "public.people", "id", "name*"), insertMsg(1, "5", "Eve"), insertMsg(2, "6"))
	wantRecorded(t, r,
		"begin",
		"0 INSERT public_users key=1 new=[1] old=[]",
		"1 INSERT public_users key=2 new=[2 Ada] old=[]",
		"2 INSERT audit_users key=3 new=[3] old=[]",
		"3 INSERT public_users key=4 new=[4 Bob] old=[]",
		"commit 0/18",
		"begin",
		"0 INSERT public_people key=Eve new=[5 Eve] old=[]",
		"1 INSERT audit_users key=6 new=[6] old=[]",
	)
}

// Failure 26 of docs/failures.md.
func TestUnchangedLargeValueIsNeverNull(t *testing.T) {
	r := play(t, config.Listener{}, beginMsg(0x10),
		relationMsg(1, pgoutput.IdentityDefault, "public.docs", "id*", "text"),
		updateMsg(1, pgoutput.OldNone, nil, tupleOf("1", toasted)),
		relationMsg(2, pgoutput.IdentityIndex, "public.pages", "url*", "n"),
		updateMsg(2, pgoutput.OldKey, tupleOf("long url", sqlNull), tupleOf(toasted, "2")))
	wantRecorded(t, r,
		"begin",
		"0 UPDATE public_docs key=1 new=[1 unchanged] old=[]",
		"1 UPDATE public_pages key=long url new=[unchanged 2] old=[long url absent]",
	)
	for i, want := range []string{
		`"data":{"id":"1"},"dataOld":{},`,
		`"data":{"url":"long url","n":"2"},"dataOld":{"url":"long url"},`,
	} {
		if !strings.Contains(r.bodies[i], want) {
			t.Errorf("body %s lacks %s", r.bodies[i], want)
		}
	}
	if want := `"unchangedToastedValues":["text"]`; !strings.Contains(r.bodies[0], want) {
		t.Errorf("body %s lacks %s", r.bodies[0], want)
	}
}

func TestExcludedColumnsNeverLeave(t *testing.T) {
	cfg := config.Listener{Exclude: config.Exclude{Columns: []string{"users.token", "ssn"}}}
	r := play(t, cfg, beginMsg(0x10),
		relationMsg(1, pgoutput.IdentityFull, "public.users", "id*", "token*"),
		insertMsg(1, "1", "SECRET"),
		updateMsg(1, pgoutput.OldFull, tupleOf("1", "SECRET"), tupleOf("1", "SECRET2")),
		updateMsg(1, pgoutput.OldFull, tupleOf("1", "SECRET"), tupleOf("1", toasted)),
		updateMsg(1, pgoutput.OldFull, tupleOf("1", sqlNull), tupleOf("1", sqlNull)),
		deleteMsg(1, pgoutput.OldFull, "1", "SECRET"),
		relationMsg(2, pgoutput.IdentityDefault, "public.people", "ssn*", "name"),
		insertMsg(2, "SECRET", "Ada"),
		deleteMsg(2, pgoutput.OldKey, "SECRET", sqlNull))
	if len(r.bodies) != 7 {
		t.Fatalf("%d events, want 7", len(r.bodies))
	}
	for i, body := range r.bodies {
		for _, leak := range []string{"SECRET", "token", "ssn"} {
			if strings.Contains(body, leak) {
				t.Errorf("event %d holds %s: %s", i, leak, body)
			}
		}
	}
}

func TestUpdatesThatChangeNothingAreLeftOutAndCounted(t *testing.T) {
	cfg := maskConfig(mask("*", "pin", "redact"))
	cfg.SkipUnchangedUpdates = true
	cfg.Exclude.Columns = []string{"hidden"}
	r := &recorder{}
	c := newTestChanges(t, cfg, r)
	was := tupleOf("1", "large", "a", "h")
	var first *plan
	for _, m := range []wire{
		beginMsg(0x10), relationMsg(1, pgoutput.IdentityFull, "public.t", "id*", "text*", "pin*", "hidden*"),
		updateMsg(1, pgoutput.OldFull, was, was),
		updateMsg(1, pgoutput.OldFull, was, tupleOf("1", toasted, "a", "h")),
		updateMsg(1, pgoutput.OldFull, was, tupleOf("1", "large", "a", "other")), // which never leaves
		updateMsg(1, pgoutput.OldFull, tupleOf("1", sqlNull, "a", "h"), tupleOf("1", sqlNull, "a", sqlNull)),
		updateMsg(1, pgoutput.OldFull, was, tupleOf("1", "large", "b", "h")), // compared before the mask
		updateMsg(1, pgoutput.OldFull, tupleOf("1", sqlNull, "a", "h"), tupleOf("1", "", "a", "h")),
		updateMsg(1, pgoutput.OldFull, tupleOf("1", "", "a", "h"), tupleOf("1", sqlNull, "a", "h")),
		insertMsg(1, "1", "large", "a", "h"), deleteMsg(1, pgoutput.OldFull, "1", "large", "a", "h"),
		relationMsg(1, pgoutput.IdentityDefault, "public.t", "id*", "text"),
		updateMsg(1, pgoutput.OldNone, nil, tupleOf("1", "a")),
		updateMsg(1, pgoutput.OldKey, tupleOf("1", sqlNull), tupleOf("1", sqlNull)),
		commitMsg(0x10),
	} {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = c.plans[1]
		}
	}
	if n := testutil.ToFloat64(first.filtered); n != 4 {
		t.Errorf("%v changes are counted, want 4", n)
	}
	wantRecorded(t, r,
		"begin",
		"4 UPDATE public_t key= new=[1 large *** absent] old=[1 large *** absent]",
		"5 UPDATE public_t key= new=[1  *** absent] old=[1 null *** absent]",
		"6 UPDATE public_t key= new=[1 null *** absent] old=[1  *** absent]",
		"7 INSERT public_t key= new=[1 large *** absent] old=[]",
		"8 DELETE public_t key= new=[] old=[1 large *** absent]",
		"9 UPDATE public_t key=1 new=[1 a] old=[]",
		"10 UPDATE public_t key=1 new=[1 null] old=[1 absent]",
		"commit 0/18",
	)
}

func TestChangesPastTheLargestTransactionAreCountedAndToldOnce(t *testing.T) {
	r, told := &recorder{}, []uint32(nil)
	// The change that is one too many is filtered: it is no reason to be silent
	// about the next.
	cfg := config.Listener{Exclude: config.Exclude{Tables: []string{"orders"}}}
	c := newChanges(t.Context(), mustRouter(t, cfg, Route{}), r, nil, always(7), 2, func(xid uint32) { told = append(told, xid) })
	within := []wire{beginMsg(0x50), insertMsg(1, "6"), insertMsg(1, "7"), commitMsg(0x50)}
	filteredOnly := []wire{beginMsg(0x90), insertMsg(1, "8"), insertMsg(1, "9"), insertMsg(2, "1"), commitMsg(0x90)}
	another := []wire{beginMsg(0xD0), truncateMsg(1, 1, 1, 1), commitMsg(0xD0)}
	for _, m := range slices.Concat([]wire{
		relationMsg(1, pgoutput.IdentityDefault, "public.users", "id*"),
		relationMsg(2, pgoutput.IdentityDefault, "public.orders", "id*"),
		beginMsg(0x10), insertMsg(1, "1"), insertMsg(1, "2"), insertMsg(2, "1"), insertMsg(1, "3"), insertMsg(1, "4"), commitMsg(0x10),
	}, within, filteredOnly, another) {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
	}
	wantRecorded(t, r,
		"begin",
		"0 INSERT public_users key=1 new=[1] old=[]",
		"1 INSERT public_users key=2 new=[2] old=[]",
		"commit 0/18",
		"begin",
		"0 INSERT public_users key=6 new=[6] old=[]",
		"1 INSERT public_users key=7 new=[7] old=[]",
		"commit 0/58",
		"begin",
		"0 INSERT public_users key=8 new=[8] old=[]",
		"1 INSERT public_users key=9 new=[9] old=[]",
		"commit 0/98",
		"begin",
		"0 TRUNCATE public_users key= new=[] old=[]",
		"1 TRUNCATE public_users key= new=[] old=[]",
		"commit 0/D8",
	)
	if !slices.Equal(told, []uint32{0x10, 0xD0}) {
		t.Errorf("told of transactions %#x, want 0x10 and 0xd0 once", told)
	}
	if users, orders := testutil.ToFloat64(c.plans[1].filtered), testutil.ToFloat64(c.plans[2].filtered); users != 4 || orders != 2 {
		t.Errorf("%v and %v changes counted, want 4 and 2", users, orders)
	}
}

func TestSourceAndWriterNameWhatIdsAreOrderedWithin(t *testing.T) {
	base := identity{system: "7", timeline: 1, database: "shop", slot: "a"}
	for name, tt := range map[string]struct {
		id         identity
		sameSource bool
	}{
		"another server":   {identity{system: "8", timeline: 1, database: "shop", slot: "a"}, false},
		"another timeline": {identity{system: "7", timeline: 2, database: "shop", slot: "a"}, false},
		"another database": {identity{system: "7", timeline: 1, database: "blog", slot: "a"}, false},
		"another slot":     {identity{system: "7", timeline: 1, database: "shop", slot: "b"}, true},
	} {
		if got := tt.id.source()(1) == base.source()(1); got != tt.sameSource {
			t.Errorf("%s: same source is %v", name, got)
		}
		if tt.id.writer() == base.writer() {
			t.Errorf("%s: same writer", name)
		}
	}
	if again := base; again.source()(1) != base.source()(1) || again.writer() != base.writer() {
		t.Error("the same identity has two names")
	}
}

// always is a source whose digest is the same at every position.
func always(digest uint32) func(pgoutput.LSN) uint32 {
	return func(pgoutput.LSN) uint32 { return digest }
}
