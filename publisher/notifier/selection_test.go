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
	first := []config.NamedRule{{Rule: config.Rule{Name: "first", When: `keys(new)[0] == "a"`}, Section: "notifier.rules[0]"}}
	set, err := rules.New(first, nil)
	if err != nil {
		t.Fatal(err)
	}
	envelope, _, err := format.New(format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	table := &publisher.Table{Schema: "public", Name: "t", Columns: []publisher.Column{{Name: "a", AppendJSON: format.AppendString}, {Name: "b", AppendJSON: format.AppendString}}}
	selection := New(Options{}).Selector(first, set, envelope).Select(table, nil, func(publisher.Action) string { return "public_t" })
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

// What an old rule selected can still be on its way when others take its place.
func TestReplacedRulesKeepTheirNamesForWhatIsOnItsWay(t *testing.T) {
	d := New(Options{})
	envelope, _, err := format.New(format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	table := &publisher.Table{Schema: "public", Name: "t", Columns: []publisher.Column{{Name: "a", AppendJSON: format.AppendString}}}
	event := &publisher.Event{Action: publisher.Insert, New: []publisher.Value{{Kind: publisher.Text, Text: []byte("x")}}}
	var batch []publisher.Message
	for _, name := range []string{"old", "new", "old"} {
		of := []config.NamedRule{{Rule: config.Rule{Name: name}, Section: "notifier.rules[0]"}}
		set, err := rules.New(of, nil)
		if err != nil {
			t.Fatal(err)
		}
		selection := d.Selector(of, set, envelope).Select(table, nil, func(publisher.Action) string { return "public_t" })
		if !selection.Selects(event) {
			t.Fatalf("rule %s selects nothing", name)
		}
		batch = append(batch, publisher.Message{Body: selection.Append(nil, event)})
	}
	r, err := d.begin(batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"old", "new", "old"} {
		if got := r.tasks[i].Rule; got != want {
			t.Errorf("notification %d is one of rule %s, want %s", i, got, want)
		}
	}
}
