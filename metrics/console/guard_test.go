package console

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// changing are all requests that want the token.
func changing(th *theatre) []request {
	var all []request
	for _, r := range th.routes() {
		if r.token {
			all = append(all, request{method: r.method, path: r.path, body: `{"all":true,"level":"debug"}`})
		}
	}
	return all
}

// untouched fails if something was changed.
func (th *theatre) untouched(t *testing.T) {
	t.Helper()
	if calls := th.lot.called(); len(calls) > 0 {
		t.Errorf("parking was asked: %v", calls)
	}
	if l := levelName(th.o.Level.Level()); l != "info" {
		t.Errorf("the level is %s", l)
	}
}

func TestChangesAreOffWithoutAConfiguredToken(t *testing.T) {
	th := newTheatre(func(o *Options) { o.Token = "" })
	for _, r := range changing(th) {
		for _, shown := range []string{"", "Bearer", "Bearer ", "Bearer x"} {
			r.header = map[string]string{"Authorization": shown, "Content-Type": "application/json"}
			th.want(t, r, http.StatusForbidden, "monitoring.token is not set")
		}
	}
	th.untouched(t)
}

func TestChangesNeedTheToken(t *testing.T) {
	for _, shown := range []string{"", secret, "Basic " + secret, "Bearer", "Bearer wrong", "Bearer " + secret + "x", "Bearer " + secret[1:]} {
		th := newTheatre()
		if len(changing(th)) != 8 {
			t.Fatalf("%d requests want the token", len(changing(th)))
		}
		for _, r := range changing(th) {
			r.header = map[string]string{"Authorization": shown, "Content-Type": "application/json"}
			w := th.want(t, r, http.StatusUnauthorized, "missing or wrong")
			if !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s: WWW-Authenticate is %q", r.path, w.Header().Get("WWW-Authenticate"))
			}
		}
		th.untouched(t)
		if strings.Contains(th.log.String(), secret) {
			t.Errorf("what was shown is in the log:\n%s", th.log)
		}
	}
}

func TestTokenInACookieOrInTheURLIsNone(t *testing.T) {
	th := newTheatre()
	th.want(t, request{"POST", "/debug/on?token=" + secret + "&access_token=" + secret, "", map[string]string{
		"Cookie": "token=" + secret + "; Authorization=" + secret,
	}}, http.StatusUnauthorized, "missing or wrong")
	th.untouched(t)
}

// A page of another site can make a browser send these, with whatever the browser adds
// by itself. Even with the right token, which it cannot know, none is followed.
func TestAnotherSiteCanChangeNothing(t *testing.T) {
	for _, added := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
		{"Sec-Fetch-Site": "same-site"},
		{"Origin": "https://evil.example"},
		{"Origin": "null"},
	} {
		th := newTheatre()
		for _, r := range changing(th) {
			r.header = map[string]string{"Authorization": "Bearer " + secret, "Content-Type": "application/json"}
			for name, value := range added {
				r.header[name] = value
			}
			th.want(t, r, http.StatusForbidden, "another site")
		}
		th.untouched(t)
	}
}

func TestFormsAreRefused(t *testing.T) {
	th := newTheatre()
	for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""} {
		r := withToken("POST", "/parked/drop", `{"all":true}`)
		r.header["Content-Type"] = kind
		th.want(t, r, http.StatusUnsupportedMediaType, "application/json")
	}
	th.untouched(t)
}

func TestTheOwnPageMayChangeThings(t *testing.T) {
	th := newTheatre()
	r := withToken("POST", "/debug/on", "")
	r.header["Sec-Fetch-Site"], r.header["Origin"] = "same-origin", "http://localhost"
	th.want(t, r, http.StatusOK, "debug")
}

func TestGuessingIsSlowedDownForWhoGuesses(t *testing.T) {
	th := newTheatre()
	now := time.Now()
	th.guesses.clock = func() time.Time { return now }
	wrong := withToken("POST", "/debug/on", "")
	wrong.header["Authorization"] = "Bearer wrong"
	for range maxGuesses {
		th.want(t, wrong, http.StatusUnauthorized, "wrong")
	}
	w := th.want(t, wrong, http.StatusTooManyRequests, "wait a minute")
	if w.Header().Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	if th.guesses.tooMany("192.0.2.77") {
		t.Error("another address has to wait as well")
	}
	th.want(t, withToken("POST", "/debug/on", ""), http.StatusOK, "debug") // whoever has the token
	now = now.Add(time.Minute)
	th.want(t, wrong, http.StatusUnauthorized, "wrong")
}

func TestMemoryOfGuessesIsBounded(t *testing.T) {
	g := guesses{clock: time.Now}
	for i := range 2 * maxGuessers {
		g.wrong(net.IPv4(10, 0, byte(i>>8), byte(i)).String())
	}
	if len(g.by) != maxGuessers {
		t.Errorf("%d addresses are kept", len(g.by))
	}
}

func TestNamesOfOthersAreRefusedOverLoopback(t *testing.T) {
	loopback := &net.TCPAddr{IP: net.IPv6loopback, Port: 8084}
	open := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 8084}
	for _, tt := range []struct {
		host string
		over net.Addr
		ok   bool
	}{
		{"localhost:8084", loopback, true},
		{"LOCALHOST", loopback, true},
		{"127.0.0.1:8084", loopback, true},
		{"[::1]:8084", loopback, true},
		{"[::1]", loopback, true},
		{"10.1.2.3", loopback, true},
		{"watch.internal:8084", loopback, true}, // as configured
		{"", loopback, true},                    // HTTP/1.0
		{"evil.example:8084", loopback, false},
		{"localhost.evil.example", loopback, false},
		{"127.0.0.1.evil.example:8084", loopback, false},
		{"evil.example", nil, false},
		{"walherald.shop.svc:8084", open, true},
		{"10.1.2.3:8084", open, true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/status", nil)
		r.Host = tt.host
		if tt.over != nil {
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, tt.over))
		}
		w := httptest.NewRecorder()
		newTheatre(func(o *Options) { o.Host = "watch.internal" }).Handler().ServeHTTP(w, r)
		if ok := w.Code == http.StatusOK; ok != tt.ok || !ok && w.Code != http.StatusMisdirectedRequest {
			t.Errorf("host %q over %v: status %d", tt.host, tt.over, w.Code)
		}
	}
}
