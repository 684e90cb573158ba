package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/walherald/walherald/internal/pgserver"
	recv "github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/metrics/console"
)

// newParking starts a process that parks what a webhook does not take, until somebody
// does something about it.
func newParking(t *testing.T, change func(configuration string) string) (d *daemon, dsn string, hook *recv.Receiver) {
	t.Helper()
	s := pgserver.Shared(t)
	db := s.TestDatabase(t)
	dsn = s.DSN(db)
	execute(t, dsn, "CREATE TABLE t (n int PRIMARY KEY, v text)")
	hook = recv.New(t, recv.Options{Answer: recv.Always(recv.Status(http.StatusServiceUnavailable))})
	d = newOperated(t, source(s, db), fmt.Sprintf(`
notifier:
  parking: {schedule: [1h]}
  destinations: [{name: hook, type: webhook, url: "%s", envelope: setu, allowPrivate: true, maxAttempts: 1, circuit: {failures: 0}}]
  rules: [{name: all, table: t, destination: hook}]
`, hook.URL()))
	d = daemonOf(t, d.port, change(d.configuration()))
	d.start()
	d.awaitReady()
	return d, dsn, hook
}

// park inserts n rows and waits until they are parked.
func (d *daemon) park(dsn string, n int) {
	d.t.Helper()
	execute(d.t, dsn, fmt.Sprintf("INSERT INTO t SELECT n, 'a value' FROM generate_series(1, %d) n", n))
	d.awaitStatus("events to be parked", func(s console.Status) bool { return s.Rules[0].Destinations[0].Parked == float64(n) })
}

// listed returns what is parked, which is shown without the rows.
func (d *daemon) listed(want int) (ids []string) {
	d.t.Helper()
	var list console.ParkedList
	text := d.want(http.StatusOK, nil, http.MethodGet, "/parked", "", bearer()...)
	if err := json.Unmarshal([]byte(text), &list); err != nil || list.Total != want || len(list.Parked) != want {
		d.t.Fatalf("%d notifications are parked, want %d: %s", list.Total, want, text)
	}
	if strings.Contains(text, "a value") {
		d.t.Errorf("the list shows rows: %s", text)
	}
	for _, p := range list.Parked {
		if p.Destination != "hook" || p.Rule != "all" || p.Table != "public.t" || p.Action != "INSERT" || p.Attempts < 0 || !strings.Contains(p.Reason, "503") {
			d.t.Errorf("parked is %+v", p)
		}
		ids = append(ids, p.ID)
	}
	return ids
}

func TestParkedIsTriedAgainAndDroppedByRequestsThatShowTheToken(t *testing.T) {
	d, dsn, hook := newParking(t, func(text string) string { return text })
	d.park(dsn, 4)
	ids := d.listed(4)
	all, one := `{"all":true}`, fmt.Sprintf(`{"ids":[%q]}`, ids[1])
	cross := append(bearer(), "Sec-Fetch-Site", "cross-site", "Origin", "https://elsewhere.example")
	for _, path := range []string{"/parked/retry", "/parked/drop"} {
		d.want(http.StatusUnauthorized, []string{"monitoring.token"}, http.MethodPost, path, all)
		d.want(http.StatusUnauthorized, []string{"monitoring.token"}, http.MethodPost, path, all, "Authorization", "Bearer another-token-of-that-length")
		d.want(http.StatusForbidden, []string{"another site"}, http.MethodPost, path, all, cross...)
		d.want(http.StatusForbidden, []string{"another site"}, http.MethodPost, path, all, "Origin", "https://elsewhere.example")
		d.want(http.StatusBadRequest, []string{"all"}, http.MethodPost, path, `{}`, bearer()...)
		d.want(http.StatusUnsupportedMediaType, []string{"application/json"}, http.MethodPost, path, all, append(bearer(), "Content-Type", "text/plain")...)
	}
	d.want(http.StatusUnauthorized, []string{"monitoring.token"}, http.MethodGet, "/parked", "")
	d.want(http.StatusForbidden, nil, http.MethodGet, "/parked", "", cross...)
	if hook.Count() != 4 {
		t.Errorf("requests that were refused made %d attempts", hook.Count()-4)
	}

	// The webhook does not take it yet, and then it does.
	d.want(http.StatusOK, []string{`"done":0`, `"failed":1`, "503"}, http.MethodPost, "/parked/retry", one, bearer()...)
	d.listed(4)
	stock := func(n float64) {
		t.Helper()
		d.awaitStatus(fmt.Sprint(n, " to be counted"), func(s console.Status) bool { return out(s, "hook").Parked == n })
	}
	stock(4)
	hook.SetAnswer(nil)
	before := hook.Count()
	d.want(http.StatusOK, []string{`"done":1`, `"failed":0`}, http.MethodPost, "/parked/retry", one, bearer()...)
	left := d.listed(3)
	if hook.Count() != before+1 || strings.Contains(strings.Join(left, " "), ids[1]) {
		t.Errorf("%d requests came for one notification, and %q are left", hook.Count()-before, left)
	}
	d.want(http.StatusOK, []string{`"done":2`, `"failed":0`}, http.MethodPost, "/parked/drop", fmt.Sprintf(`{"ids":[%q,%q]}`, ids[0], ids[3]), bearer()...)
	if got := fmt.Sprint(d.listed(1)); got != "["+ids[2]+"]" {
		t.Errorf("%s is left, want %s", got, ids[2])
	}
	d.want(http.StatusOK, []string{`"done":1`}, http.MethodPost, "/parked/retry", `{"destination":"hook"}`, bearer()...)
	d.listed(0)
	stock(0)
	if n := value[int](t, dsn, "SELECT count(*)::int FROM walherald.parked"); n != 0 {
		t.Errorf("%d rows are in the table", n)
	}
	// What was dropped never came, what was tried came once, with its own id.
	var came []string
	for _, r := range hook.Requests()[before:] {
		came = append(came, r.Header.Get("webhook-id"))
	}
	if want := []string{ids[1], ids[2]}; fmt.Sprint(came) != fmt.Sprint(want) {
		t.Errorf("after it was mended the webhook got %q, want %q", came, want)
	}
	if strings.Count(d.log(), "by request") != 4 || strings.Contains(d.log(), apiToken) {
		t.Error("the log does not tell of the four requests, or of the token")
	}
}

func TestWithoutATokenNothingCanBeChangedOrListed(t *testing.T) {
	d, dsn, hook := newParking(t, func(text string) string { return strings.Replace(text, ", token: "+apiToken, "", 1) })
	d.park(dsn, 1)
	d.want(http.StatusForbidden, []string{"monitoring.token is not set"}, http.MethodGet, "/parked", "")
	for path, method := range map[string]string{
		"/parked/retry": http.MethodPost, "/parked/drop": http.MethodPost, "/log/level": http.MethodPut, "/debug/on": http.MethodPost, "/debug/off": http.MethodGet,
	} {
		for _, header := range [][]string{nil, bearer(), {"Authorization", "Bearer "}} {
			d.want(http.StatusForbidden, []string{"monitoring.token is not set"}, method, path, `{"all":true}`, header...)
		}
	}
	d.want(http.StatusOK, []string{`"level":"info"`}, http.MethodGet, "/log/level", "")
	if n := value[int](t, dsn, "SELECT count(*)::int FROM walherald.parked"); n != 1 || hook.Count() != 1 {
		t.Errorf("%d notifications are parked after %d attempts, want one", n, hook.Count())
	}
	eventually(t, "the page to say that nothing can be changed", func(context.Context) (bool, error) {
		return strings.Contains(d.frame(), `"can":{"change":false,"parking":true`), nil
	})
}
