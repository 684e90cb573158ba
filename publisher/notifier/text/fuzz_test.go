package text

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/walherald/walherald/publisher"
)

// Whatever a row holds, a template that prints all of it ends, in valid UTF-8.
func FuzzPayload(f *testing.F) {
	f.Add(newRow, oldRow)
	f.Add(`{"a":{"b":[null]}}`, `{}`)
	f.Add(`null`, `{"a":"\ud800"}`)
	tmpl, err := New("t", `{{range .Columns}}{{.}}={{get $.Row .}} {{end}}{{range .Changed}}{{.Old}}{{.New}}{{if lt .Old .New}}<{{end}}{{printf "%.2f" .New}}{{end}}{{json .New}}{{len .KeyColumns}}`, Options{Escape: HTML})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data, dataOld string) {
		out, err := tmpl.Execute(delivery(publisher.Update, data, dataOld))
		if err != nil && !publisher.IsPermanent(err) {
			t.Errorf("the error %v is not permanent", err)
		}
		if !utf8.Valid(out) {
			t.Error("the text is not UTF-8")
		}
	})
}

func FuzzTruncate(f *testing.F) {
	f.Add("größer als", 5)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = max(1, n%1000)
		got := Truncate(text, n)
		if utf8.RuneCountInString(got) > n && got != text || got != text && !strings.HasSuffix(got, "…") {
			t.Errorf("%q cut to %d is %q", text, n, got)
		}
	})
}
