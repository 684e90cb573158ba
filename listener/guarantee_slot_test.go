package listener

import (
	"strings"
	"testing"
)

// guaranteeWords wants all words in a text.
func guaranteeWords(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}
