package format

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStringsEscapeWhatTheyMustAndNothingElse(t *testing.T) {
	for in, want := range map[string]string{
		"":                            `""`,
		"plain":                       `"plain"`,
		"exactly8":                    `"exactly8"`,
		"a text of several words":     `"a text of several words"`,
		`say "hi" to C:\dir`:          `"say \"hi\" to C:\\dir"`,
		"line\nfeed\ttab\rreturn\b\f": `"line\nfeed\ttab\rreturn\b\f"`,
		"\x00\x01\x1f\x7f":            `"\u0000\u0001\u001f` + "\x7f" + `"`,
		"</script>&<>":                `"</script>&<>"`,
		"naïve größe 東京 🐘":            `"naïve größe 東京 🐘"`,
		"\u2028\u2029\ufffd":          "\"\u2028\u2029\ufffd\"",
		"a\xffb":                      "\"a\ufffdb\"",
		"\xe6\x9d":                    "\"\ufffd\ufffd\"", // cut in mid-character
		"\xed\xa0\x80":                "\"\ufffd\ufffd\ufffd\"",
		"東\xff京":                      "\"東\ufffd京\"",
	} {
		if got := string(AppendString(nil, []byte(in))); got != want {
			t.Errorf("%q becomes %s, want %s", in, got, want)
		}
		if got := string(AppendString([]byte("before"), []byte(in))); got != "before"+want {
			t.Errorf("%q after other text becomes %s, want %s", in, got, want)
		}
	}
}

// Words of 8 bytes must treat each byte at each place as the table does.
func TestEveryByteIsEscapedAlikeAtEveryPlace(t *testing.T) {
	for c := range 256 {
		alone := string(AppendString(nil, []byte{byte(c)}))
		for place := range 17 {
			text := []byte(strings.Repeat("x", 17))
			text[place] = byte(c)
			want := `"` + strings.Repeat("x", place) + alone[1:len(alone)-1] + strings.Repeat("x", 16-place) + `"`
			if got := string(AppendString(nil, text)); got != want {
				t.Errorf("byte %#x at place %d: got %s, want %s", c, place, got, want)
			}
		}
	}
}

func TestNumbersAreTakenOverAndOtherTextIsQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"0":                       "0",
		"-0":                      "-0",
		"9223372036854775808":     "9223372036854775808",
		"1234.5600":               "1234.5600",
		"1e+20":                   "1e+20",
		"-1.5E-07":                "-1.5E-07",
		strings.Repeat("9", 2000): strings.Repeat("9", 2000),
		"":                        `""`,
		"NaN":                     `"NaN"`,
		"-Infinity":               `"-Infinity"`,
		"-":                       `"-"`,
		"+1":                      `"+1"`,
		"01":                      `"01"`,
		".5":                      `".5"`,
		"1.":                      `"1."`,
		"1e":                      `"1e"`,
		"1e+":                     `"1e+"`,
		"1 ":                      `"1 "`,
		"0x10":                    `"0x10"`,
	} {
		if got := string(AppendNumber(nil, []byte(in))); got != want {
			t.Errorf("%q becomes %s, want %s", in, got, want)
		}
	}
}

func TestDocumentsAreTakenOverVerbatim(t *testing.T) {
	for _, in := range []string{
		`{}`, `[]`, `""`, `0`, `true`, `false`, `null`,
		`{"a": 1, "b": [1, 2, {"c": null}], "a": 2}`,
		"\n { \"a\" :\t[ 1 ,\r\n 2 ] } \n",
		`[1e400, 9223372036854775808, -0.0, 0.10]`,
		`"\u0000 \ud800 \" \\ \/ \b\f\n\r\t 東京"`,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
	} {
		if got := string(AppendDocument([]byte("x"), []byte(in))); got != "x"+in {
			t.Errorf("%.40s becomes %.40s", in, got)
		}
	}
}

func TestWhatIsNoDocumentIsQuoted(t *testing.T) {
	for _, in := range []string{
		``, ` `, `{`, `}`, `[`, `[1`, `[1,`, `[1,]`, `[,]`, `[1 2]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{1:1}`, `{"a":1]`, `[1}`,
		`tru`, `truE`, `nulll`, `1 2`, `01`, `"`, `"a`, `"\x"`, `"\u12g4"`, `"\u123`, `"\`, "\"\n\"", "\"\xff\"", "\xff", "\ufeff{}", `'a'`, `NaN`,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<20),
	} {
		got := AppendDocument(nil, []byte(in))
		if want := string(AppendString(nil, []byte(in))); string(got) != want {
			t.Errorf("%.40q becomes %.40s, want %.40s", in, got, want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain text, long enough", "\"\\\x00\x1f\n", "größe 東京 🐘 \u2028", "\xff\xe6\x9d"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := AppendString(nil, text)
		var back string
		if err := json.Unmarshal(got, &back); err != nil || !utf8.Valid(got) {
			t.Fatalf("%q becomes %q, which is not JSON: %v", text, got, err)
		}
		// Going through runes turns each invalid byte into U+FFFD.
		if want := string([]rune(string(text))); back != want {
			t.Fatalf("%q comes back as %q", text, back)
		}
	})
}

// The validator has to agree with encoding/json, which takes invalid UTF-8 for
// valid and nests a little deeper.
func FuzzValidDocument(f *testing.F) {
	for _, s := range []string{
		`{"a": [1, -2.5e+3, true, false, null, "x\n\u00e9"], "b": {}}`, ` [ ] `, `"\ud800"`, `01`, `[1,]`, "\"\xff\"", `{"a":1,"a":2}`, `-`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := json.Valid(text) && utf8.Valid(text)
		if got := validDocument(text); got != want && strings.Count(string(text), "[")+strings.Count(string(text), "{") < maxDepth {
			t.Fatalf("validDocument(%q) = %t", text, got)
		}
		if got := AppendDocument(nil, text); !json.Valid(got) {
			t.Fatalf("%q becomes %q, which is not JSON", text, got)
		}
		if got := AppendNumber(nil, text); !json.Valid(got) {
			t.Fatalf("%q becomes %q, which is not JSON", text, got)
		}
	})
}

func TestPiecesOfJSONAllocateNothing(t *testing.T) {
	dst := make([]byte, 0, 1024)
	for name, appendTo := range map[string]func(dst, text []byte) []byte{
		"string": AppendString, "number": AppendNumber, "document": AppendDocument,
	} {
		for _, text := range []string{"123456", `{"a": ["größe", 1e400]}`, "quote \" and \xff"} {
			in := []byte(text)
			if n := testing.AllocsPerRun(100, func() { appendTo(dst, in) }); n != 0 {
				t.Errorf("%s of %q: %v allocations", name, text, n)
			}
		}
	}
}

func BenchmarkAppendString(b *testing.B) {
	for name, text := range map[string]string{
		"short":     "ada@example.org",
		"long":      strings.Repeat("The quick brown fox jumps over the lazy dog. ", 20),
		"beyond":    strings.Repeat("Быстрая лиса. ", 20),
		"backslash": strings.Repeat(`C:\dir "x" `, 20),
	} {
		b.Run(name, func(b *testing.B) {
			dst, in := make([]byte, 0, 4096), []byte(text)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				AppendString(dst, in)
			}
		})
	}
}

func BenchmarkAppendDocument(b *testing.B) {
	in := []byte(`{"id": 1, "name": "Ada Lovelace", "tags": ["a", "b", "c"], "address": {"city": "London", "zip": null}, "score": 12.5}`)
	dst := make([]byte, 0, 4096)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		AppendDocument(dst, in)
	}
}
