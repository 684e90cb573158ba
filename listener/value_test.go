package listener

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/walherald/walherald/config"
)

// Types that have no constant because their values are simply strings.
const (
	oidText      = 25
	oidDate      = 1082
	oidInterval  = 1186
	oidUUID      = 2950
	oidInt4range = 3904
	oidUserType  = 16390
)

// valueTests pairs text as a PostgreSQL 15 server writes it, or should never
// write it, with what becomes of it.
var valueTests = []struct {
	oid      uint32
	in, want string
}{
	{oidBool, "t", "true"},
	{oidBool, "f", "false"},
	{oidBool, "", `""`},
	{oidBool, "yes", `"yes"`},

	{oidInt2, "-32768", "-32768"},
	{oidInt4, "0", "0"},
	{oidInt8, "9223372036854775807", "9223372036854775807"},
	{oidOID, "4294967295", "4294967295"},
	{oidInt8, "", `""`},
	{oidInt8, "1,2", `"1,2"`},

	{oidFloat4, "0.1", "0.1"},
	{oidFloat8, "1e+20", "1e+20"},
	{oidFloat8, "-1.5e-07", "-1.5e-07"},
	{oidFloat8, "-0", "-0"},
	{oidFloat8, "NaN", `"NaN"`},
	{oidFloat8, "Infinity", `"Infinity"`},
	{oidFloat8, "-Infinity", `"-Infinity"`},

	{oidNumeric, "1234.5600", "1234.5600"},
	{oidNumeric, strings.Repeat("9", 131072) + ".5", strings.Repeat("9", 131072) + ".5"},
	{oidNumeric, "NaN", `"NaN"`},
	{oidNumeric, "-Infinity", `"-Infinity"`},

	{oidJSON, "{ \"a\" : [1,\n 2], \"a\": 1e400 }", "{ \"a\" : [1,\n 2], \"a\": 1e400 }"},
	{oidJSONB, `{"n": 9223372036854775808, "s": "größe \" \\"}`, `{"n": 9223372036854775808, "s": "größe \" \\"}`},
	{oidJSONB, `null`, `null`},
	{oidJSON, `{"a":}`, `"{\"a\":}"`},
	{oidJSON, "\"\xff\"", "\"\\\"\ufffd\\\"\""},

	{oidText, "", `""`},
	{oidText, "say \"hi\"\n\x01\\ 東京 </b>\u2028", `"say \"hi\"\n\u0001\\ 東京 </b>` + "\u2028\""},
	{oidText, "a\xffb", "\"a\ufffdb\""},
	{oidUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", `"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`},
	{oidBytea, `\x00ff`, `"\\x00ff"`},
	{oidDate, "2024-02-29", `"2024-02-29"`},
	{oidDate, "infinity", `"infinity"`},
	{oidInterval, "1 year 2 mons 3 days 04:05:06.7", `"1 year 2 mons 3 days 04:05:06.7"`},
	{oidInt4range, "[1,5)", `"[1,5)"`},
	{oidUserType, `(1,"a""b")`, `"(1,\"a\"\"b\")"`},
	{oidUserType, "{1,2}", `"{1,2}"`},

	{oidTimestamp, "2024-02-29 12:34:56", `"2024-02-29T12:34:56Z"`},
	{oidTimestamp, "2024-02-29 12:34:56.789012", `"2024-02-29T12:34:56.789012Z"`},
	{oidTimestamp, "0001-01-01 00:00:00.5", `"0001-01-01T00:00:00.5Z"`},
	{oidTimestamp, "infinity", `"infinity"`},
	{oidTimestamp, "-infinity", `"-infinity"`},
	{oidTimestamp, "0044-03-15 12:00:00 BC", `"0044-03-15 12:00:00 BC"`},
	{oidTimestamp, "10000-01-01 00:00:00", `"10000-01-01 00:00:00"`},
	{oidTimestamp, "2024-02-29 12:34:56.", `"2024-02-29 12:34:56."`},
	{oidTimestamp, "2024-02-29 12:34:56+00", `"2024-02-29 12:34:56+00"`},
	{oidTimestamp, "29/02/2024 12:34:56", `"29/02/2024 12:34:56"`},
	{oidTimestamp, "", `""`},

	{oidTimestamptz, "2024-02-29 12:34:56.789012+00", `"2024-02-29T12:34:56.789012Z"`},
	{oidTimestamptz, "2024-02-29 12:34:56+05", `"2024-02-29T12:34:56+05:00"`},
	{oidTimestamptz, "2024-02-29 07:34:56.789-05", `"2024-02-29T07:34:56.789-05:00"`},
	{oidTimestamptz, "2024-02-29 18:04:56.789+05:30", `"2024-02-29T18:04:56.789+05:30"`},
	{oidTimestamptz, "1800-01-01 00:00:00-04:56:02", `"1800-01-01 00:00:00-04:56:02"`},
	{oidTimestamptz, "2024-02-29 12:34:56", `"2024-02-29 12:34:56"`},
	{oidTimestamptz, "2024-02-29 12:34:56.5 UTC", `"2024-02-29 12:34:56.5 UTC"`},
	{oidTimestamptz, "10000-01-01 00:00:00+00", `"10000-01-01 00:00:00+00"`},
	{oidTimestamptz, "0044-03-15 12:00:00+00 BC", `"0044-03-15 12:00:00+00 BC"`},
	{oidTimestamptz, "infinity", `"infinity"`},
}

// Failure 27 of docs/failures.md.
func TestValuesOfEachTypeBecomeJSON(t *testing.T) {
	for _, tt := range valueTests {
		got := string(appenderFor(tt.oid, config.Default().Listener.Values, nil)([]byte("before"), []byte(tt.in)))
		if got != "before"+tt.want {
			t.Errorf("type %d: %.60q becomes %.60s, want %.60s", tt.oid, tt.in, strings.TrimPrefix(got, "before"), tt.want)
		}
	}
}

// styleTests holds values as the second of everyStyle has them.
var styleTests = []struct {
	oid      uint32
	in, want string
}{
	{oidNumeric, "1234.5600", `"1234.5600"`},
	{oidNumeric, "NaN", `"NaN"`},
	{oidNumericArray, "{1.50,NULL,-7}", `["1.50",null,"-7"]`},
	{oidFloat8, "1.5", "1.5"},
	{oidBytea, `\x`, `""`},
	{oidBytea, `\x00`, `"AA=="`},
	{oidBytea, `\x00fF`, `"AP8="`},
	{oidBytea, `\xfbff00`, `"+/8A"`},
	{oidBytea, `\x` + strings.Repeat("fbff00", 1000), `"` + strings.Repeat("+/8A", 1000) + `"`},
	{oidBytea, `\x` + strings.Repeat("00", 1000) + "0g", `"\\x` + strings.Repeat("00", 1000) + `0g"`},
	{oidBytea, `\x0`, `"\\x0"`},
	{oidBytea, `\000`, `"\\000"`},
	{oidBytea, ``, `""`},
	{oidByteaArray, `{"\\x0102",NULL,"\\x"}`, `["AQI=",null,""]`},
}

func TestNumericAndByteaHaveTwoStyles(t *testing.T) {
	for _, tt := range styleTests {
		got := string(appenderFor(tt.oid, everyStyle[1], nil)([]byte("before"), []byte(tt.in)))
		if got != "before"+tt.want {
			t.Errorf("type %d: %.60q becomes %.60s, want %.60s", tt.oid, tt.in, strings.TrimPrefix(got, "before"), tt.want)
		}
	}
}

// An array with its own delimiter, a domain over an array and an array of it, one
// array in the other, and an array of itself, of which the text has three.
func TestValuesOfUserTypesFollowWhatTheyAreMadeOf(t *testing.T) {
	types := userTypes(oidBool, oidInt4Array, ';')
	for _, tt := range []struct {
		oid      uint32
		in, want string
	}{
		{16400, `{t;NULL;{f}}`, `[true,null,[false]]`},
		{16400, `{t,f}`, `["t,f"]`},
		{16401, `{1,{2,NULL}}`, `[1,[2,null]]`},
		{16402, `{"{1,2}";"{}";NULL}`, `[[1,2],[],null]`},
		{16403, `{"{t;f}",{"{t}"}}`, `[[true,false],[[true]]]`},
		{16404, `{"{\"{a}\"}"}`, `[[["a"]]]`},
		{oidUserType, `{1,2}`, `"{1,2}"`},
	} {
		if got := string(appenderFor(tt.oid, everyStyle[0], types)(nil, []byte(tt.in))); got != tt.want {
			t.Errorf("type %d: %s becomes %s, want %s", tt.oid, tt.in, got, tt.want)
		}
	}
}

func FuzzStringsComeBackAsTheyWere(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\x00\n größe 🐘 \u2028")
	f.Fuzz(func(t *testing.T, text string) {
		var back string
		if err := json.Unmarshal(appenderFor(oidText, config.Default().Listener.Values, nil)(nil, []byte(text)), &back); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(text) && back != text {
			t.Fatalf("%q comes back as %q", text, back)
		}
	})
}

func TestDateAndTimeAreToldByEveryByte(t *testing.T) {
	form := regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$`)
	for at := range len("2024-02-29 12:34:56") {
		for c := range 256 {
			text := []byte("2024-02-29 12:34:56")
			text[at] = byte(c)
			if got, want := dateTime(text) != 0, form.Match(text); got != want {
				t.Errorf("%q is a date and time: %v, want %v", text, got, want)
			}
		}
	}
}
