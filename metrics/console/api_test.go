package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEverythingThatIsThereToLookAtNeedsNoToken(t *testing.T) {
	th := newTheatre(func(o *Options) { o.Token = "" })
	for path, text := range map[string]string{
		"/": "<title>walherald</title>", "/assets/page.js": "EventSource", "/assets/page.css": ":root", "/assets/icon.svg": "<svg",
		"/openapi.yaml": "openapi: 3.1", "/status": `"slot":"walherald"`, "/stats": `"changes":412904`,
		"/health": "alive", "/healthz": `"alive":true`, "/ready": `"status":"ready"`,
		"/metrics": "walherald_build_info", "/log/level": `"level":"info"`,
		"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile", "/debug/pprof/cmdline": "console.test",
	} {
		th.want(t, request{method: "GET", path: path}, http.StatusOK, text)
	}
}

func TestListsAreNeverNull(t *testing.T) {
	th := newTheatre()
	th.stage.set(func(s *Status) { s.Outputs, s.Rules, s.Events = nil, nil, nil })
	for _, path := range []string{"/status", "/stats"} {
		th.want(t, request{method: "GET", path: path}, http.StatusOK, `"rules":[]`)
	}
}

func TestStatusSaysByItsCodeWhetherSomethingIsBlocked(t *testing.T) {
	th := newTheatre()
	for state, code := range map[string]int{"ready": 200, "standby": 200, "blocked": 503, "stopping": 503} {
		th.stage.set(func(s *Status) { s.State = state })
		th.want(t, request{method: "GET", path: "/status"}, code, `"state":"`+state+`"`)
	}
}

func TestHealthNamesTheLoopThatIsStuck(t *testing.T) {
	th := newTheatre()
	th.health.Liveness("sampler", time.Nanosecond)
	th.want(t, request{method: "GET", path: "/health"}, http.StatusServiceUnavailable, "stuck: sampler")
}

func TestStandbyIsReadyForWhoAsksForIt(t *testing.T) {
	th := newTheatre()
	th.health.Component("postgres").Standby("slot walherald is active")
	th.want(t, request{method: "GET", path: "/ready"}, http.StatusServiceUnavailable, `"status":"standby"`)
	th.want(t, request{method: "GET", path: "/ready?standby=ok"}, http.StatusOK, `"status":"standby"`)
	th.health.Component("postgres").Blocked("connection refused", "0/10")
	th.want(t, request{method: "GET", path: "/ready?standby=ok"}, http.StatusServiceUnavailable, `"status":"blocked"`)
}

func TestProfilesAreOffUnlessConfigured(t *testing.T) {
	th := newTheatre(func(o *Options) { o.Pprof = false })
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile"} {
		if w := th.ask(t, request{method: "GET", path: path}); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestStatsHaveRatesOnceThereAreTwoSamples(t *testing.T) {
	th := newTheatre()
	th.sample()
	th.stage.set(func(s *Status) { s.Source.Changes += 500 })
	var stats Stats
	w := th.want(t, request{method: "GET", path: "/stats"}, http.StatusOK, "rates")
	if err := json.Unmarshal(w.Body.Bytes(), &stats); err != nil {
		t.Fatal(err)
	}
	if stats.Rates.Seconds <= 0 || stats.Rates.Changes <= 0 {
		t.Errorf("rates are %+v", stats.Rates)
	}
}

func TestLevelIsSetAndTakenBack(t *testing.T) {
	th := newTheatre()
	for _, step := range []struct{ method, path, body, level string }{
		{"PUT", "/log/level", `{"level":"error"}`, "error"},
		{"POST", "/debug/on", "", "debug"},
		{"POST", "/debug/off", "", "info"},
		{"GET", "/debug/on", "", "debug"},
		{"GET", "/debug/off", "", "info"},
	} {
		th.want(t, withToken(step.method, step.path, step.body), http.StatusOK, `"level":"`+step.level+`","configured":"info"`)
		if got := levelName(th.o.Level.Level()); got != step.level {
			t.Errorf("%s %s: the level is %s", step.method, step.path, got)
		}
	}
	for _, line := range []string{"from=info to=error remote=192.0.2.1:1234", "from=error to=debug", "from=debug to=info"} {
		if !strings.Contains(th.log.String(), line) {
			t.Errorf("no %q in the log:\n%s", line, th.log)
		}
	}
	if strings.Contains(th.log.String(), secret) {
		t.Error("the token is in the log")
	}
}

func TestDebugOffReturnsToTheConfiguredLevel(t *testing.T) {
	th := newTheatre(func(o *Options) { o.BaseLevel = func() slog.Level { return slog.LevelWarn } })
	th.want(t, withToken("POST", "/debug/off", ""), http.StatusOK, `"level":"warn"`)
}

func TestBodiesThatAreWrongAreRefusedAndChangeNothing(t *testing.T) {
	th := newTheatre()
	large := `{"ids":["` + strings.Repeat("x", maxBody) + `"]}`
	many, err := json.Marshal(map[string]any{"ids": make([]string, mostIDs+1)})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		path, body, text string
		code             int
	}{
		{"/log/level", `{"level":"loud"}`, "debug, info, warn or error", 400},
		{"/log/level", ``, "decode body", 400},
		{"/log/level", `{"level":"debug"} {}`, "behind", 400},
		{"/log/level", `{"level":"debug"}]`, "decode body", 400},
		{"/parked/drop", `{}`, "name a destination", 400},
		{"/parked/retry", `{"all":true,"destination":"hook"}`, "goes with neither", 400},
		{"/parked/drop", `{"dest":"hook"}`, "unknown field", 400},
		{"/parked/drop", string(many), "at most 1000 ids", 400},
		{"/parked/drop", large, "larger than 64 kB", 413},
	} {
		method := "POST"
		if bad.path == "/log/level" {
			method = "PUT"
		}
		th.want(t, withToken(method, bad.path, bad.body), bad.code, bad.text)
	}
	if calls := th.lot.called(); len(calls) > 0 || th.o.Level.Level() != slog.LevelInfo {
		t.Errorf("what was refused was done: %v, level %s", calls, th.o.Level.Level())
	}
}

func TestParkedOnesAreListedRetriedAndDropped(t *testing.T) {
	th := newTheatre()
	th.want(t, withToken("GET", "/parked", ""), http.StatusOK, `"total":3`)
	th.want(t, withToken("GET", "/parked?destination=team", ""), http.StatusOK, `"id":"p3"`)
	th.want(t, withToken("GET", "/parked?limit=1", ""), http.StatusOK, `"total":3`)
	th.want(t, withToken("GET", "/parked?limit=0", ""), http.StatusBadRequest, "limit")
	th.want(t, withToken("POST", "/parked/retry", `{"destination":"hook","ids":["p1"]}`), http.StatusOK, `"done":1`)
	th.want(t, withToken("POST", "/parked/drop", `{"destination":"hook"}`), http.StatusOK, `"done":1`)
	th.want(t, withToken("POST", "/parked/drop", `{"all":true}`), http.StatusOK, `"done":1`)
	th.want(t, withToken("GET", "/parked", ""), http.StatusOK, `{"total":0,"parked":[]}`)
	if got, want := th.lot.called(), []string{"retry hook p1", "drop hook", "drop "}; !slices.Equal(got, want) {
		t.Errorf("calls are %q, want %q", got, want)
	}
	if !strings.Contains(th.log.String(), "parked notifications dropped by request\" destination=hook ids=0 done=1 failed=0 remote=192.0.2.1:1234") {
		t.Errorf("the log does not tell:\n%s", th.log)
	}
}

func TestParkingThatFailsSaysWhy(t *testing.T) {
	th := newTheatre()
	th.lot.fail = errors.New("list parked: connection refused")
	th.want(t, withToken("GET", "/parked", ""), http.StatusBadGateway, "connection refused")
	th.want(t, withToken("POST", "/parked/retry", `{"all":true}`), http.StatusBadGateway, "connection refused")
	th.lot.fail = fmt.Errorf("%w: ids: that is none", ErrFilter)
	th.want(t, withToken("POST", "/parked/drop", `{"ids":["x"]}`), http.StatusBadRequest, "that is none")
}

func TestWithoutParkingThereIsNothingToList(t *testing.T) {
	th := newTheatre(func(o *Options) { o.Parking = nil })
	th.want(t, withToken("GET", "/parked", ""), http.StatusNotFound, "there is no parking")
	th.want(t, withToken("POST", "/parked/drop", `{"all":true}`), http.StatusNotFound, "there is no parking")
}

func TestOtherMethodsAreRefusedWithThoseThereAre(t *testing.T) {
	th := newTheatre()
	for path, allow := range map[string]string{
		"/status": "GET, HEAD", "/parked/drop": "POST", "/log/level": "GET, HEAD, PUT", "/debug/on": "GET, HEAD, POST",
	} {
		w := th.ask(t, withToken("DELETE", path, ""))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != allow {
			t.Errorf("%s: status %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
	for _, path := range []string{"/nothing", "/assets/", "/assets/index.html", "/statuses", "/debug/"} {
		if w := th.ask(t, request{method: "GET", path: path}); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestHeadOfTheStreamEnds(t *testing.T) {
	th := newTheatre()
	if w := th.ask(t, request{method: "HEAD", path: "/status"}); w.Code != http.StatusOK {
		t.Errorf("HEAD /status: %d", w.Code)
	}
	if w := th.ask(t, request{method: "HEAD", path: "/events"}); w.Code != http.StatusOK || th.streams.watched() {
		t.Errorf("HEAD /events: %d", w.Code)
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	th := newTheatre()
	for _, r := range []request{
		{method: "GET", path: "/"}, {method: "GET", path: "/status"}, {method: "GET", path: "/nothing"}, {method: "POST", path: "/parked/drop"},
	} {
		h := th.ask(t, r).Header()
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
		} {
			if h.Get(name) != value {
				t.Errorf("%s: %s is %q", r.path, name, h.Get(name))
			}
		}
		policy := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy lacks %s", r.path, part)
			}
		}
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
				t.Errorf("%s: the answer has %s", r.path, fmt.Sprint(name, h[name]))
			}
		}
	}
}
