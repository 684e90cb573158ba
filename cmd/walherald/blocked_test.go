package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
	recv "github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/metrics/console"
)

// out returns the output with that name.
func out(s console.Status, name string) console.Output {
	for _, o := range s.Outputs {
		if o.Name == name {
			return o
		}
	}
	return console.Output{}
}

// atRest reports whether nothing waits anywhere.
func atRest(s console.Status) bool {
	rest := s.State == metrics.StatusReady && s.Source.Ready && s.Source.LagBytes == 0 && s.Source.LagSeconds == 0 && s.Source.WindowBytes == 0
	for _, o := range s.Outputs {
		rest = rest && o.Ready && o.Reason == "" && o.LSN == "" && o.Oldest == nil && o.LagBytes == 0 && o.WaitingEvents == 0 && o.WaitingBytes == 0
	}
	return rest
}

// allCame reports whether each of the last events has come wherever it was to.
func allCame(s console.Status) bool {
	for _, e := range s.Events {
		for _, h := range e.Path {
			if !h.Confirmed {
				return false
			}
		}
	}
	return true
}

// theatre is a process with a broker and two webhooks, of which the first one holds
// what it cannot deliver.
type theatre struct {
	*daemon
	t          *testing.T
	dsn        string
	broker     *natsserver.Server
	hook, calm *recv.Receiver
	number     int // of the last row
}

func newTheatre(t *testing.T) *theatre {
	t.Helper()
	s := pgserver.Shared(t)
	th := &theatre{t: t, broker: natsserver.ForTest(t, natsserver.Options{}), hook: recv.New(t, recv.Options{}), calm: recv.New(t, recv.Options{})}
	db := s.TestDatabase(t)
	th.dsn = s.DSN(db)
	execute(t, th.dsn, "CREATE TABLE t (n int PRIMARY KEY)")
	// Without a memory of the slot walherald writes nothing to the log itself.
	th.daemon = newOperated(t, source(s, db)+"  slotMemory: false\n", toNATS(th.broker.URL())+fmt.Sprintf(`
notifier:
  destinations:
    - {name: hook, type: webhook, url: "%s", envelope: setu, allowPrivate: true, onFailure: hold, backoff: [20ms], circuit: {failures: 0}}
    - {name: calm, type: webhook, url: "%s", envelope: setu, allowPrivate: true}
  rules:
    - {name: odd, table: t, when: new.n %% 2 == 1, destinations: [hook, calm]}
    - {name: even, table: t, when: new.n %% 2 == 0, destination: hook}
`, th.hook.URL(), th.calm.URL()))
	th.start()
	th.awaitReady()
	return th
}

// rows inserts rows, each in a transaction of its own, and returns between which
// positions of the log the first one is.
func (th *theatre) rows(n int) (from, to string) {
	th.t.Helper()
	const end = "SELECT pg_current_wal_insert_lsn()::text"
	from = value[string](th.t, th.dsn, end)
	for i := range n {
		th.number++
		insertInto(th.t, th.dsn, th.number, "t")
		if i == 0 {
			to = value[string](th.t, th.dsn, end)
		}
	}
	return from, to
}

// blocked waits until the output is blocked for a reason that holds the word, with that
// many events, and holds everything that is said of it to be right.
func (th *theatre) blocked(name, word string, events int, from, to string) (s console.Status) {
	th.t.Helper()
	s = th.awaitStatus(name+" to be blocked", func(s console.Status) bool {
		o := out(s, name)
		return !o.Ready && containsAll(o.Reason, word) && o.WaitingEvents == float64(events) && o.LSN != ""
	})
	o := out(s, name)
	if o.Oldest == nil || o.Oldest.Table != "public.t" || o.Oldest.Why != o.Reason || o.Oldest.Seconds <= 0 || s.Source.LagSeconds < o.Oldest.Seconds ||
		!value[bool](th.t, th.dsn, "SELECT $1::pg_lsn BETWEEN $2::pg_lsn AND $3::pg_lsn", o.Oldest.LSN, from, to) {
		th.t.Errorf("the oldest change is %+v, and should be between %s and %s, for %q; the lag is %v s", o.Oldest, from, to, o.Reason, s.Source.LagSeconds)
	}
	if s.State != metrics.StatusBlocked || o.LastError == "" || o.LastErrorAt == nil || o.Failures == 0 || o.WaitingBytes == 0 || o.LSN != o.Oldest.LSN {
		th.t.Errorf("%s is %s, and said to be %+v", name, s.State, o)
	}
	th.othersWork(s, name)
	return s
}

// othersWork waits until nothing is said against any other part.
func (th *theatre) othersWork(s console.Status, but string) {
	th.t.Helper()
	for _, o := range s.Outputs {
		if o.Name == but {
			continue
		}
		th.awaitStatus(o.Name+" to work", func(s console.Status) bool {
			o := out(s, o.Name)
			return s.Source.Ready && o.Ready && o.Reason == "" && o.Oldest == nil && o.WaitingEvents == 0 && o.LagBytes == 0
		})
	}
}

// grows waits until the lag is larger than it was, in every unit, while the oldest
// change stays the same.
func (th *theatre) grows(was console.Status, name string) {
	th.t.Helper()
	now := th.awaitStatus("the lag to grow", func(s console.Status) bool {
		o, before := out(s, name), out(was, name)
		return o.Oldest != nil && o.Oldest.Seconds > before.Oldest.Seconds && o.LagBytes > before.LagBytes && o.Seconds > before.Seconds &&
			s.Source.LagSeconds > was.Source.LagSeconds && s.Source.LagBytes > was.Source.LagBytes
	})
	if o, before := out(now, name), out(was, name); o.Oldest.LSN != before.Oldest.LSN || !o.Since.Equal(before.Since) {
		th.t.Errorf("meanwhile %+v became %+v", before, o)
	}
}

// delivered is how many events of either kind a webhook took.
func delivered(t *testing.T, r *recv.Receiver) (odd, even float64) {
	t.Helper()
	seen := make(map[string]bool)
	for _, request := range r.Requests() {
		id := request.Header.Get("webhook-id")
		if seen[id] {
			continue
		}
		seen[id] = true
		var body struct{ New struct{ N string } }
		if err := json.Unmarshal(request.Body, &body); err != nil || body.New.N == "" {
			t.Fatalf("%s: %v", request.Body, err)
		}
		if (body.New.N[len(body.New.N)-1]-'0')%2 == 1 {
			odd++
		} else {
			even++
		}
	}
	return odd, even
}

// ruleCounts holds what is said of the rules to be what the receivers got.
func (th *theatre) ruleCounts(s console.Status) {
	th.t.Helper()
	hookOdd, hookEven := delivered(th.t, th.hook)
	calmOdd, calmEven := delivered(th.t, th.calm)
	count := func(name string, n float64) console.RuleCount {
		return console.RuleCount{Destination: name, Matched: n, Delivered: n}
	}
	want := []console.Rule{
		{Name: "odd", Match: "any change of t when new.n % 2 == 1", Destinations: []console.RuleCount{count("hook", hookOdd), count("calm", calmOdd)}},
		{Name: "even", Match: "any change of t when new.n % 2 == 0", Destinations: []console.RuleCount{count("hook", hookEven)}},
	}
	if fmt.Sprint(s.Rules) != fmt.Sprint(want) || calmEven != 0 || hookOdd+hookEven != float64(th.number) {
		th.t.Errorf("the rules are said to be %+v, want %+v", s.Rules, want)
	}
}

// ways holds the last events to have come, all of them, each by its own way.
func (th *theatre) ways(s console.Status, began time.Time) {
	th.t.Helper()
	if len(s.Events) != th.number {
		th.t.Fatalf("%d events are shown, want %d", len(s.Events), th.number)
	}
	for i, e := range s.Events {
		want := "nats cdc.public_t, hook , "
		if (th.number-i)%2 == 1 { // the newest one comes first
			want += "calm , "
		}
		got := ""
		for _, h := range e.Path {
			got += h.Output + " " + h.Topic + ", "
			if h.Seconds <= 0 || h.Seconds > time.Since(began).Seconds() {
				th.t.Errorf("event %s came to %s after %v s", e.LSN, h.Output, h.Seconds)
			}
		}
		if got != want || e.Table != "public.t" || e.Action != "INSERT" || e.Committed.Before(began) || e.Committed.After(time.Now()) {
			th.t.Errorf("event %d is %+v", th.number-i, e)
		}
	}
}

// stats holds /stats to agree with /status at rest.
func (th *theatre) stats(s console.Status) {
	th.t.Helper()
	var stats console.Stats
	if err := json.Unmarshal([]byte(th.want(http.StatusOK, nil, http.MethodGet, "/stats", "")), &stats); err != nil {
		th.t.Fatal(err)
	}
	if stats.Changes != float64(th.number) || stats.Transactions < stats.Changes || stats.Filtered != 0 || len(stats.Outputs) != len(s.Outputs) {
		th.t.Errorf("/stats says %+v", stats)
	}
	for i, o := range stats.Outputs {
		want := console.OutputStats{Name: s.Outputs[i].Name, Published: s.Outputs[i].Published, Batches: s.Outputs[i].Batches, Failures: s.Outputs[i].Failures, HeldUp: s.Outputs[i].HeldUp}
		if o != want {
			th.t.Errorf("/stats says %+v, /status %+v", o, want)
		}
	}
	if nats, hook := out(s, "nats"), out(s, "hook"); nats.Published != float64(th.number) || hook.Published != float64(th.number) {
		th.t.Errorf("of %d events %v were published and %v sent to the webhook", th.number, nats.Published, hook.Published)
	}
}

func TestStatusNamesWhatIsBlockedAndIsAllZeroOnceItIsMended(t *testing.T) {
	began := time.Now().Add(-time.Second)
	th := newTheatre(t)
	th.hook.SetAnswer(recv.Always(recv.Status(http.StatusServiceUnavailable)))
	from, to := th.rows(3)
	was := th.blocked("hook", "503", 3, from, to)
	th.rows(2)
	th.grows(was, "hook")
	th.hook.SetAnswer(nil)
	th.awaitStatus("all to be at rest", atRest)

	if err := th.broker.Kill(); err != nil {
		t.Fatal(err)
	}
	from, to = th.rows(2)
	was = th.blocked("nats", "NATS", 2, from, to)
	th.rows(1)
	th.grows(was, "nats")
	if err := th.broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := th.awaitStatus("all to be at rest again, and all events to have come", func(s console.Status) bool { return atRest(s) && allCame(s) })
	th.ruleCounts(s)
	th.ways(s, began)
	th.stats(s)
	if n := len(subjects(t, th.broker.URL())); n != th.number {
		t.Errorf("the stream holds %d messages, want %d", n, th.number)
	}
	th.zeroMetrics()
}

// zeroMetrics holds the metrics to say that nothing waits, too.
func (th *theatre) zeroMetrics() {
	th.t.Helper()
	eventually(th.t, "all metrics of what waits to be zero", func(context.Context) (bool, error) {
		series := th.scrape()
		for _, name := range []string{"lag_bytes", "lag_seconds", "window_bytes"} {
			if v, there := series["walherald_"+name+`{app="walherald"}`]; v != 0 || !there {
				return false, fmt.Errorf("%s is %v (there: %v)", name, v, there)
			}
		}
		for _, o := range []string{"nats", "hook", "calm"} {
			for name, want := range map[string]float64{"oldest_unconfirmed_seconds": 0, "output_window_bytes": 0, "output_window_events": 0, "output_ready": 1} {
				if v, there := series[fmt.Sprintf(`walherald_%s{app="walherald",output="%s"}`, name, o)]; v != want || !there {
					return false, fmt.Errorf("%s of %s is %v (there: %v)", name, o, v, there)
				}
			}
		}
		return true, nil
	})
}
