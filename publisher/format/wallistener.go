package format

import (
	"maps"
	"slices"

	"github.com/walherald/walherald/publisher"
)

// WalListener is the envelope of wal-listener, member by member. Its bodies are
// those of [Walherald] up to and including tags.
//
// wal-listener itself gives each attempt another id, takes commitTime from the
// clock of the machine it runs on, writes the large values that did not change
// as null, and null in place of an empty unchangedToastedValues or tags; it
// knows no logical messages, whose action is MESSAGE here.
type WalListener struct{}

// Plan implements [Envelope].
func (WalListener) Plan(t *publisher.Table, tags map[string]string) Plan {
	p := newWalListenerPlan(t, tags)
	return &p
}

// walListenerPlan holds the parts of a body that are the same in every event.
type walListenerPlan struct {
	table   []byte // from the end of the id to the beginning of the action
	columns columns
	tags    []byte // from the end of unchangedToastedValues to the end of tags
}

func newWalListenerPlan(t *publisher.Table, tags map[string]string) walListenerPlan {
	table := appendMember(appendMember(nil, `","schema":`, t.Schema), `,"table":`, t.Name)
	return walListenerPlan{
		table:   append(table, `,"action":"`...),
		columns: newColumns(t),
		tags:    appendTags([]byte(`],"tags":`), tags),
	}
}

// appendTags appends tags as an object, sorted by name.
func appendTags(dst []byte, tags map[string]string) []byte {
	comma := "{"
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		dst = appendMember(dst, comma, name)
		dst = appendMember(dst, ":", tags[name])
		comma = ","
	}
	if len(tags) == 0 {
		dst = append(dst, '{')
	}
	return append(dst, '}')
}

// Append implements [Plan].
func (p *walListenerPlan) Append(dst []byte, e *publisher.Event) []byte {
	return append(p.appendMembers(dst, e), '}')
}

// appendMembers appends the body without the brace that ends it.
func (p *walListenerPlan) appendMembers(dst []byte, e *publisher.Event) []byte {
	dst = append(dst, `{"id":"`...)
	dst, _ = e.ID.AppendText(dst) // its error is always nil
	dst = append(dst, p.table...)
	dst = append(dst, e.Action.String()...)
	dst = append(dst, `","data":{`...)
	dst, unchanged := p.columns.appendNew(dst, e)
	dst = append(dst, `},"dataOld":{`...)
	dst = p.columns.appendOld(dst, e)
	dst = append(dst, `},"commitTime":"`...)
	dst = append(dst, e.CommitTimeText...)
	dst = append(dst, `","unchangedToastedValues":[`...)
	if unchanged {
		dst = p.columns.appendUnchanged(dst, e)
	}
	return append(dst, p.tags...)
}
