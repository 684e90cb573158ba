package service

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

// The stream of these tests: the versions a, b and c of each of some rows.
const (
	faultRows     = 8
	faultEvents   = 3 * faultRows
	faultVersions = "abc"
)

func makeFaultEvents(t *testing.T, dsn string) {
	t.Helper()
	execute(t, dsn, fmt.Sprintf("INSERT INTO t SELECT i, 'a' FROM generate_series(1, %d) i", faultRows))
	execute(t, dsn, "UPDATE t SET v = 'b'")
	execute(t, dsn, "UPDATE t SET v = 'c'")
}

// What becomes of all events of a destination.
const (
	arrive    = "delivered"
	areParked = "parked"
	areGone   = "dropped"
)

// fault is one that a destination has, and what it costs.
type fault struct {
	answer receiver.Answer
	opts   receiver.Options // but for its Answer
	url    string           // instead of a receiver's
	keys   string           // of the destination
	// tries is how many requests there are for each event; anyNumber if that is open.
	tries int
	end   string
	// reason is an expression that the reasons match with which events are parked.
	reason string
	hook   *receiver.Receiver
}

const anyNumber = -1

// byID makes answers that depend on the event.
func byID(r *receiver.Request) string { return r.Header.Get("webhook-id") }

// quickly are keys of destinations that are tried twice.
const quickly = ", maxAttempts: 2, backoff: [1ms], circuit: {failures: 0}"

// faults are those that notifications meet, by the names of the destinations.
func faults(t *testing.T) map[string]*fault {
	cert, _ := testcert.New(t).Issue("receiver")
	ok := receiver.Status(http.StatusOK)
	always := func(reply receiver.Reply, tries int, end, reason string) *fault {
		return &fault{answer: receiver.Always(reply), keys: quickly, tries: tries, end: end, reason: reason}
	}
	elsewhere := func(url, keys, reason string) *fault {
		return &fault{url: url, keys: quickly + keys, end: areParked, reason: reason}
	}
	with := func(f *fault, keys string) *fault { f.keys += keys; return f }
	return map[string]*fault{
		"fine":    always(ok, 1, arrive, ""),
		"created": always(receiver.Status(http.StatusNoContent), 1, arrive, ""),
		"at-once": with(always(ok, 1, arrive, ""), ", order: none"),
		"huge":    always(receiver.HugeBody(200, 1<<20), 1, arrive, ""),
		"cut":     always(receiver.CutBody(200), 1, arrive, ""),
		"slow":    always(receiver.SlowBody(200, 20*time.Millisecond), 1, arrive, ""),
		"flaky": {
			answer: receiver.FirstPer(byID, 1, receiver.Status(503), ok), keys: quickly, tries: 2, end: arrive,
		},
		"asks": {
			answer: receiver.First(1, receiver.RetryAfterSeconds(429, 1), ok), keys: quickly + ", concurrency: 1", tries: anyNumber, end: arrive,
		},
		"held": {
			answer: receiver.FirstPer(byID, 1, receiver.Status(404), ok), keys: quickly + ", onFailure: hold", tries: 2, end: arrive,
		},
		"dropped":  with(always(receiver.Status(400), 1, areGone, ""), ", onFailure: drop"),
		"refused":  always(receiver.Status(400), 1, areParked, `^127\.0\.0\.1:\d+ answers 400 Bad Request$`),
		"denied":   always(receiver.Status(401), 1, areParked, `401 Unauthorized`),
		"gone":     always(receiver.Status(410), 1, areParked, `410 Gone: nobody listens there any more`),
		"moved":    always(receiver.Redirect("http://127.0.0.1:1/"), 1, areParked, `307 .*redirects are not followed`),
		"down":     always(receiver.Status(503), 2, areParked, `^2 attempts: .*answers 503 Service Unavailable$`),
		"limits":   always(receiver.RetryAfterSeconds(429, 3600), anyNumber, areParked, `429 Too Many Requests|asked not to be called`),
		"hangs":    with(always(receiver.Hang(nil), anyNumber, areParked, `no answer within 150ms`), ", maxAttempts: 1, timeout: 150ms"),
		"resets":   always(receiver.Reset(), 2, areParked, `connection reset by peer|connection was closed before an answer`),
		"closes":   always(receiver.CloseEarly(), 2, areParked, `connection was closed before an answer`),
		"cut-off":  {answer: receiver.Always(receiver.Status(500)), keys: ", maxAttempts: 1, circuit: {failures: 2, openFor: 1h}", tries: anyNumber, end: areParked, reason: `500 Internal Server Error`},
		"nobody":   elsewhere(nowhere(t), "", `connection refused`),
		"nameless": elsewhere("http://nobody.invalid/hook", ", maxAttempts: 1", `lookup nobody\.invalid`),
		"private":  elsewhere(nowhere(t), ", allowPrivate: false", `loopback.*allowPrivate`),
		"stranger": {
			opts: receiver.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, keys: quickly, end: areParked,
			reason: `authority that is not trusted; caCert`,
		},
		"no-json": with(always(ok, 0, areParked, `the template makes no JSON`), `, template: '{"v": {{.New.v}}}'`),
	}
}

// config returns the destination and its rule.
func (f *fault) config(t *testing.T, name string) string {
	t.Helper()
	if f.url == "" {
		f.opts.Answer = f.answer
		f.hook = receiver.New(t, f.opts)
		f.url = f.hook.URL() + "/hook"
	}
	keys := f.keys
	if !strings.Contains(keys, "allowPrivate") {
		keys += ", allowPrivate: true"
	}
	return fmt.Sprintf("    - {name: %s, table: t, destination: {name: %s, type: webhook, url: %q%s}}\n", name, name, f.url, lastOfEach(keys))
}

// lastOfEach leaves of each key of a flow mapping the last one.
func lastOfEach(keys string) string {
	var kept []string
	seen := make(map[string]bool)
	pairs := regexp.MustCompile(`, (\w+): (\{[^}]*\}|\[[^]]*\]|'[^']*'|[^,]*)`).FindAllStringSubmatch(keys, -1)
	for _, pair := range slices.Backward(pairs) {
		if !seen[pair[1]] {
			kept = append(kept, pair[0])
		}
		seen[pair[1]] = true
	}
	return strings.Join(kept, "")
}

// versions returns the versions of each row that came, in the order of arrival.
func versions(t *testing.T, requests []receiver.Request) map[int]string {
	t.Helper()
	came := make(map[int]string)
	for _, r := range requests {
		var body struct {
			Data struct {
				ID int
				V  string
			}
		}
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatalf("%s: %v", r.Body, err)
		}
		came[body.Data.ID] += body.Data.V
	}
	return came
}

// repeated returns each letter of text n times.
func repeated(text string, n int) string {
	var b strings.Builder
	for _, letter := range strings.Split(text, "") {
		b.WriteString(strings.Repeat(letter, n))
	}
	return b.String()
}

// came holds the requests to be those of the fault, in order of each row.
func (f *fault) came(t *testing.T, name string) {
	t.Helper()
	if f.hook == nil {
		return
	}
	got := versions(t, f.hook.Requests())
	for row := 1; row <= faultRows && f.tries != anyNumber; row++ {
		text, want := got[row], repeated(faultVersions, f.tries)
		if strings.Contains(f.keys, "order: none") {
			text = string(slices.Sorted(slices.Values([]rune(text))))
		}
		if text != want {
			t.Errorf("%s: of row %d came %q, want %q", name, row, text, want)
		}
	}
}

// series returns the value of a series of /metrics, "" if there is none.
func series(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// parkedReasons returns the reasons with which deliveries of a destination are parked.
func parkedReasons(t *testing.T, dsn, destination string) []string {
	t.Helper()
	var all []string
	text := query(t, dsn, "SELECT coalesce(json_agg(reason), '[]')::text FROM walherald.parked WHERE destination = '"+destination+"'")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// ended holds all events of the destination to have come to its end.
func (f *fault) ended(t *testing.T, dsn, metrics, name string) {
	t.Helper()
	reasons := parkedReasons(t, dsn, name)
	if want := map[string]int{areParked: faultEvents}[f.end]; len(reasons) != want {
		t.Errorf("%s: %d events are parked, want %d", name, len(reasons), want)
	}
	for _, reason := range reasons {
		if !regexp.MustCompile(f.reason).MatchString(reason) {
			t.Errorf("%s: parked because of %q, which does not match %q", name, reason, f.reason)
			break
		}
	}
	for _, outcome := range []string{arrive, areParked, areGone} {
		got := series(metrics, fmt.Sprintf(`walherald_notifications_total{app="walherald",destination=%q,outcome=%q,rule=%q}`, name, outcome, name))
		if outcome == f.end && got != fmt.Sprint(faultEvents) || outcome != f.end && got != "" && got != "0" {
			t.Errorf("%s: metrics count %q as %s, want all to be %s", name, got, outcome, f.end)
		}
	}
}

// mended holds what is parked for a destination that has no fault any more to be
// delivered once, by hand.
func (f *fault) mended(t *testing.T, retry func(f parking.Filter, told func(notifier.Parked, error)), dsn, name string) {
	t.Helper()
	before := f.hook.Count()
	f.hook.SetAnswer(nil)
	retry(parking.Filter{Destination: name}, func(p notifier.Parked, err error) {
		if err != nil {
			t.Errorf("%s: %v is mended, and fails with %v", name, p.ID, err)
		}
	})
	for row, text := range versions(t, f.hook.Requests()[before:]) {
		if text != faultVersions {
			t.Errorf("%s: of row %d came %q when it was mended, want %q", name, row, text, faultVersions)
		}
	}
	if n := f.hook.Count() - before; n != faultEvents || len(parkedReasons(t, dsn, name)) != 0 {
		t.Errorf("%s: %d requests were made of what was parked, want %d; %d are still parked", name, n, faultEvents, len(parkedReasons(t, dsn, name)))
	}
}

func TestEveryFaultCostsWhatItMustAndNothingMore(t *testing.T) {
	all := faults(t)
	text := "notifier:\n  parking: {schedule: [1h]}\n  rules:\n"
	for name, f := range all {
		text += f.config(t, name)
	}
	cfg, dsn := notifying(t, text)
	cfg.Monitoring.PromAddr = strings.TrimSuffix(strings.TrimPrefix(nowhere(t), "http://"), "/hook")
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	makeFaultEvents(t, dsn)
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	metrics := get(t.Context(), t, "http://"+cfg.Monitoring.PromAddr+"/metrics")
	for name, f := range all {
		f.came(t, name)
		f.ended(t, dsn, metrics, name)
	}
	asked := all["asks"].hook.Requests()
	if gap := asked[1].Arrived.Sub(asked[0].Ended); gap < time.Second {
		t.Errorf("the request after one that asked for a second came %v later", gap)
	}
	if n := all["cut-off"].hook.Count(); n >= faultEvents {
		t.Errorf("%d requests to a destination that is taken for down after two failures", n)
	}
	r.stop()
	if err := r.end(t); err != nil {
		t.Fatal(err)
	}
	retry := func(f parking.Filter, told func(notifier.Parked, error)) {
		if err := RetryParked(t.Context(), cfg, f, ParkedOptions{Log: slog.New(slog.DiscardHandler)}, told); err != nil {
			t.Error(err)
		}
	}
	for name, f := range all {
		if f.end == areParked && f.hook != nil && f.opts.TLS == nil && f.tries != 0 {
			f.mended(t, retry, dsn, name)
		}
	}
}
