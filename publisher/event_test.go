package publisher

import "testing"

func TestActionsAreSpelledAsInEnvelopes(t *testing.T) {
	for a, want := range map[Action]string{
		Insert: "INSERT", Update: "UPDATE", Delete: "DELETE", Truncate: "TRUNCATE", LogicalMessage: "MESSAGE",
		0: "", LogicalMessage + 1: "", 255: "",
	} {
		if got := a.String(); got != want {
			t.Errorf("action %d is %q, want %q", a, got, want)
		}
	}
}
