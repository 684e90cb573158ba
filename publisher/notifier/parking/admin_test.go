package parking

import (
	"testing"
	"time"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// filters and how many of filterStock each selects.
var filters = []struct {
	f    Filter
	want int
}{
	{Filter{}, 4},
	{Filter{Rule: "orders"}, 3},
	{Filter{Destination: "mail"}, 2},
	{Filter{Rule: "orders", Destination: "mail"}, 1},
	{Filter{Rule: "order"}, 0},
	{Filter{OlderThan: time.Hour}, 2},
	{Filter{OlderThan: 3 * time.Hour}, 0},
	{Filter{IDs: []publisher.ID{delivery("", 0).ID}}, 2},
	{Filter{IDs: []publisher.ID{delivery("", 0).ID, delivery("", 1).ID}, Destination: "hook"}, 2},
	{Filter{IDs: []publisher.ID{{1}}}, 0},
}

// filterStock parks two deliveries two hours ago and two now.
func filterStock(p *place, table *Table) []notifier.Parked {
	ds := []notifier.Parked{delivery("hook", 0), delivery("hook", 1), delivery("mail", 0), delivery("mail", 2)}
	ds[3].Rule = "refunds"
	p.park(table, ds[:2]...)
	p.elapse(2 * time.Hour)
	p.park(table, ds[2:]...)
	return ds
}

func TestFilterSelectsTheSameInTableAndMemory(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour)
	filterStock(p, table)
	all := p.list(table, Filter{})
	for _, tt := range filters {
		n := 0
		for _, e := range all {
			if tt.f.Selects(&e.Parked, time.Now()) {
				n++
			}
		}
		if got := len(p.list(table, tt.f)); got != tt.want || n != tt.want {
			t.Errorf("%+v selects %d in the table and %d in memory, want %d", tt.f, got, n, tt.want)
		}
		tt.f.Limit = 1
		if got := len(p.list(table, tt.f)); got != min(tt.want, 1) {
			t.Errorf("%+v selects %d", tt.f, got)
		}
	}
	one, err := table.Get(p.ctx(), all[0].ID, Filter{Destination: "mail"})
	if err != nil || len(one) != 1 || string(one[0].Payload) != `{"n":0}` {
		t.Errorf("got %+v, %v", one, err)
	}
}

func TestDropGivesUpWhatIsSelectedAndNothingElse(t *testing.T) {
	for _, tt := range filters {
		p := newPlace(t)
		table := p.table(hour)
		filterStock(p, table)
		if n, err := table.Drop(p.ctx(), tt.f); n != tt.want || err != nil {
			t.Errorf("%+v drops %d, %v", tt.f, n, err)
		}
		if left := p.list(table, Filter{}); len(left) != 4-tt.want {
			t.Errorf("%+v leaves %d", tt.f, len(left))
		}
	}
}

func TestWhatIsOlderThanTheMaximumIsGivenUpAndCounted(t *testing.T) {
	p := newPlace(t)
	table := p.table(hour)
	filterStock(p, table)
	for _, tt := range []struct {
		age  time.Duration
		want int
	}{{0, 0}, {3 * time.Hour, 0}, {time.Hour, 2}, {time.Hour, 0}} {
		gone, err := table.Expire(p.ctx(), tt.age)
		if err != nil || gone["hook"] != tt.want || gone["mail"] != 0 {
			t.Errorf("after %v: %v, %v", tt.age, gone, err)
		}
	}
	stock, err := table.Stock(p.ctx())
	if err != nil || len(stock) != 1 || stock["mail"].Number != 2 || stock["mail"].Waiting != 0 {
		t.Errorf("stock %+v, %v", stock, err)
	}
}

func TestWhatIsBeingTriedIsNotGivenUpForItsAge(t *testing.T) {
	p := newPlace(t)
	table := p.table(atOnce)
	p.park(table, delivery("hook", 0))
	p.elapse(2 * time.Hour)
	if _, err := table.claim(p.ctx(), "true", 1, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if gone, err := table.Expire(p.ctx(), time.Hour); len(gone) != 0 || err != nil {
		t.Errorf("gave up %v, %v", gone, err)
	}
	if n, err := table.Drop(p.ctx(), Filter{}); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
}
