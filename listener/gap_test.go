package listener

import (
	"strings"
	"testing"

	"github.com/walherald/walherald/listener/pgoutput"
)

func TestSlotIsHeldAgainstItsPast(t *testing.T) {
	const end = 9 << 20
	there := func(confirmed pgoutput.LSN) slotState { return slotState{exists: true, confirmed: confirmed} }
	for _, tt := range []struct {
		name string
		past past
		slot slotState
		at   pgoutput.LSN // 0 means that nothing is missing
		says string
	}{
		{"first start", past{}, slotState{}, 0, ""},
		{"slot of another program taken over", past{}, there(500), 0, ""},
		{"stopped after telling", past{known: true, lsn: 500, from: 100}, there(500), 0, ""},
		{"killed between writing and telling", past{known: true, lsn: 500, from: 100}, there(400), 0, ""},
		{"gone", past{known: true, lsn: 500}, slotState{}, 500, "was dropped: changes between 0/1F4 and 0/900000 are lost"},
		{"made anew", past{known: true, lsn: 500, from: 100}, there(501), 500, "made anew or advanced by somebody else: changes between 0/1F4 and 0/1F5 are lost"},
		{"invalidated", past{known: true, lsn: 500}, slotState{exists: true, lost: true, confirmed: 400}, 500, "was invalidated"},
		{"invalidated, and nothing known", past{}, slotState{exists: true, lost: true, confirmed: 400}, 400, "changes between 0/190 and 0/900000"},
		{"further back than it ever was", past{known: true, lsn: 500, from: 100}, there(99), 99, "nothing is lost, but all changes between 0/63 and 0/1F4 would be sent again"},
		{"further back after a crash of the server", past{known: true, lsn: 500}, there(99), 0, ""},
		{"read by another process", past{known: true, lsn: 500}, slotState{exists: true, activePID: "7", confirmed: 600}, 0, ""},
		{"copied to the promoted server", past{known: true, lsn: 500, moved: true}, slotState{exists: true, failover: true, confirmed: 600}, 0, ""},
		{"made by hand on the promoted server", past{known: true, lsn: 500, moved: true}, there(600), 500, "made anew"},
		{"not on the promoted server", past{known: true, lsn: 500, moved: true}, slotState{}, 500, "was dropped"},
	} {
		g := tt.past.gap("wh", tt.slot, end)
		switch {
		case g == nil && tt.at == 0:
		case g == nil || g.at != tt.at:
			t.Errorf("%s: gap is %+v, want one at %v", tt.name, g, tt.at)
		case !strings.Contains(g.what, tt.says):
			t.Errorf("%s: %q does not say %q", tt.name, g.what, tt.says)
		case !isFatal(g.refuse()) || !strings.Contains(g.refuse().Error(), "--accept-gap="+tt.at.String()):
			t.Errorf("%s: refusal is %v", tt.name, g.refuse())
		}
	}
}

func TestSizesOfGapsAreReadable(t *testing.T) {
	for n, want := range map[pgoutput.LSN]string{0: "", 7: " (7 bytes of log)", 64 << 10: " (64 kB of log)", 3 << 30: " (3072 MB of log)"} {
		if got := size(100, 100+n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}
