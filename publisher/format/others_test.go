package format

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/walherald/walherald/publisher"
)

// read decodes the body that envelope makes of e into v.
func read(t *testing.T, envelope Envelope, e *publisher.Event, v any) {
	t.Helper()
	if err := json.Unmarshal(envelope.Plan(e.Table, nil).Append(nil, e), v); err != nil {
		t.Fatal(err)
	}
}

func TestDiffOfPGEventsHoldsTheColumnsThatChanged(t *testing.T) {
	values := func(vs ...publisher.Value) []publisher.Value { return vs }
	table := &publisher.Table{Schema: "s", Name: "t", Columns: []publisher.Column{
		{Name: "id", Key: true, AppendJSON: AppendNumber}, newColumn("a", AppendString), newColumn("b", AppendString),
	}}
	for _, tt := range []struct {
		about  string
		action publisher.Action
		now    []publisher.Value
		old    []publisher.Value
		want   []string
	}{
		{"one value", publisher.Update, values(text("1"), text("x"), text("z")), values(text("1"), text("x"), text("y")), []string{"b"}},
		{"to NULL", publisher.Update, values(text("1"), null, text("z")), values(text("1"), text("x"), text("z")), []string{"a"}},
		{"from NULL to the empty text", publisher.Update, values(text("1"), text(""), null), values(text("1"), null, null), []string{"a"}},
		{"nothing", publisher.Update, values(text("1"), null, text("z")), values(text("1"), null, text("z")), nil},
		{"the old row is not known", publisher.Update, values(text("1"), text("x"), null), nil, []string{"a"}},
		{"only the old key is known", publisher.Update, values(text("2"), text("x"), null), values(text("1"), absent, absent), []string{"a", "id"}},
		{"a large value is unchanged", publisher.Update, values(text("1"), unchanged, text("x")), nil, []string{"b"}},
		{"a large value is unchanged and known", publisher.Update, values(text("1"), unchanged, text("x")), values(text("1"), text("large"), text("x")), nil},
		{"an insert", publisher.Insert, values(text("1"), text("x"), null), nil, []string{"a", "id"}},
		{"a delete", publisher.Delete, nil, values(text("1"), text("x"), null), nil},
	} {
		var got struct{ New, Diff map[string]json.RawMessage }
		read(t, PGEvents{}, event(table, tt.action, tt.now, tt.old), &got)
		if names := slices.Sorted(maps.Keys(got.Diff)); !slices.Equal(names, tt.want) {
			t.Errorf("%s: diff holds %q, want %q", tt.about, names, tt.want)
		}
		for name, value := range got.Diff {
			if !reflect.DeepEqual(value, got.New[name]) {
				t.Errorf("%s: %s is %s in diff and %s in new", tt.about, name, value, got.New[name])
			}
		}
	}
}

func TestIDOfPGEventsIsTheColumnOfThatName(t *testing.T) {
	table := &publisher.Table{Schema: "s", Name: "t", Columns: []publisher.Column{
		newColumn("a", AppendString), {Name: "id", AppendJSON: AppendNumber},
	}}
	for _, tt := range []struct {
		event *publisher.Event
		want  string
	}{
		{event(table, publisher.Update, []publisher.Value{text("x"), text("2")}, []publisher.Value{absent, text("1")}), "2"},
		{event(table, publisher.Update, []publisher.Value{text("x"), unchanged}, []publisher.Value{absent, text("1")}), "1"},
		{event(table, publisher.Delete, nil, []publisher.Value{text("x"), text("1")}), "1"},
		{event(table, publisher.Insert, []publisher.Value{text("x"), null}, nil), "null"},
		{event(table, publisher.Truncate, nil, nil), "null"},
		{event(&publisher.Table{}, publisher.Insert, nil, nil), "null"},
	} {
		var got struct{ ID json.RawMessage }
		read(t, PGEvents{}, tt.event, &got)
		if string(got.ID) != tt.want {
			t.Errorf("id of %s is %s, want %s", tt.event.Action, got.ID, tt.want)
		}
	}
}

func TestColumnsOfPSQLStreamerAreTheOldRowOfADeleteAlone(t *testing.T) {
	for action, want := range map[publisher.Action]string{publisher.Insert: "new", publisher.Update: "new", publisher.Delete: "old"} {
		e := event(users(), action, userRow("new"), userRow("old"))
		switch action {
		case publisher.Insert:
			e.Old = nil
		case publisher.Delete:
			e.New = nil
		}
		var got struct {
			Host    string
			Columns struct{ Name string }
		}
		read(t, PSQLStreamer{}, e, &got)
		if got.Columns.Name != want || got.Host != "unknown" {
			t.Errorf("%s: columns are those of the %s row of host %s, want %s and unknown", action, got.Columns.Name, got.Host, want)
		}
	}
}

// NULL would mean that the value is gone.
func TestDebeziumTellsUnchangedValuesFromNULL(t *testing.T) {
	e := event(users(), publisher.Update, []publisher.Value{text("1"), unchanged, unchanged, null, unchanged, absent}, []publisher.Value{
		absent, text("known"), null, absent, unchanged, absent,
	})
	var got struct{ Before, After map[string]any }
	read(t, Debezium{}, e, &got)
	const unavailable = "__debezium_unavailable_value"
	want := map[string]any{"id": 1.0, "name": "known", "email": unavailable, "active": nil, "balance": unavailable}
	if !reflect.DeepEqual(got.After, want) {
		t.Errorf("after is %v, want %v", got.After, want)
	}
	if want := map[string]any{"name": "known", "email": nil}; !reflect.DeepEqual(got.Before, want) {
		t.Errorf("before is %v, want %v", got.Before, want)
	}
}

func TestDebeziumHasTheBytesOfLogicalMessages(t *testing.T) {
	raw := []byte{0xff, 0xfe, 0}
	for want, e := range map[string]*publisher.Event{
		"grüß": message("app", text("grüß"), absent), "": message("app", text(""), absent),
		string(raw): message("app", absent, text(base64.StdEncoding.EncodeToString(raw))),
	} {
		var got struct {
			Message struct {
				Prefix  string
				Content []byte
			}
		}
		read(t, Debezium{}, e, &got)
		if got.Message.Prefix != "app" || string(got.Message.Content) != want {
			t.Errorf("the message is %+v, want the content %q", got.Message, want)
		}
	}
}
