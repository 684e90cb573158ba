package service

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

// unpacked are the events of requests of several, as versions takes them.
func unpacked(t *testing.T, requests []receiver.Request) (events []receiver.Request, largest int) {
	t.Helper()
	for _, r := range requests {
		var bodies []json.RawMessage
		if err := json.Unmarshal(r.Body, &bodies); err != nil {
			t.Fatalf("%s: %v", r.Body, err)
		}
		largest = max(largest, len(bodies))
		for _, body := range bodies {
			events = append(events, receiver.Request{Body: body})
		}
	}
	return events, largest
}

func TestBatchesHoldEveryEventOnceAndInOrder(t *testing.T) {
	hooks := make(map[string]*receiver.Receiver)
	text := "notifier:\n  parking: {schedule: [1h]}\n  rules:\n"
	for name, answer := range map[string]receiver.Answer{
		"fine":    nil,
		"flaky":   receiver.FirstPer(byID, 1, receiver.Status(503), nil),
		"refused": receiver.Always(receiver.Status(400)),
	} {
		hooks[name] = receiver.New(t, receiver.Options{Answer: answer})
		text += fmt.Sprintf("    - {name: %s, table: t, destination: {name: %s, type: webhook, url: %q, allowPrivate: true, batch: 5%s}}\n",
			name, name, hooks[name].URL(), quickly)
	}
	cfg, dsn := notifying(t, text)
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	makeFaultEvents(t, dsn)
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	for name, tries := range map[string]int{"fine": 1, "flaky": 2, "refused": 1} {
		events, largest := unpacked(t, hooks[name].Requests())
		got := versions(t, events)
		for row := 1; row <= faultRows; row++ {
			if want := repeated(faultVersions, tries); got[row] != want {
				t.Errorf("%s: of row %d came %q, want %q", name, row, got[row], want)
			}
		}
		if largest < 2 || largest > 5 || hooks[name].Peak() != 1 {
			t.Errorf("%s: %d events in a request, and %d requests at once", name, largest, hooks[name].Peak())
		}
		if n, want := len(parkedReasons(t, dsn, name)), map[string]int{"refused": faultEvents}[name]; n != want {
			t.Errorf("%s: %d events are parked, want %d", name, n, want)
		}
	}
}

// How often there is something to gather is chance; that the last one comes last is
// not.
func TestCoalescingEndsWithTheLastOfEachRow(t *testing.T) {
	hook := receiver.New(t, receiver.Options{Answer: receiver.FirstPer(byID, 1, receiver.Status(503), nil)})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  rules: [{name: all, table: t, destination: {name: last, type: webhook, url: "%s", allowPrivate: true, coalesce: 300ms%s}}]
`, hook.URL(), quickly))
	cfg.Monitoring.PromAddr = strings.TrimSuffix(strings.TrimPrefix(nowhere(t), "http://"), "/hook")
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t VALUES (100, 'a')") // the first one is not waited with
	hook.Await(t, 2)
	makeFaultEvents(t, dsn)
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	came := versions(t, hook.Requests())
	sent := 0
	for row, text := range came {
		if !regexp.MustCompile("^(aa)?(bb)?cc$").MatchString(text) { // each is refused once and accepted then
			t.Errorf("of row %d came %q", row, text)
		}
		sent += len(text) / 2
	}
	const made = faultEvents + 3 // with the first row's
	if len(came) != faultRows+1 || sent >= made {
		t.Errorf("%d of %d events were sent, of %d rows", sent, made, len(came))
	}
	metrics := get(t.Context(), t, "http://"+cfg.Monitoring.PromAddr+"/metrics")
	for outcome, want := range map[string]int{"delivered": sent, "coalesced": made - sent} {
		if got := series(metrics, `walherald_notifications_total{app="walherald",destination="last",outcome="`+outcome+`",rule="all"}`); got != fmt.Sprint(want) {
			t.Errorf("metrics count %s as %s, want %d", got, outcome, want)
		}
	}
}

func TestScheduleIsKeptAndItsEndLeavesTheDeliveryToSomebody(t *testing.T) {
	hook := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Status(500))})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  parking: {schedule: [1s, 2s]}
  rules: [{name: all, table: t, destination: {name: crm, type: webhook, url: "%s", allowPrivate: true, maxAttempts: 1}}]
`, hook.URL()))
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t VALUES (1, 'a')")
	awaitQuery(t, dsn, "SELECT count(*)::text FROM pg_class WHERE oid = to_regclass('walherald.parked')", "1")
	awaitQuery(t, dsn, "SELECT coalesce(string_agg(attempts || ' ' || coalesce(next_at::text, 'waits'), ','), '') FROM walherald.parked", "2 waits")
	got := hook.Requests()
	if len(got) != 3 {
		t.Fatalf("%d requests, want one in line and two by schedule", len(got))
	}
	for i, pause := range []time.Duration{time.Second, 2 * time.Second} {
		if gap := got[i+1].Arrived.Sub(got[i].Arrived); gap < pause {
			t.Errorf("attempt %d came %v after the one before, and the schedule says %v", i+1, gap, pause)
		}
		if byID(&got[i]) != byID(&got[i+1]) {
			t.Errorf("attempt %d has another id", i+1)
		}
	}
	hook.SetAnswer(nil)
	told := 0
	err := RetryParked(t.Context(), cfg, parking.Filter{}, ParkedOptions{Log: slog.New(slog.DiscardHandler)}, func(_ notifier.Parked, err error) {
		if told++; err != nil {
			t.Error(err)
		}
	})
	if err != nil || told != 1 || hook.Count() != 4 || len(parkedReasons(t, dsn, "crm")) != 0 {
		t.Errorf("tried by hand: told of %d, %d requests, %v", told, hook.Count(), err)
	}
}

func TestBrokerGoesOnWhileAnEndpointIsDownAndThePositionWaitsForBoth(t *testing.T) {
	broker, hook := natsserver.InProcess(t), receiver.New(t, receiver.Options{})
	cfg, dsn := notifying(t, fmt.Sprintf(`
publisher: {type: nats, topic: cdc, address: %q}
notifier:
  rules: [{name: all, table: t, destination: {name: crm, type: webhook, url: "%s", allowPrivate: true, onFailure: hold%s}}]
`, broker.ClientURL(), hook.URL(), quickly))
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t VALUES (1, 'a')")
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	hook.Close()
	execute(t, dsn, "INSERT INTO t SELECT i, 'a' FROM generate_series(2, 50) i")
	after := query(t, dsn, endOfLog)
	r.log.await(t, "connection refused")
	collect(t, cfg, "", 50) // of the broker
	execute(t, dsn, "INSERT INTO t SELECT i, 'a' FROM generate_series(51, 100) i")
	collect(t, cfg, "", 100)
	if reached := query(t, dsn, fmt.Sprintf("SELECT (confirmed_flush_lsn >= '%s')::text FROM pg_replication_slots WHERE slot_name = '%s'",
		after, cfg.Listener.SlotName)); reached != "false" {
		t.Error("the position passed what the endpoint has not got")
	}
	back := receiver.New(t, receiver.Options{Address: hook.Addr()})
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	if hook.Count() != 1 || back.Count() != 99 {
		t.Errorf("the endpoint got %d and %d events, want 1 and 99", hook.Count(), back.Count())
	}
	ids := make(map[string]bool)
	for _, e := range append(hook.Requests(), back.Requests()...) {
		ids[byID(&e)] = true
	}
	for _, e := range collect(t, cfg, "", 100) {
		var body struct{ ID string }
		if err := json.Unmarshal(e.Body, &body); err != nil || !ids[body.ID] {
			t.Errorf("the broker has %s, which the endpoint does not know under its id: %v", e.Body, err)
		}
	}
}

func TestStopInTheMiddleOfARequestLosesNothing(t *testing.T) {
	hook := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Hang(nil))})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  rules: [{name: all, table: t, destination: {name: crm, type: webhook, url: "%s", allowPrivate: true}}]
`, hook.URL()))
	cfg.Listener.DrainTimeout = 100 * time.Millisecond
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t SELECT i, 'a' FROM generate_series(1, 20) i")
	hook.Await(t, 1)
	r.stop()
	_ = r.end(t) // which may tell of what was not delivered in time
	hook.SetAnswer(nil)
	before := hook.Count()
	start(t, cfg, nil)
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	eventually(t, "all rows", func(context.Context) (bool, string) {
		got := versions(t, hook.Requests()[before:])
		return len(got) == 20, fmt.Sprint(got)
	})
}
