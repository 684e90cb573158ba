package listener

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/walherald/walherald/config"
)

// OIDs of array types.
const (
	oidBoolArray        = 1000
	oidByteaArray       = 1001
	oidInt4Array        = 1007
	oidTextArray        = 1009
	oidBoxArray         = 1020
	oidFloat8Array      = 1022
	oidTimestampArray   = 1115
	oidTimestamptzArray = 1185
	oidNumericArray     = 1231
	oidRecordArray      = 2287
	oidJSONBArray       = 3807
	oidInt4rangeArray   = 3905
)

var arrayTests = []struct {
	oid      uint32
	in, want string
}{
	{oidInt4Array, `{}`, `[]`},
	{oidInt4Array, `{1,-2,NULL}`, `[1,-2,null]`},
	{oidInt4Array, `{{1,2},{3,4}}`, `[[1,2],[3,4]]`},
	{oidInt4Array, `{{{{{{1}}}}}}`, `[[[[[[1]]]]]]`},
	{oidInt4Array, `[2:3]={1,2}`, `[1,2]`},
	{oidInt4Array, `[0:0][-1:0]={{1,2}}`, `[[1,2]]`},
	{oidBoolArray, `{t,f,NULL}`, `[true,false,null]`},
	{oidFloat8Array, `{NaN,Infinity,-1.5e-07,1e+20}`, `["NaN","Infinity",-1.5e-07,1e+20]`},
	{oidNumericArray, `{NaN,-Infinity,1.50}`, `["NaN","-Infinity",1.50]`},
	{oidTimestampArray, `{"2024-02-29 12:34:56"}`, `["2024-02-29T12:34:56Z"]`},
	{oidTimestamptzArray, `{"2024-01-02 03:04:05.5+00",infinity}`, `["2024-01-02T03:04:05.5Z","infinity"]`},
	{oidByteaArray, `{"\\x0102"}`, `["\\x0102"]`},
	{oidBoxArray, `{(1,1),(0,0);(2,2),(1,1)}`, `["(1,1),(0,0)","(2,2),(1,1)"]`},
	{oidRecordArray, `{"(1,\"a\"\"b\")"}`, `["(1,\"a\"\"b\")"]`},
	{oidInt4rangeArray, `{"[1,5)"}`, `["[1,5)"]`},
	{
		oidTextArray, `{"a,b","\"q\"","\\x",NULL,"NULL","null",""," x ","{z}",ü}`,
		`["a,b","\"q\"","\\x",null,"NULL","null",""," x ","{z}","ü"]`,
	},
	{
		oidJSONBArray, `{"{\"a\": \"x\\\"y\"}","[1, 2]","null",NULL,1e400}`,
		`[{"a": "x\"y"},[1, 2],null,null,1e400]`,
	},
	{oidJSONBArray, `{"{\"a\": }"}`, `["{\"a\": }"]`},

	// What is no array stays text.
	{oidInt4Array, ``, `""`},
	{oidInt4Array, `1`, `"1"`},
	{oidInt4Array, `{`, `"{"`},
	{oidInt4Array, `{1`, `"{1"`},
	{oidInt4Array, `{1,`, `"{1,"`},
	{oidInt4Array, `{1,}`, `"{1,}"`},
	{oidInt4Array, `{,1}`, `"{,1}"`},
	{oidInt4Array, `{1}}`, `"{1}}"`},
	{oidInt4Array, `{1}x`, `"{1}x"`},
	{oidInt4Array, `{{1}`, `"{{1}"`},
	{oidInt4Array, `{{1}2}`, `"{{1}2}"`},
	{oidInt4Array, `{1{2}}`, `"{1{2}}"`},
	{oidInt4Array, `[1:2]{1,2}`, `"[1:2]{1,2}"`},
	{oidInt4Array, `[1:2]=`, `"[1:2]="`},
	{oidInt4Array, `[x]={1}`, `"[x]={1}"`},
	{oidInt4Array, `{{{{{{{1}}}}}}}`, `"{{{{{{{1}}}}}}}"`},
	{oidTextArray, `{"a}`, `"{\"a}"`},
	{oidTextArray, `{"a\"}`, `"{\"a\\\"}"`},
	{oidTextArray, `{"a\`, `"{\"a\\"`},
	{oidTextArray, `{"a"b}`, `"{\"a\"b}"`},
	{oidTextArray, `{a"b}`, `"{a\"b}"`},
	{oidTextArray, `{a\b}`, `"{a\\b}"`},
	{oidTextArray, strings.Repeat("{", 100), `"` + strings.Repeat("{", 100) + `"`},
}

// Failure 27 of docs/failures.md.
func TestArraysOfEachTypeBecomeJSONArrays(t *testing.T) {
	for _, tt := range arrayTests {
		got := string(appenderFor(tt.oid, config.Default().Listener.Values, nil)([]byte("before"), []byte(tt.in)))
		if got != "before"+tt.want {
			t.Errorf("type %d: %s becomes %s, want %s", tt.oid, tt.in, strings.TrimPrefix(got, "before"), tt.want)
		}
	}
}

func TestEveryArrayTypeLeadsToAnElementThatIsNoArray(t *testing.T) {
	for array, element := range arrayElements {
		if _, nested := arrayElements[element]; nested {
			t.Errorf("the elements of type %d are of the array type %d", array, element)
		}
	}
}

// quoteElement writes an element as PostgreSQL does if it has to be quoted.
func quoteElement(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Failure 27 of docs/failures.md.
func FuzzTextArraysComeBackAsTheyWere(f *testing.F) {
	f.Add("a|b", true)
	f.Add(`|"|\|NULL|{}|,|größe`, false)
	f.Fuzz(func(t *testing.T, joined string, nested bool) {
		if !utf8.ValidString(joined) {
			return
		}
		elements := strings.Split(joined, "|")
		quoted := make([]string, len(elements))
		for i, e := range elements {
			quoted[i] = quoteElement(e)
		}
		text, want := "{"+strings.Join(quoted, ",")+"}", any(elements)
		if nested {
			text, want = "[0:1][5:9]={"+text+","+text+"}", [][]string{elements, elements}
		}
		got := appenderFor(oidTextArray, config.Default().Listener.Values, nil)(nil, []byte(text))
		back := reflect.New(reflect.TypeOf(want))
		if err := json.Unmarshal(got, back.Interface()); err != nil || !reflect.DeepEqual(back.Elem().Interface(), want) {
			t.Fatalf("%s becomes %s: %v", text, got, err)
		}
	})
}

func FuzzDocumentArraysComeBackAsTheyWere(f *testing.F) {
	f.Add(`{"a": ["x\"y\\", 1e400, null]}`)
	f.Add(`{"a"`)
	f.Fuzz(func(t *testing.T, document string) {
		want := string(appenderFor(oidJSONB, config.Default().Listener.Values, nil)(nil, []byte(document)))
		text := "{" + quoteElement(document) + ",NULL," + quoteElement(document) + "}"
		if got := string(appenderFor(oidJSONBArray, config.Default().Listener.Values, nil)(nil, []byte(text))); got != "["+want+",null,"+want+"]" {
			t.Fatalf("%s becomes %s, want %s twice", text, got, want)
		}
	})
}
