package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
)

// The configuration, the shop's stories and what the stream says of them: three events
// for four notifications.
var (
	twoPlaces = &config.Config{Notifier: config.Notifier{
		Destinations: config.Destinations{{Name: "crm"}, {Name: "courier"}},
		Rules: config.Rules{
			{Name: planUpgraded, Destination: &config.DestinationRef{Ref: "crm"}},
			{Name: userDeleted, Destination: &config.DestinationRef{Ref: "crm"}},
			{Name: orderShipped, Destinations: config.DestinationRefs{{Ref: "courier"}, {Ref: "crm"}}},
		},
	}}
	committed = []story{
		{planUpgraded, change{"public.users/1", 2}},
		{userDeleted, change{"public.users/2", gone}},
		{orderShipped, change{"public.orders/1", 3}},
	}
	streamed = []reported{
		about("a", "users", "UPDATE", `{"id":1,"version":2}`),
		about("b", "users", "DELETE", `{"id":2,"version":1}`),
		about("c", "orders", "UPDATE", `{"id":1,"version":3}`),
	}
)

// settle closes the books of notifications over what a receiver has accepted and
// what is parked.
func settle(t *testing.T, accepted, parked []delivery, change func(*records)) (printed string, err error) {
	t.Helper()
	r := &receiver{records: newRecords()}
	for _, d := range accepted {
		r.records.requests++
		r.records.attempts[d]++
		r.records.accepted[d] = true
	}
	if change != nil {
		change(&r.records)
	}
	held, waiting := newHoldings(), make(map[delivery]bool)
	for _, e := range streamed {
		if err := held.add(e.id, []byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range parked {
		waiting[d] = true
	}
	var out bytes.Buffer
	l := &ledger{cfg: twoPlaces, shop: &shop{told: committed}, recv: r, out: screenTo(&out, false)}
	err = l.notified(held, waiting).summary(l.out)
	return out.String(), err
}

// allFour are the notifications that the stories give cause for.
var allFour = []delivery{{"crm", "a"}, {"crm", "b"}, {"crm", "c"}, {"courier", "c"}}

func TestNotificationsThatAreAcceptedOrParkedBalance(t *testing.T) {
	for n := range len(allFour) + 1 {
		printed, err := settle(t, allFour[:n], allFour[n:], nil)
		if err != nil || !strings.Contains(printed, "4 notifications wanted: ") || !strings.Contains(printed, ", 0 missing\n") {
			t.Errorf("with %d accepted: %v:\n%s", n, err, printed)
		}
	}
}

func TestNotificationThatIsBothIsAccepted(t *testing.T) {
	printed, err := settle(t, allFour, allFour[:2], nil)
	if err != nil || !strings.Contains(printed, "4 accepted, 0 parked, 0 missing\n") {
		t.Errorf("%v:\n%s", err, printed)
	}
}

func TestNotificationThatIsNeitherIsAnError(t *testing.T) {
	for i, left := range allFour {
		var accepted []delivery
		for j, d := range allFour {
			if j != i {
				accepted = append(accepted, d)
			}
		}
		printed, err := settle(t, accepted, nil, nil)
		if err == nil || !strings.Contains(err.Error(), "1 notifications are neither") || !strings.Contains(printed, "3 accepted, 0 parked, 1 missing") {
			t.Errorf("without %v: %v:\n%s", left, err, printed)
		}
	}
}

func TestRefusedNotificationIsNotAccepted(t *testing.T) {
	_, err := settle(t, allFour[:3], nil, func(r *records) { r.attempts[allFour[3]] = 2 })
	if err == nil || !strings.Contains(err.Error(), "neither accepted nor parked") {
		t.Errorf("with two attempts and nothing more: %v", err)
	}
}

func TestNotificationNobodyAskedForIsAnError(t *testing.T) {
	another := []delivery{{"courier", "a"}} // the right event at the wrong place
	for name, of := range map[string]struct{ accepted, parked []delivery }{
		"accepted": {append(another, allFour...), nil},
		"parked":   {allFour, another},
	} {
		_, err := settle(t, of.accepted, of.parked, nil)
		if err == nil || !strings.Contains(err.Error(), "1 notifications are of events that nobody asked for") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatTheReceiverFoundWrongIsAnError(t *testing.T) {
	for want, change := range map[string]func(*records){
		"wrong signature": func(r *records) { r.signatures++ },
		"after newer":     func(r *records) { r.backward++ },
		"nobody asked":    func(r *records) { r.strange++ },
	} {
		_, err := settle(t, allFour, nil, change)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestStoryThatTheStreamDoesNotTellIsMissing(t *testing.T) {
	l := &ledger{cfg: twoPlaces, shop: &shop{told: committed}}
	if wanted, unknown := l.wanted(newHoldings()); len(wanted) != 0 || unknown != len(committed) {
		t.Errorf("wanted %v, %d unknown", wanted, unknown)
	}
}

func TestCourierFailsAgainAndAgainAndNobodyElseDoes(t *testing.T) {
	open := time.Unix(1_700_000_000, 0)
	f := failures{destination: "courier", first: 4 * time.Second, lasting: 10 * time.Second, every: 45 * time.Second}
	for after, want := range map[time.Duration]bool{
		0: false, 3999 * time.Millisecond: false, 4 * time.Second: true, 13 * time.Second: true, 14 * time.Second: false,
		48 * time.Second: false, 49 * time.Second: true, 59 * time.Second: false, time.Hour + 4*time.Second: true,
	} {
		if f.at("courier", open, open.Add(after)) != want || f.at("crm", open, open.Add(after)) {
			t.Errorf("%v after the opening: want %v for the courier alone", after, want)
		}
	}
	if f.at("courier", time.Time{}, open) {
		t.Error("the courier is out of order before the shop has opened")
	}
}
