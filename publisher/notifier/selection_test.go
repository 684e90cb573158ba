package notifier

import (
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
	"github.com/walherald/walherald/publisher/notifier/rules"
)

// An expression can say something else when it is asked again: by the clock, or by the
// order of a map, which is another at each look.
func TestWhatWasSelectedOnceHasARuleWhateverTheExpressionSaysNext(t *testing.T) {
	set, err := rules.New([]config.NamedRule{{Rule: config.Rule{Name: "first", When: `keys(new)[0] == "a"`}, Section: "notifier.rules[0]"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	envelope, _, err := format.New(format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	table := &publisher.Table{Schema: "public", Name: "t", Columns: []publisher.Column{{Name: "a", AppendJSON: format.AppendString}, {Name: "b", AppendJSON: format.AppendString}}}
	selection := NewSelector(set, envelope).Select(table, nil, func(publisher.Action) string { return "public_t" })
	value := publisher.Value{Kind: publisher.Text, Text: []byte("x")}
	selected := 0
	for range 300 {
		e := &publisher.Event{Action: publisher.Insert, New: []publisher.Value{value, value}}
		if !selection.Selects(e) {
			continue
		}
		selected++
		if f, err := parseFrame(selection.Append(nil, e), 1); err != nil || f.rule != 0 || len(f.failure) > 0 {
			t.Fatalf("the frame of an event that was selected is %+v: %v", f, err)
		}
	}
	if selected == 0 || selected == 300 {
		t.Errorf("%d of 300 are selected: the test shows nothing", selected)
	}
}
