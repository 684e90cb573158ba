package listener

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/walherald/walherald/config"
)

// everyStyle lists the ways to write values.
var everyStyle = []config.Values{
	{Numeric: config.NumericNumber, Bytea: config.ByteaHex},
	{Numeric: config.NumericString, Bytea: config.ByteaBase64},
}

// userTypes makes types of any make: an array, a domain, an array of that domain,
// an array of that array, and one that is made of itself, as no type can be.
func userTypes(element, base uint32, delimiter byte) map[uint32]typeInfo {
	return map[uint32]typeInfo{
		16400: {element: element, delimiter: delimiter},
		16401: {base: base},
		16402: {element: 16401, delimiter: delimiter},
		16403: {element: 16400, delimiter: ','},
		16404: {element: 16404, delimiter: delimiter},
	}
}

// everyOID lists all types that are treated in a way of their own, and types.
func everyOID(types map[uint32]typeInfo) []uint32 {
	oids := []uint32{
		oidBool, oidInt2, oidInt4, oidInt8, oidOID, oidFloat4, oidFloat8, oidNumeric, oidBytea,
		oidJSON, oidJSONB, oidTimestamp, oidTimestamptz, oidText,
	}
	for array := range arrayElements {
		oids = append(oids, array)
	}
	for oid := range types {
		oids = append(oids, oid)
	}
	return oids
}

// Failure 27 of docs/failures.md.
func FuzzValuesAreAlwaysJSON(f *testing.F) {
	for _, tt := range valueTests {
		if len(tt.in) < 1000 {
			f.Add([]byte(tt.in), uint32(oidText), tt.oid, byte(','))
		}
	}
	for _, tt := range arrayTests {
		f.Add([]byte(tt.in), uint32(oidBytea), tt.oid, byte(';'))
		f.Add([]byte(tt.in), tt.oid, uint32(oidNumeric), byte('"'))
	}
	f.Add([]byte(strings.Repeat("{", 100)+strings.Repeat("}", 100)), uint32(16404), uint32(16404), byte('{'))
	f.Fuzz(func(t *testing.T, text []byte, element, base uint32, delimiter byte) {
		types := userTypes(element, base, delimiter)
		for _, values := range everyStyle {
			for _, oid := range everyOID(types) {
				got := appenderFor(oid, values, types)(nil, text)
				if !json.Valid(got) || !utf8.Valid(got) {
					t.Fatalf("type %d, %v: %q becomes %q, which is not JSON", oid, values, text, got)
				}
			}
		}
	})
}

// What encoding/json makes of it.

// quotedLike reports whether got is text as a JSON string, with U+FFFD for each
// byte that is not UTF-8.
func quotedLike(got, text []byte) bool {
	var s string
	return got[0] == '"' && json.Unmarshal(got, &s) == nil && s == string([]rune(string(text)))
}

// isNumber reports whether encoding/json takes text for a number without spaces.
func isNumber(text []byte) bool {
	return len(text) > 0 && json.Valid(text) && (text[0] == '-' || isDigit(text[0])) && isDigit(text[len(text)-1])
}

func FuzzStringsNumbersAndDocumentsAreWhatEncodingJSONTakesThemFor(f *testing.F) {
	for _, tt := range valueTests {
		if len(tt.in) < 1000 {
			f.Add([]byte(tt.in))
		}
	}
	f.Add([]byte(` [1, "a\u00e9\\"] `))
	f.Add([]byte("1e5 "))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > maxNestedInput {
			return
		}
		bare := map[uint32]bool{
			oidText: false, oidUserType: false, oidNumeric: isNumber(text), oidFloat8: isNumber(text), oidInt8: isNumber(text),
			oidJSON: json.Valid(text) && utf8.Valid(text), oidJSONB: json.Valid(text) && utf8.Valid(text),
		}
		for oid, bare := range bare {
			got := appenderFor(oid, everyStyle[0], nil)(nil, text)
			if bare && string(got) != string(text) || !bare && !quotedLike(got, text) {
				t.Fatalf("type %d: %q becomes %q; bare should be %v", oid, text, got, bare)
			}
		}
		if got := appenderFor(oidNumeric, everyStyle[1], nil)(nil, text); !quotedLike(got, text) {
			t.Fatalf("numeric as a string: %q becomes %q", text, got)
		}
	})
}

// maxNestedInput is less than what could be nested deeper than documents may be.
const maxNestedInput = 9000

func FuzzByteaComesBackAsItWas(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("\x00\xff"))
	f.Add([]byte(strings.Repeat("0123456789", 200)))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := []byte(`\x` + hex.EncodeToString(data))
		got := appenderFor(oidBytea, everyStyle[1], nil)([]byte("before"), text)
		if want := `before"` + base64.StdEncoding.EncodeToString(data) + `"`; string(got) != want {
			t.Fatalf("%x becomes %s, want %s", data, got, want)
		}
	})
}
