package listener

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

const maskTestKey = "a key of 16 bytes or more"

// hashed is the mask of text by RFC 2104.
func hashed(text string) string {
	mac := hmac.New(sha256.New, []byte(maskTestKey))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

func mask(table, column, with string) config.Mask {
	return config.Mask{Table: table, Column: column, With: with}
}

func maskConfig(masks ...config.Mask) config.Listener {
	return config.Listener{Mask: masks, MaskKey: config.Secret(maskTestKey)}
}

func TestMasksFindTheirColumns(t *testing.T) {
	for _, tt := range []struct {
		name  string
		masks config.Masks
		want  []maskKind
	}{
		{"table", config.Masks{mask("users", "email", "null")}, []maskKind{maskNone, maskNull}},
		{"qualified table", config.Masks{mask("public.users", "email", "redact")}, []maskKind{maskNone, maskRedact}},
		{"every table", config.Masks{mask("*", "email", "hash")}, []maskKind{maskNone, maskHash}},
		{"any case", config.Masks{mask("PUBLIC.Users", "EMail", "hash")}, []maskKind{maskNone, maskHash}},
		{"the first counts", config.Masks{mask("users", "email", "null"), mask("*", "email", "hash")}, []maskKind{maskNone, maskNull}},
		{"one for each column", config.Masks{mask("*", "id", "hash"), mask("*", "email", "redact")}, []maskKind{maskHash, maskRedact}},
		{"another table", config.Masks{mask("orders", "email", "null"), mask("audit.users", "email", "null")}, nil},
		{"another column", config.Masks{mask("users", "mail", "null"), mask("users", "*", "null")}, nil},
		{"none", nil, nil},
	} {
		p := mustPlan(t, mustRouter(t, maskConfig(tt.masks...), Route{}),
			describedTable("public.users", pgoutput.IdentityDefault, "id*", "email"), details{})
		if !reflect.DeepEqual(p.masks, tt.want) {
			t.Errorf("%s: masks are %v, want %v", tt.name, p.masks, tt.want)
		}
	}
}

// maskedTable has a column for every mask, of types that are no strings.
func maskedTable(identity pgoutput.ReplicaIdentity) wire {
	b := wire("R").i32(1).str("public").str("people").i8(byte(identity)).i16(4)
	for i, name := range []string{"id", "age", "pin", "born"} {
		key := byte(0)
		if i == 0 || identity == pgoutput.IdentityFull {
			key = 1
		}
		b = b.i8(key).str(name).i32([]int{oidInt8, oidInt4, oidNumeric, oidTimestamp}[i]).i32(-1)
	}
	return b
}

func maskEverything() config.Listener {
	return maskConfig(mask("*", "id", "hash"), mask("people", "age", "null"), mask("people", "pin", "redact"), mask("people", "born", "hash"))
}

func TestMaskedValuesLeaveNowhere(t *testing.T) {
	const id, age, pin, born = "123456789", "987654321", "5550001", "1999-12-31 23:59:58"
	row := tupleOf(id, age, pin, born)
	r := play(t, maskEverything(), beginMsg(0x10), maskedTable(pgoutput.IdentityFull),
		insertMsg(1, row...),
		updateMsg(1, pgoutput.OldFull, row, row),
		updateMsg(1, pgoutput.OldFull, row, tupleOf(toasted, toasted, toasted, toasted)),
		updateMsg(1, pgoutput.OldNone, nil, row),
		deleteMsg(1, pgoutput.OldFull, row...),
		maskedTable(pgoutput.IdentityDefault),
		insertMsg(1, row...),
		deleteMsg(1, pgoutput.OldKey, id, sqlNull, sqlNull, sqlNull))
	if len(r.bodies) != 7 {
		t.Fatalf("%d events, want 7", len(r.bodies))
	}
	masked := fmt.Sprintf(`{"id":%q,"age":null,"pin":"***","born":%q}`, hashed(id), hashed(born))
	for i, body := range r.bodies {
		for _, leak := range []string{id, age, pin, "1999"} {
			if strings.Contains(body, leak) {
				t.Errorf("event %d holds %s: %s", i, leak, body)
			}
		}
		if i < 6 && !strings.Contains(body, masked) {
			t.Errorf("event %d lacks %s: %s", i, masked, body)
		}
	}
	if want := hashed(id) + " {"; !strings.HasPrefix(r.bodies[5], want) || !strings.HasPrefix(r.bodies[6], want) {
		t.Errorf("the keys of the last two are not %s: %s", hashed(id), r.bodies[5:])
	}
	if want := fmt.Sprintf(`"dataOld":{"id":%q},`, hashed(id)); !strings.Contains(r.bodies[6], want) {
		t.Errorf("%s lacks %s", r.bodies[6], want)
	}
}

func TestMaskLeavesWhatIsNoValue(t *testing.T) {
	r := play(t, maskEverything(), beginMsg(0x10), maskedTable(pgoutput.IdentityDefault),
		insertMsg(1, "1", sqlNull, sqlNull, sqlNull),
		updateMsg(1, pgoutput.OldNone, nil, tupleOf("1", toasted, toasted, toasted)),
		insertMsg(1, "1", "", "", ""))
	id := hashed("1")
	wantRecorded(t, r,
		"begin",
		"0 INSERT public_people key="+id+" new=["+id+" null null null] old=[]",
		"1 UPDATE public_people key="+id+" new=["+id+" unchanged unchanged unchanged] old=[]",
		"2 INSERT public_people key="+id+" new=["+id+" null *** "+hashed("")+"] old=[]",
	)
	if want := `"unchangedToastedValues":["age","pin","born"]`; !strings.Contains(r.bodies[1], want) {
		t.Errorf("%s lacks %s", r.bodies[1], want)
	}
}

func TestHashIsTheHMACOfTheText(t *testing.T) {
	// Test case 2 of RFC 4231.
	m := newMasker(config.Secret("Jefe"))
	got := m.mask(textValue("what do ya want for nothing?"), maskHash)
	if want := "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"; string(got.Text) != want || got.Kind != publisher.Text {
		t.Errorf("got %s, want %s", got.Text, want)
	}
}

func TestExcludedColumnIsAbsentWhateverItsMask(t *testing.T) {
	cfg := maskEverything()
	cfg.Exclude.Columns = []string{"pin", "born"}
	r := play(t, cfg, beginMsg(0x10), maskedTable(pgoutput.IdentityDefault), insertMsg(1, "1", "2", "3", "4"))
	wantRecorded(t, r, "begin", "0 INSERT public_people key="+hashed("1")+" new=["+hashed("1")+" null absent absent] old=[]")
}

func TestKeyIsNoneWithAColumnWhoseValuesAllLookAlike(t *testing.T) {
	rel := func() *pgoutput.Relation { return describedTable("s.t", pgoutput.IdentityDefault, "a*", "b*", "c") }
	for with, want := range map[string][]int{config.MaskNull: nil, config.MaskRedact: nil, config.MaskHash: {0, 1}} {
		p := mustPlan(t, mustRouter(t, maskConfig(mask("t", "b", with)), Route{}), rel(), details{})
		if !reflect.DeepEqual(p.outs[0].key, want) {
			t.Errorf("%s: the key is columns %v, want %v", with, p.outs[0].key, want)
		}
	}
}

func TestMasksAllocateNothing(t *testing.T) {
	c := newTestChanges(t, maskEverything(), &windowSink{w: newWindow(256 << 10)})
	for _, m := range []wire{maskedTable(pgoutput.IdentityFull), beginMsg(0x10)} {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
	}
	update := updateMsg(1, pgoutput.OldFull, tupleOf("1", "2", "3", "4"), tupleOf("5", "6", "7", "8"))
	handle := func() {
		if err := c.handle(update); err != nil {
			t.Fatal(err)
		}
	}
	for c.sink.(*windowSink).batches < 2 {
		handle()
	}
	if n := testing.AllocsPerRun(2000, handle); n != 0 {
		t.Errorf("%v allocations for each change", n)
	}
}
