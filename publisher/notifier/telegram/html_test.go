package telegram

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMessagesAreCutAtSafePlaces(t *testing.T) {
	for _, tt := range []struct {
		html  string
		limit int
		want  string
	}{
		{"größe", 5, "größe"},
		{"größer", 5, "größ…"},
		{"<b>ab</b>cd", 4, "<b>ab</b>cd"},
		{"<b>ab</b>cd", 3, "<b>ab</b>…"},
		{"<b>abcd</b>", 3, "<b>ab…</b>"},
		{"<b><i>abcd</i>e</b>", 3, "<b><i>ab…</i></b>"},
		{"a&amp;&lt;bc", 4, "a&amp;&lt;…"},
		{"a&#128512;bc", 4, "a&#128512;…"},
		{"a&#x1F600;bc", 3, "a…"},
		{"a😀bc", 3, "a…"},
		{"a😀bc", 4, "a😀…"},
		{"a & b&nbsp;c", 5, "a & …"},
		{`<a href="x>y">abc</a>`, 2, `<a href="x>y">a…</a>`},
		{"<PRE>abc</pre >", 2, "<PRE>a…</pre>"},
		{"<blockquote expandable>abc</blockquote>", 2, "<blockquote expandable>a…</blockquote>"},
		{`<span class="tg-spoiler">abc</span>`, 1, `<span class="tg-spoiler">…</span>`},
	} {
		got, err := fit(tt.html, tt.limit)
		if err != nil || got != tt.want {
			t.Errorf("%s cut to %d is %s, %v, want %s", tt.html, tt.limit, got, err, tt.want)
		}
	}
}

func FuzzFit(f *testing.F) {
	f.Add(`<b>a&amp;<i>größe 😀</i></b> <a href="x">&#128512;</a>`, 7)
	f.Add(`<span class="tg-spoiler">&lt</span>&#xD800;`, 3)
	f.Fuzz(func(t *testing.T, html string, limit int) {
		limit = max(1, limit%100)
		html = strings.ToValidUTF8(html, "")
		got, err := fit(html, limit)
		if err != nil {
			return
		}
		units, err := measure(got)
		if err != nil || units > limit || !utf8.ValidString(got) {
			t.Errorf("%q cut to %d is %q of %d units, %v", html, limit, got, units, err)
		}
		if before, _, cut := strings.Cut(got, "…"); got != html && (!cut || !strings.HasPrefix(html, before)) {
			t.Errorf("%q cut to %d is %q", html, limit, got)
		}
	})
}
