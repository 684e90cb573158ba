package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// start serves s until stop, which returns what Serve returned.
func start(t *testing.T, s *Server) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	return "http://" + s.Addr().String(), func() error {
		cancel()
		select {
		case err := <-served:
			return err
		case <-time.After(patience):
			return errors.New("Serve does not return")
		}
	}
}

func listen(t *testing.T, h http.Handler) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", h)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantProbe(t *testing.T, h http.Handler, path string, code int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != code || strings.TrimSpace(w.Body.String()) != body {
		t.Errorf("%s answers %d\n%swant %d\n%s", path, w.Code, w.Body, code, body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("%s has content type %q", path, got)
	}
}

func TestProbesSayWhatBlocksWhySinceWhenAndWhere(t *testing.T) {
	h, clock := newTestHealth()
	h.Component("postgres").Ready()
	nats := h.Component("nats")
	nats.Blocked("connection refused", "16/B374D848")
	loop := h.Liveness("listener", 30*time.Second)
	clock.advance(31*time.Second + 250*time.Millisecond)
	probes := ProbeHandler(h)

	wantProbe(t, probes, "/ready", http.StatusServiceUnavailable,
		`{"ready":false,"status":"blocked","components":[`+
			`{"name":"nats","ready":false,"reason":"connection refused","since":"2026-03-01T12:00:00Z","seconds":31.25,"lsn":"16/B374D848"},`+
			`{"name":"postgres","ready":true,"since":"2026-03-01T12:00:00Z","seconds":31.25}]}`)
	wantProbe(t, probes, "/healthz", http.StatusServiceUnavailable,
		`{"alive":false,"heartbeats":[{"name":"listener","alive":false,"since":"2026-03-01T12:00:00Z","seconds":31.25,"limit":30}]}`)

	nats.Ready()
	loop.Beat()
	wantProbe(t, probes, "/ready", http.StatusOK,
		`{"ready":true,"status":"ready","components":[`+
			`{"name":"nats","ready":true,"since":"2026-03-01T12:00:31.25Z","seconds":0},`+
			`{"name":"postgres","ready":true,"since":"2026-03-01T12:00:00Z","seconds":31.25}]}`)
	wantProbe(t, probes, "/healthz", http.StatusOK,
		`{"alive":true,"heartbeats":[{"name":"listener","alive":true,"since":"2026-03-01T12:00:31.25Z","seconds":0,"limit":30}]}`)
}

func TestStoppingIsAlive(t *testing.T) {
	h, _ := newTestHealth()
	h.Stopping()
	wantProbe(t, ProbeHandler(h), "/ready", http.StatusServiceUnavailable, `{"ready":false,"status":"stopping","components":[]}`)
	wantProbe(t, ProbeHandler(h), "/healthz", http.StatusOK, `{"alive":true,"heartbeats":[]}`)
}

func TestProbesCannotBePosted(t *testing.T) {
	h, _ := newTestHealth()
	for _, path := range []string{"/healthz", "/ready"} {
		w := httptest.NewRecorder()
		ProbeHandler(h).ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s answers %d", path, w.Code)
		}
	}
}

// takePort returns the address of a port that is taken until release.
func takePort(t *testing.T) (addr string, release func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr().String(), func() { _ = l.Close() }
}

// probesAndMetrics are the endpoints of an address for each.
func probesAndMetrics(probes, metrics string) []Endpoint {
	h, _ := newTestHealth()
	return []Endpoint{
		{Key: "listener.serverPort", Addr: probes, Handler: ProbeHandler(h)},
		{Key: "monitoring.promAddr", Addr: metrics, Path: "/metrics", Handler: MetricsHandler(prometheus.NewRegistry())},
	}
}

func TestTakenPortIsAnErrorAtStartThatNamesKeyAndAddress(t *testing.T) {
	taken, release := takePort(t)
	defer release()
	for _, c := range []struct{ probes, metrics, key string }{
		{taken, "", "listener.serverPort: "},
		{"127.0.0.1:0", taken, "monitoring.promAddr: "},
		{taken, taken, "listener.serverPort and monitoring.promAddr: "},
	} {
		servers, err := ListenAll(probesAndMetrics(c.probes, c.metrics), nil)
		if !errors.Is(err, syscall.EADDRINUSE) || servers != nil {
			t.Fatalf("ListenAll(%q, %q) = %v, %v; want %v", c.probes, c.metrics, servers, err, syscall.EADDRINUSE)
		}
		if !strings.HasPrefix(err.Error(), c.key) || !strings.Contains(err.Error(), taken) {
			t.Errorf("error %q does not name %q and %s", err, c.key, taken)
		}
	}
}

func TestFailedStartLeavesNothingBound(t *testing.T) {
	taken, release := takePort(t)
	defer release()
	free, unbind := takePort(t)
	unbind()
	if _, err := ListenAll(probesAndMetrics(free, taken), nil); err == nil {
		t.Fatal("a taken port is no error")
	}
	l, err := net.Listen("tcp", free)
	if err != nil {
		t.Fatalf("the address of the probes is still bound: %v", err)
	}
	_ = l.Close()
}

func TestEndpointThatGivesWayIsLeftOutWhereItsAddressIsTaken(t *testing.T) {
	taken, release := takePort(t)
	defer release()
	var left []string
	page := Endpoint{Key: "monitoring.address", Addr: taken, Handler: http.NotFoundHandler(), All: true, GivesWay: true}
	servers, err := ListenAll(append([]Endpoint{page}, probesAndMetrics("127.0.0.1:0", "")...), func(e Endpoint, err error) {
		left = append(left, e.Key)
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("it is left out because of %v", err)
		}
	})
	if err != nil || len(servers) != 1 || !slices.Equal(left, []string{"monitoring.address"}) {
		t.Fatalf("%d servers without %v: %v; want that of the probes", len(servers), left, err)
	}
	_ = servers[0].Close()
}

func TestOneThatAnswersEverythingAnswersAtASharedAddress(t *testing.T) {
	all := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "all") })
	page := Endpoint{Key: "monitoring.address", Addr: ":8080", Handler: all, All: true}
	for _, order := range [][]Endpoint{
		append(probesAndMetrics(":8080", ":8080"), page), append([]Endpoint{page}, probesAndMetrics(":8080", ":8080")...),
	} {
		shared := together(order)
		if len(shared) != 1 || !strings.Contains(shared[0].Key, "monitoring.address") {
			t.Fatalf("the endpoints are %+v", shared)
		}
		url, stop := start(t, listen(t, shared[0].Handler))
		if _, body := get(t, url+"/healthz"); body != "all" {
			t.Errorf("/healthz answers %q", body)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestProbesAndMetricsOnTwoAddresses(t *testing.T) {
	servers, err := ListenAll(probesAndMetrics("127.0.0.1:0", "127.0.0.1:0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(servers) != 2 {
		t.Fatalf("%d servers, want 2", len(servers))
	}
	for i, want := range []struct{ healthz, metrics int }{{200, 404}, {404, 200}} {
		url, stop := start(t, servers[i])
		healthz, _ := get(t, url+"/healthz")
		metrics, _ := get(t, url+"/metrics")
		if healthz != want.healthz || metrics != want.metrics {
			t.Errorf("server %d answers %d for /healthz and %d for /metrics, want %+v", i, healthz, metrics, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestProbesAndMetricsOnOneAddress(t *testing.T) {
	h, _ := newTestHealth()
	reg := prometheus.NewPedanticRegistry()
	New(reg, "a")
	both := together([]Endpoint{
		{Addr: ":8080", Handler: ProbeHandler(h)}, {Addr: "0.0.0.0:8080", Path: "/metrics", Handler: MetricsHandler(reg)},
	})
	if len(both) != 1 {
		t.Fatalf("%d servers for one address", len(both))
	}
	url, stop := start(t, listen(t, both[0].Handler))
	for path, want := range map[string]string{
		"/healthz": `"alive":true`, "/ready": `"ready":false`, "/metrics": "walherald_transactions_total",
	} {
		if _, body := get(t, url+path); !strings.Contains(body, want) {
			t.Errorf("%s answers %q without %q", path, body, want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestOneAddressIsRecognisedHoweverItIsWritten(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{":80", ":80", true},
		{":80", "0.0.0.0:80", true},
		{":80", "[::]:80", true},
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{":80", ":81", false},
		{":80", "127.0.0.1:80", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{":80", "", false},
		{":80", "80", false},
	} {
		if sameAddr(c.a, c.b) != c.same || sameAddr(c.b, c.a) != c.same {
			t.Errorf("sameAddr(%q, %q) is not %t both ways", c.a, c.b, c.same)
		}
	}
}

func TestNoAddressMeansNoServer(t *testing.T) {
	servers, err := ListenAll(probesAndMetrics("", ""), nil)
	if err != nil || len(servers) != 0 {
		t.Errorf("ListenAll without addresses = %v, %v", servers, err)
	}
}

func TestAddressIsFreeOnceServeReturns(t *testing.T) {
	s := listen(t, http.NotFoundHandler())
	url, stop := start(t, s)
	if status, _ := get(t, url); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
	if err := stop(); err != nil {
		t.Errorf("an end on purpose is an error: %v", err)
	}
	again, err := Listen(s.Addr().String(), http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestContextThatHasEndedStillFreesTheAddress(t *testing.T) {
	s := listen(t, http.NotFoundHandler())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: closing it gives %v", err)
	}
}

func TestServeReportsAListenerThatFailed(t *testing.T) {
	s := listen(t, http.NotFoundHandler())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	err := s.Serve(t.Context())
	if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), s.Addr().String()) {
		t.Errorf("Serve on a closed listener: %v", err)
	}
}

func TestRequestUnderWayIsAnsweredAtTheEnd(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = w.Write([]byte("done"))
	}))
	s.grace = patience
	ended := make(chan struct{})
	s.http.RegisterOnShutdown(func() { close(ended) })
	url, stop := start(t, s)
	answer := make(chan string, 1)
	go func() {
		_, body := get(t, url)
		answer <- body
	}()
	<-entered
	go func() { // the answer is held back until the server is shutting down
		<-ended
		close(leave)
	}()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if body := <-answer; body != "done" {
		t.Errorf("answer is %q", body)
	}
}

func TestRequestThatNeverEndsIsCutOffAndWaitedFor(t *testing.T) {
	entered := make(chan struct{})
	left := false // the race detector sees whether Serve has waited
	s := listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		left = true
	}))
	s.grace = time.Millisecond
	url, stop := start(t, s)
	failed := make(chan error, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		answer, err := client.Get(url)
		if err == nil {
			err = answer.Body.Close()
		}
		failed <- err
	}()
	<-entered
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !left {
		t.Error("Serve returned before the handler did")
	}
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
}
