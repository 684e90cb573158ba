//go:build !race

// With the race detector the pools of package regexp forget what they hold.

package rules

import (
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

func TestEventsThatMatchNothingAllocateNothing(t *testing.T) {
	long := strings.Repeat("1234567890", 20)
	for name, rs := range map[string][]config.NamedRule{
		"conditions": conditionRules(), "equality": equalityRules(), "when": whenRules(),
		"long numbers": many(func(int) config.Rule { return config.Rule{When: `new.price < 0 || new.id > 1.5e308`} }),
		"escapes": many(func(int) config.Rule {
			return config.Rule{When: `new.note contains "\n\n" || new.status matches "^x.*y$"`}
		}),
		"other table": many(func(int) config.Rule { return config.Rule{Table: "users"} }),
	} {
		p := planFor(t, rs)
		for _, e := range []*publisher.Event{
			unmatched(), truncated(),
			inserted("id=1", "price="+long+"."+long, "note=a\nb\n", "status=x"),
			inserted("id=1", "price=1e400", "note="+long, "status=x"),
			deleted("id=1", "price=99999", "note="+sqlNull, "status=x"),
			updated(nil, []string{"id=1", "note=" + unchanged, "status=x"}),
		} {
			_, _ = p.Match(e) // grows what is kept
			if n := testing.AllocsPerRun(100, func() { _, _ = p.Match(e) }); n != 0 {
				t.Errorf("%s: %s allocates %v times", name, e.Action, n)
			}
		}
	}
}
