package listener

import (
	"slices"
	"testing"

	"github.com/walherald/walherald/listener/pgoutput"
)

func TestChangeKeepsItsIDAcrossAFailoverAndALostOneGivesItToNobody(t *testing.T) {
	before := identity{system: "7000", timeline: 1, database: "shop", slot: "wh"}
	after := before
	after.timeline, after.forks = 2, []fork{{1, 0x1000}}
	if before.source()(0xFFF) != after.source()(0xFFF) {
		t.Error("a change from before the promotion has another id after it")
	}
	if before.source()(0x1000) == after.source()(0x1000) {
		t.Error("a change after the promotion has the id of one that was lost with the old server")
	}
	third := after
	third.timeline, third.forks = 3, []fork{{1, 0x1000}, {2, 0x2000}}
	for lsn, same := range map[uint64]identity{0xFFF: before, 0x1FFF: after} {
		if third.source()(pgoutput.LSN(lsn)) != same.source()(pgoutput.LSN(lsn)) {
			t.Errorf("the change at %x has another id on the third timeline", lsn)
		}
	}
	if third.source()(0x2000) == after.source()(0x2000) {
		t.Error("the third timeline writes ids of the second")
	}
}

func TestTimelineHistoryIsRead(t *testing.T) {
	forks, err := parseForks("# comment\n1\t0/3000158\tno recovery target specified\n\n2\t1/A0\tbefore 2024-01-01 00:00:00+00\n")
	if err != nil || !slices.Equal(forks, []fork{{1, 0x3000158}, {2, 0x1000000A0}}) {
		t.Errorf("forks %v, error %v", forks, err)
	}
	for _, bad := range []string{"x\t0/1\t", "1\tnowhere\t"} {
		if _, err := parseForks(bad); err == nil {
			t.Errorf("%q is read as a history", bad)
		}
	}
}
