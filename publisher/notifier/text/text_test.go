package text

import (
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

const (
	newRow = `{"id":7,"status":"paid","total":1234.5600,"note":null,"paid_at":"2026-11-21T10:00:00.5Z","vip":true,"Last Name":"O'<b>&\"","doc":{"a":[1,null,{"b":"x"}],"n":1e400},"tags":["x","y"]}`
	oldRow = `{"id":7,"status":"open","total":1234.5600,"note":"x","paid_at":null,"vip":true,"Last Name":"O","doc":{"a":[1,null,{"b":"x"}],"n":1e400},"tags":["x","y"]}`
)

// delivery returns a delivery of a change of shop.orders.
func delivery(action publisher.Action, data, dataOld string) *notifier.Delivery {
	id, err := publisher.NewID(0x16B3748, 1, 4)
	if err != nil {
		panic(err)
	}
	at := time.Date(2026, 11, 21, 10, 30, 0, 123456000, time.UTC)
	return &notifier.Delivery{
		ID: id, Rule: "paid", Topic: "shop_orders", Table: "shop.orders", Action: action,
		Key: []byte("7"), CommitTime: at.UnixMicro(),
		Payload: []byte(`{"id":"` + id.String() + `","schema":"shop","table":"orders","action":"` + action.String() +
			`","data":` + data + `,"dataOld":` + dataOld + `,"commitTime":"2026-11-21T10:30:00.123456Z",` +
			`"unchangedToastedValues":["photo"],"tags":{"env":"dev"},"lsn":"0/16B3748","xid":742,"seq":1,` +
			`"source":{"database":"shop","slot":"walherald"}}`),
	}
}

func update() *notifier.Delivery { return delivery(publisher.Update, newRow, oldRow) }

func execute(t *testing.T, source string, o Options, d *notifier.Delivery) (string, error) {
	t.Helper()
	tmpl, err := New("rules[0].template", source, o)
	if err != nil {
		t.Fatal(err)
	}
	out, err := tmpl.Execute(d)
	return string(out), err
}

func TestTemplatesSeeTheWholeEvent(t *testing.T) {
	for source, want := range map[string]string{
		`{{.ID}}`: "00000000-16b3-8748-8000-000004000004",
		`{{.Rule}} {{.Topic}} {{.Schema}}.{{.Table}} {{.Action}}`: "paid shop_orders shop.orders UPDATE",
		`{{.New.id}} {{.New.total}} {{.New.vip}}`:                 "7 1234.5600 true",
		`{{.Row.status}} {{.Old.status}}`:                         "paid open",
		`{{.CommitTime}} {{.LSN}} {{.XID}} {{.Tags.env}}`:         "2026-11-21T10:30:00.123456Z 0/16B3748 742 dev",
		`{{join "," .Columns}}`:                                   "id,status,total,note,paid_at,vip,Last Name,doc,tags",
		`{{join "," .KeyColumns}} {{.Unchanged}}`:                 `id ["photo"]`,
		`{{range .Changed}}{{.Column}}:{{.Old}}>{{.New}};{{end}}`: `status:open>paid;note:x>NULL;paid_at:NULL>2026-11-21T10:00:00.5Z;Last Name:O>O'<b>&";`,
		`{{.New.doc}} {{.New.tags}} {{.New.note}}`:                `{"a":[1,null,{"b":"x"}],"n":1e400} ["x","y"] NULL`,
		`{{.New.doc.n}} {{index .New.doc.a 1}}`:                   "1e400 NULL",
	} {
		if got, err := execute(t, source, Options{}, update()); err != nil || got != want {
			t.Errorf("%s makes %q, %v, want %q", source, got, err, want)
		}
	}
}

func TestRowIsTheOldOneOfADelete(t *testing.T) {
	got, err := execute(t, `{{.Row.id}} {{join "," .Columns}} {{len .New}} {{len .Changed}}`, Options{}, delivery(publisher.Delete, "{}", `{"id":7,"b":1}`))
	if err != nil || got != "7 id,b 0 0" {
		t.Errorf("it makes %q, %v", got, err)
	}
}

func TestHelpers(t *testing.T) {
	for source, want := range map[string]string{
		`{{upper .New.status}} {{lower "ÄB"}} {{title "jörg o'neil x"}}`:                                              "PAID äb Jörg O'neil X",
		`{{trim "  x "}}|{{truncate 5 "größer als"}}|{{truncate 2 "ab"}}`:                                             "x|größ…|ab",
		`{{replace "a" "b" .New.status}} {{get .New "Last Name"}}`:                                                    `pbid O'<b>&"`,
		`{{default "-" .New.note}} {{.New.nothing | default "none"}}`:                                                 "- none",
		`{{.New.note | upper | default "-"}} {{default 0 .New.id}}`:                                                   "- 7",
		`{{date "02.01.2006" .CommitTime}} {{date "15:04" .New.paid_at}}`:                                             "21.11.2026 10:00",
		`{{date "15" "infinity"}} {{.Old.paid_at | date "15" | default "never"}}`:                                     "infinity never",
		`{{json .New.doc.a}} {{json (get .New "Last Name")}} {{json .New.note}}`:                                      `[1,null,{"b":"x"}] "O'<b>&\"" null`,
		`{{.New.nothing | json | default "null"}}`:                                                                    "null",
		`{{jsonIndent .New.tags}}`:                                                                                    "[\n  \"x\",\n  \"y\"\n]",
		`{{html (get .New "Last Name")}}`:                                                                             "O'&lt;b&gt;&amp;&quot;",
		`{{slack (get .New "Last Name")}}`:                                                                            `O'&lt;b&gt;&amp;"`,
		`{{printf "%.2f|%d|%05d|%s|%v|%-4q|%.1f" .New.total .New.id .New.id .New.status .New.doc.n "x" .New.status}}`: `1234.56|7|00007|paid|1e400|"x" |paid`,
		`{{print "Order " .New.id .New.note .New.doc.a}}`:                                                             "Order 7NULL[1,null,{\"b\":\"x\"}]",
		`{{if .Old}}known{{end}}{{if .New.note}}no{{end}}`:                                                            "known",
		`{{if not .New.nothing}}absent{{end}}`:                                                                        "absent",
	} {
		got, err := execute(t, source, Options{}, update())
		if err != nil || got != want {
			t.Errorf("%s makes %q, %v, want %q", source, got, err, want)
		}
	}
}

func TestComparisonsTakeNumbersForNumbers(t *testing.T) {
	for source, want := range map[string]bool{
		`gt .New.total 100`:             true,
		`gt .New.total 1234.56`:         false,
		`ge .New.total 1234.56`:         true,
		`lt .New.total "9"`:             false,
		`eq .New.id 7`:                  true,
		`eq .New.id "7"`:                true,
		`eq .New.status "open" "paid"`:  true,
		`ne .Old.status .New.status`:    true,
		`eq .New.vip true`:              true,
		`eq .New.note nil`:              true,
		`eq .New.nothing .New.note`:     true,
		`eq .New.note "NULL"`:           false,
		`lt .New.note 1`:                false,
		`ge .New.note 1`:                false,
		`eq .New.doc.a .Old.doc.a`:      true,
		`gt .New.doc.n 1e300`:           true,
		`lt .New.status "zebra"`:        true,
		`gt 10 9`:                       true,
		`and .New.vip (le .New.id 7.0)`: true,
	} {
		got, err := execute(t, `{{if `+source+`}}yes{{else}}no{{end}}`, Options{}, update())
		if err != nil || (got == "yes") != want {
			t.Errorf("%s is %s, %v, want %v", source, got, err, want)
		}
	}
}

func TestPrintedValuesAreEscapedOnceAndTheTemplateIsNot(t *testing.T) {
	for source, want := range map[string]string{
		`<b>{{get .New "Last Name"}}</b>`:                                            "<b>O'&lt;b&gt;&amp;&quot;</b>",
		`{{html (get .New "Last Name")}}`:                                            "O'&lt;b&gt;&amp;&quot;",
		`{{raw (get .New "Last Name")}}`:                                             `O'<b>&"`,
		`{{$x := get .New "Last Name"}}{{$x}}`:                                       "O'&lt;b&gt;&amp;&quot;",
		`{{define "x"}}{{.}}{{end}}{{template "x" "<"}}`:                             "&lt;",
		`{{if true}}{{"<"}}{{else}}{{end}}`:                                          "&lt;",
		`{{range .New.nothing}}{{else}}{{"<"}}{{end}}`:                               "&lt;",
		`{{with .New.nothing}}{{else with "<"}}{{.}}{{end}}`:                         "&lt;",
		`{{range .Changed}}{{"<"}}{{break}}{{end}}`:                                  "&lt;",
		`{{range $i, $c := .Columns}}{{if eq $i 1}}{{$c}}{{continue}}{{end}}{{end}}`: "status",
	} {
		if got, err := execute(t, source, Options{Escape: HTML}, update()); err != nil || got != want {
			t.Errorf("%s makes %q, %v, want %q", source, got, err, want)
		}
	}
}

// An error stands in logs and with parked deliveries.
func TestErrorsSayWhereAndNeverAValue(t *testing.T) {
	const secret = "s3cr3t-value"
	row := `{"a":"` + secret + `","list":["` + secret + `"],"n":98765,"doc":{"` + secret + `":{}},"null":null}`
	for source, want := range map[string]string{
		`{{.New.nothing}}`:               "template rules[0].template:1:2: .New.nothing: the event has no such value",
		"\n  {{.Nothing}}":               "template rules[0].template:2:4: .Nothing: there is no field Nothing here",
		`{{.New.a.b}}`:                   "template rules[0].template:1:6: .New.a.b: there is no field b here",
		`{{range .New.a}}{{end}}`:        "range goes over lists",
		`{{index .New.list 5}}`:          "index cannot do anything with these arguments",
		`{{index .New.list .New.a}}`:     "index cannot do anything with these arguments",
		`{{len .New.n | truncate 0}}`:    "truncate wants at least 1",
		`{{truncate .New.a "x"}}`:        ".New.a: a value is not of the type",
		`{{join "," .New.a}}`:            "join wants a separator and a list",
		`{{printf "%d" .New.nothing}}`:   "the event has no such value",
		`{{printf "%1000d" .New.n}}`:     "three digits at most",
		`{{printf "%-.*f" 2000 .New.n}}`: "three digits at most",
		`{{$x := "%9d"}}{{range 11}}{{$x = print $x $x}}{{end}}{{printf $x}}`: "longer than 1048576 bytes",
		`{{call .New.a}}`:                                                   "call cannot do anything",
		`{{slice .New.a 5 2}}`:                                              "slice cannot do anything",
		`{{slice .New.a 0 98765}}`:                                          "slice cannot do anything",
		`{{template "x" .New.a}}{{define "x"}}{{.b}}{{end}}`:                "there is no field b",
		`{{get .New.a "x"}}`:                                                "a value is not of the type",
		`{{.New.a 1}}`:                                                      "",
		`{{eq .New.a}}`:                                                     "eq has too few arguments",
		`{{range $k, $v := .New.doc}}{{$v.b.c}}{{end}}`:                     "$v.b.c: the event has no such value",
		`{{define "x"}}{{template "x" .}}{{end}}{{template "x" .}}`:         "",
		`{{range 100000000}}{{end}}`:                                        "more than 1000000 turns",
		`{{range 100000000}}` + secret + `{{end}}`:                          "the text is longer than 1048576 bytes",
		`{{$x := .New.a}}{{range 40}}{{$x = print $x $x}}{{end}}`:           "longer than 1048576 bytes",
		`{{$x := .New.a}}{{range 40}}{{$x = replace "s" "ssss" $x}}{{end}}`: "longer than 1048576 bytes",
	} {
		out, err := execute(t, source, Options{}, delivery(publisher.Insert, row, "{}"))
		switch {
		case err == nil:
			t.Errorf("%s makes %q and no error", source, out[:min(len(out), 100)])
		case !publisher.IsPermanent(err):
			t.Errorf("%s: the error %q is not permanent", source, err)
		case !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "template rules[0].template"):
			t.Errorf("%s: the error is %q, want %q", source, err, want)
		case strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "98765"):
			t.Errorf("%s: the error %q holds a value", source, err)
		}
	}
}

func TestBodyOfAnotherEnvelopeIsRefusedWithoutQuotingIt(t *testing.T) {
	for _, body := range []string{"", "s3cr3t", `{"s3cr3t":1}`, `{"action":"INSERT","data":["s3cr3t"]}`, `{"action":"INSERT","dataOld":"s3cr3t"}`, `{"action":7}`} {
		d := update()
		d.Payload = []byte(body)
		_, err := execute(t, "{{.ID}}", Options{}, d)
		if err == nil || !publisher.IsPermanent(err) || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "not in the envelope walherald") {
			t.Errorf("%s: the error is %v", body, err)
		}
	}
}

func TestBrokenTemplateIsRefusedAtTheStart(t *testing.T) {
	for _, source := range []string{"{{", "{{nothing .New}}", "{{if}}", "{{end}}"} {
		if _, err := New("rules[0].template", source, Options{}); err == nil || !strings.Contains(err.Error(), "rules[0].template:1") {
			t.Errorf("%s: the error is %v", source, err)
		}
	}
}

func TestTemplatesAreUsedByManyAtOnce(t *testing.T) {
	tmpl, err := New("t", `{{range 100}}{{$.New.id}}{{end}}`, Options{Escape: Slack})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 8)
	for range cap(done) {
		go func() {
			out, _ := tmpl.Execute(update())
			done <- string(out)
		}()
	}
	for range cap(done) {
		if got := <-done; got != strings.Repeat("7", 100) {
			t.Errorf("it makes %q", got)
		}
	}
}

func TestTextCutInsideARuneStaysValid(t *testing.T) {
	got, err := execute(t, `{{slice "ä" 0 1}}`, Options{}, update())
	if err != nil || got != "\uFFFD" {
		t.Errorf("it makes %q, %v", got, err)
	}
}

func TestKeyOfSeveralColumnsIsFound(t *testing.T) {
	d := delivery(publisher.Insert, `{"a":1,"b":"x","c":2}`, "{}")
	for key, want := range map[string]string{`["2","x"]`: "c,b", "": "", "nobody": "", "[x": "", `["1","1"]`: "a"} {
		d.Key = []byte(key)
		e, err := Parse(d)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(e.KeyColumns, ","); got != want {
			t.Errorf("the key %s is of %q, want %q", key, got, want)
		}
	}
}
