package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// open shows the page of a theatre in a browser, once it shows the state.
func (th *theatre) open(t *testing.T, allowed ...string) *tab {
	t.Helper()
	th.run(t)
	tb := newTab(t, th.serve(t)+"/", allowed...)
	tb.text("#link", "live")
	return tb
}

func TestPageSaysInASentenceHowItDoes(t *testing.T) {
	th := newTheatre()
	tb := th.open(t)
	for _, tt := range []struct {
		change               func(*Status)
		tone, text, key, why string
	}{
		{func(*Status) {}, "Working", "Keeping up: 0.2 s behind", "Keeping up", ""},
		{
			blockedBy("connection refused"), "Blocked", "Blocked by output stream since 3 min", "Blocked by output stream",
			"connection refused, at 0/16B3748",
		},
		{func(s *Status) {
			s.State, s.Source.State = "standby", State{Reason: "slot walherald is active for PID 77"}
		}, "Waiting", "Standby: another walherald reads slot walherald", "Standby", "PID 77"},
		{func(s *Status) { s.State = "stopping" }, "Waiting", "Stopping", "Stopping", "in flight"},
		{func(s *Status) {
			s.Source.SlotStatus, s.Source.SafeBytes = "unreserved", ptr(5.0*(1<<20))
		}, "Attention", "", "", ""},
	} {
		th.stage.set(func(s *Status) { *s = working(); tt.change(s) })
		if tt.text == "" { // the slot is at risk
			tb.text("h1", "Slot walherald is at risk: 5 MB of log left")
			tb.text("#source-card", "walherald: unreserved")
			continue
		}
		tb.text("h1", tt.text)
		tb.text("#tone", tt.tone)
		tb.text("#detail", tt.why)
		tb.until(fmt.Sprintf("document.title === %s", quoted(tt.key+" – walherald")))
		tb.until(fmt.Sprintf("document.getElementById('told').textContent.startsWith(%s)", quoted(tt.text)))
	}
}

func TestPageShowsWhatHoldsAnOutputUp(t *testing.T) {
	th := newTheatre()
	th.stage.set(blockedBy("connection refused"))
	tb := th.open(t)
	for selector, texts := range map[string][]string{
		"#source-card": {"db.internal:5432/shop", "0/16B3800", "0/16B37F0", "48\u00a0MB", "1,008\u00a0MB more until the slot is lost", "reserved"},
		"#cards": {
			"stream", "nats, fast-ingest", "Blocked since 3\u00a0min", "connection refused at 0/16B3748", "51,200 events",
			"public.orders at 0/16B3748, 3\u00a0min old: connection refused", "hook", "3, the oldest for 90\u00a0min", "closed",
		},
		"#events-table": {"✓ stream → STREAM.public_orders, confirmed in 4.2\u00a0ms", "… hook, waiting for", "no output wants it"},
		"#rules-table":  {"low stock", "public.products update where new.stock < 5", "31", "28"},
		"#charts":       {"Throughput", "Lag in bytes", "Lag in seconds", "Commit to confirmation", "peak"},
	} {
		for _, text := range texts {
			tb.text(selector, text)
		}
	}
}

func TestPageIsLiveWithoutReload(t *testing.T) {
	th := newTheatre()
	tb := th.open(t)
	tb.do(chromedp.Evaluate[chromedp.Void]("window.sameDocument = true; window.card = document.querySelector('#cards article')"))
	th.stage.set(func(s *Status) {
		s.Source.Changes = 7654321
		s.Events = append([]Event{{ID: "new", LSN: "0/16B4000", Table: "public.shipments", Action: "update", Committed: time.Now()}}, s.Events...)
	})
	tb.text("#source-card", "7,654,321")
	tb.text("#events-table tbody tr", "public.shipments")
	tb.until("window.sameDocument && window.card === document.querySelector('#cards article')")
	th.stage.set(func(s *Status) { s.Outputs = s.Outputs[:1] })
	tb.until("document.querySelectorAll('#cards article').length === 1")
}

func TestDataIsShownAsText(t *testing.T) {
	const evil = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`
	th := newTheatre()
	th.stage.set(func(s *Status) {
		blockedBy("refused by " + evil)(s)
		s.Events[0].Table, s.Events[0].Path = evil, []Hop{{Output: evil, Topic: evil, Confirmed: true}}
		s.Rules[0].Match, s.Outputs[0].Name, s.Outputs[0].Mode, s.Source.Database = evil, evil, evil, evil
		s.Outputs[0].LastError = evil
	})
	th.lot.parked[0].Reason, th.lot.parked[0].Destination = evil, evil
	tb := th.open(t)
	tb.unlock()
	for _, place := range []string{"h1", "#detail", "#source-card", "#cards", "#events-table", "#rules-table", "#parked-table", "#parked-groups"} {
		tb.text(place, evil)
	}
	tb.until("window.hacked === undefined && document.querySelectorAll('img, body script').length === 0")
}

func TestManyEventsAreShownToWhoAsks(t *testing.T) {
	th := newTheatre()
	th.stage.set(func(s *Status) {
		for i := range 50 {
			s.Events = append(s.Events, Event{ID: fmt.Sprint(i), LSN: "0/16B3000", Table: "public.orders", Action: "insert", Committed: time.Now()})
		}
	})
	tb := th.open(t)
	const rows = "document.querySelectorAll('#events-table tbody tr').length"
	tb.until(rows + " === 12")
	tb.tabTo("Show the last 52")
	tb.press(kb.Enter)
	tb.until(rows + " === 52 && document.activeElement.id === 'more-events'")
	tb.press(kb.Enter)
	tb.until(rows + " === 12")
}

// unlock gives the page the token.
func (tb *tab) unlock() {
	tb.t.Helper()
	tb.do(chromedp.SendKeys("#token", secret+kb.Enter))
	tb.until("!document.getElementById('unlocked').hidden")
}

// tabTo presses the tabulator until an element has the focus that begins so for a screen
// reader.
func (tb *tab) tabTo(name string) {
	tb.t.Helper()
	const focus = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent ?? '').trim() || document.activeElement.id"
	var seen []string
	for range 80 {
		tb.press(kb.Tab)
		now := eval[string](tb, focus)
		if strings.HasPrefix(now, name) {
			tb.until("getComputedStyle(document.activeElement).outlineStyle !== 'none'")
			return
		}
		seen = append(seen, now)
	}
	tb.t.Fatalf("the keyboard does not reach %q, but %q", name, seen)
}

// wantCalls waits until the parking was asked that.
func (th *theatre) wantCalls(t *testing.T, tb *tab, want ...string) {
	t.Helper()
	tb.until(fmt.Sprintf("document.getElementById('message').textContent !== '' || %t", len(want) == 0))
	if got := th.lot.called(); !slices.Equal(got, want) {
		t.Fatalf("parking was asked %q, want %q", got, want)
	}
}

func TestKeyboardReachesRetryAndDrop(t *testing.T) {
	th := newTheatre()
	tb := th.open(t)
	tb.tabTo("Skip to the outputs")
	tb.tabTo("token")
	tb.press(secret, kb.Enter)
	tb.until("document.activeElement.id === 'parked-title'")

	tb.tabTo("Retry public.products update at 0/16A0000 for hook")
	tb.press(kb.Enter)
	tb.text("#message", "1 delivered.")
	th.wantCalls(t, tb, "retry hook p1")
	tb.until("document.querySelectorAll('#parked-table tbody tr').length === 2")
	tb.until("document.activeElement.id === 'message'") // the button is gone

	tb.tabTo("Drop public.products update at 0/16A0000 for hook")
	tb.press(kb.Enter)
	tb.text("dialog[open]", "Drop public.products update at 0/16A0000 for hook?")
	tb.press(kb.Escape)
	tb.until("!document.querySelector('dialog').open")
	tb.press(kb.Enter) // the focus is where it was
	tb.until("document.activeElement.textContent === 'Keep'")
	tb.press(kb.Enter)
	tb.until("!document.querySelector('dialog').open")
	th.wantCalls(t, tb, "retry hook p1")

	tb.press(kb.Enter)
	tb.until("document.activeElement.textContent === 'Keep'")
	tb.press(kb.Tab, kb.Enter)
	tb.text("#message", "1 dropped.")
	th.wantCalls(t, tb, "retry hook p1", "drop hook p2")

	tb.tabTo("Retry everything parked for team")
	tb.press(kb.Enter)
	tb.text("#parked-none", "Nothing is parked.")
	th.wantCalls(t, tb, "retry hook p1", "drop hook p2", "retry team")
	if answers := eval[int](tb, "document.cookie.length + localStorage.length"); answers != 0 {
		t.Error("something is kept longer than the tab")
	}
}

func TestWrongTokenIsSaidAndForgotten(t *testing.T) {
	th := newTheatre()
	tb := th.open(t, "Failed to load resource: the server responded with a status of 401")
	tb.do(chromedp.SendKeys("#token", "wrong"+kb.Enter))
	tb.text("#message", "That token is wrong.")
	tb.until("document.getElementById('unlocked').hidden && document.activeElement.id === 'token' && sessionStorage.length === 0")
	tb.press(secret, kb.Enter) // in place of the wrong one, which is selected
	tb.until("!document.getElementById('unlocked').hidden && document.getElementById('message').hidden")
	tb.text("#parked-none", "3 parked.")

	tb.do(chromedp.Reload()) // the tab keeps it
	tb.text("#parked-none", "3 parked.")
	tb.click("#lock")
	tb.until("document.getElementById('unlocked').hidden && sessionStorage.length === 0")
	th.untouched(t)
}

func TestLevelOfTheLogIsSetFromThePage(t *testing.T) {
	th := newTheatre()
	tb := th.open(t)
	tb.unlock()
	tb.do(chromedp.SetValue("#level", "debug"))
	tb.click("#level-form button")
	tb.text("#message", "The log is at level debug.")
	if l := levelName(th.o.Level.Level()); l != "debug" {
		t.Errorf("the level is %s", l)
	}
}

func TestPageExplainsWhatIsOff(t *testing.T) {
	th := newTheatre(func(o *Options) { o.Token = "" })
	tb := th.open(t)
	tb.text("#locked", "monitoring.token is not set")
	tb.until("document.getElementById('unlock').hidden && document.getElementById('unlocked').hidden")

	th = newTheatre(func(o *Options) { o.Parking = nil })
	tb = th.open(t, "Failed to load resource: the server responded with a status of 404")
	tb.unlock()
	tb.text("#parked-none", "There is no parking")
	tb.until("document.querySelectorAll('#parked-groups button, #parked-table tbody tr').length === 0")
}

func TestLostConnectionIsSaidAndComesBack(t *testing.T) {
	th := newTheatre()
	var front http.Handler = th.Handler()
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now := front
		mu.Unlock()
		now.ServeHTTP(w, r)
	}))
	stop := th.run(t)
	t.Cleanup(server.Close)
	tb := newTab(t, server.URL+"/", "Failed to load resource", "GET")
	t.Cleanup(func() { tb.do(chromedp.Navigate("about:blank")) }) // which ends its stream
	tb.text("#link", "live")

	stop()
	tb.text("#lost", "walherald has stopped.")
	tb.text("#link", "no connection")
	tb.until("document.title.startsWith('No connection')")

	again := newTheatre()
	again.stage.set(func(s *Status) { s.Version = "1.2.4" })
	t.Cleanup(again.run(t))
	mu.Lock()
	front = again.Handler()
	mu.Unlock()
	tb.text("#version", "1.2.4")
	tb.text("#link", "live")
	tb.until("document.getElementById('lost').hidden && document.title.startsWith('Keeping up')")
}

// The site here is another one for the browser, since its port is another.
func TestPageOfAnotherSiteChangesNothing(t *testing.T) {
	th := newTheatre()
	var mu sync.Mutex
	asked := map[string]int{}
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		th.Handler().ServeHTTP(rec, r)
		mu.Lock()
		defer mu.Unlock()
		asked[r.Method+" "+r.URL.Path] = rec.Code
		w.WriteHeader(rec.Code)
	}))
	t.Cleanup(target.Close)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><link rel=icon href=data:,>
<img src="%[1]s/debug/on"><iframe name=f></iframe>
<form id=form target=f method=post enctype=text/plain action="%[1]s/parked/drop"><input name='{"all":true,"x":"' value='"}'></form>
<script>
form.submit();
fetch('%[1]s/parked/retry', {method: 'POST', mode: 'no-cors', credentials: 'include', body: '{"all":true}'});
fetch('%[1]s/log/level', {method: 'PUT', headers: {Authorization: 'Bearer %[2]s'}, body: '{"level":"debug"}'}).catch(() => { window.refused = true });
</script>`, target.URL, secret)
	}))
	t.Cleanup(evil.Close)
	tb := blankTab(t)
	tb.do(chromedp.Navigate(evil.URL))
	tb.until("window.refused")
	want := map[string]int{
		"GET /debug/on": http.StatusForbidden, "POST /parked/drop": http.StatusForbidden, "POST /parked/retry": http.StatusForbidden,
		"OPTIONS /log/level": http.StatusMethodNotAllowed,
	}
	deadline := time.Now().Add(limit)
	for {
		mu.Lock()
		all := len(asked) >= len(want)
		mu.Unlock()
		if all || time.Now().After(deadline) {
			break
		}
		tb.until("true")
	}
	mu.Lock()
	defer mu.Unlock()
	for r, code := range want {
		if asked[r] != code {
			t.Errorf("%s: status %d, want %d", r, asked[r], code)
		}
	}
	if _, found := asked["PUT /log/level"]; found {
		t.Error("the browser sent the token")
	}
	th.untouched(t)
}
