package console

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/metrics"
)

// afterTests ends what tests share before goroutines are counted.
type afterTests struct{ *testing.M }

func (a afterTests) Run() int {
	code := a.M.Run()
	closeBrowser()
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(afterTests{m}) }

// limit bounds every wait for something that is certain to happen.
const limit = 30 * time.Second

const secret = "correct-horse-battery"

// stage is a source of statuses that a test writes.
type stage struct {
	mu     sync.Mutex
	status Status
}

// set changes what is told from now on. The change replaces pointers and does not write
// through them.
func (s *stage) set(change func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = clone(s.status)
	change(&s.status)
}

func (s *stage) now() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := clone(s.status)
	told.At = time.Now().UTC()
	return told
}

func clone(s Status) Status {
	s.Outputs, s.Rules, s.Events = slices.Clone(s.Outputs), slices.Clone(s.Rules), slices.Clone(s.Events)
	return s
}

// lot is a parking in memory.
type lot struct {
	mu     sync.Mutex
	parked []Parked
	fail   error
	calls  []string // "retry" or "drop", with what was selected
}

func (l *lot) List(_ context.Context, f ParkedFilter, limit int) ([]Parked, int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := slices.DeleteFunc(slices.Clone(l.parked), func(p Parked) bool { return !f.selects(p) })
	return found[:min(limit, len(found))], len(found), l.fail
}

func (l *lot) Retry(_ context.Context, f ParkedFilter) (ParkedResult, error) {
	return l.take("retry", f)
}

func (l *lot) Drop(_ context.Context, f ParkedFilter) (ParkedResult, error) {
	return l.take("drop", f)
}

func (l *lot) take(what string, f ParkedFilter) (ParkedResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, strings.Join(append([]string{what, f.Destination}, f.IDs...), " "))
	before := len(l.parked)
	l.parked = slices.DeleteFunc(l.parked, f.selects)
	return ParkedResult{Done: before - len(l.parked)}, l.fail
}

func (l *lot) called() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.calls)
}

func (f ParkedFilter) selects(p Parked) bool {
	return (f.Destination == "" || f.Destination == p.Destination) &&
		(len(f.IDs) == 0 || slices.Contains(f.IDs, p.ID))
}

// safeBuffer is a log that may be read while it is written.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// theatre is a Console with everything around it.
type theatre struct {
	*Console
	stage  *stage
	lot    *lot
	health *metrics.Health
	log    *safeBuffer
}

// newTheatre makes a Console with token, parking and profiles, whose status is that of
// a walherald that works. It samples every 20 ms.
func newTheatre(change ...func(*Options)) *theatre {
	level := new(slog.LevelVar)
	th := &theatre{
		stage: &stage{status: working()}, lot: &lot{parked: parkedOnes()},
		health: metrics.NewHealth(time.Now), log: new(safeBuffer),
	}
	th.health.Component("postgres").Ready()
	th.health.Liveness("reader", time.Hour)
	reg := prometheus.NewRegistry()
	metrics.New(reg, "test").Build("1.2.3")
	o := Options{
		Status: th.stage.now, Health: th.health, Gatherer: reg,
		Level: level, BaseLevel: func() slog.Level { return slog.LevelInfo },
		Token: secret, Pprof: true, Parking: th.lot,
		Log: slog.New(slog.NewTextHandler(th.log, &slog.HandlerOptions{Level: level})),
	}
	for _, f := range change {
		f(&o)
	}
	th.Console = New(o)
	th.every = 20 * time.Millisecond
	return th
}

// run samples until the test ends.
func (th *theatre) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { th.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// request is what a test asks for; what is empty is left out.
type request struct {
	method, path, body string
	header             map[string]string
}

// withToken shows the right token, and that the body is JSON.
func withToken(method, path, body string) request {
	return request{method, path, body, map[string]string{
		"Authorization": "Bearer " + secret, "Content-Type": "application/json",
	}}
}

// ask returns the answer, which it holds against the description.
func (th *theatre) ask(t *testing.T, r request) *httptest.ResponseRecorder {
	t.Helper()
	in := httptest.NewRequest(r.method, "http://localhost"+r.path, strings.NewReader(r.body))
	for name, value := range r.header {
		in.Header.Set(name, value)
	}
	if host := r.header["Host"]; host != "" {
		in.Host = host
	}
	w := httptest.NewRecorder()
	th.Handler().ServeHTTP(w, in)
	described(t, r, w)
	return w
}

// want asks and fails unless the answer has that status and holds that text.
func (th *theatre) want(t *testing.T, r request, code int, text string) *httptest.ResponseRecorder {
	t.Helper()
	w := th.ask(t, r)
	if w.Code != code || !strings.Contains(w.Body.String(), text) {
		t.Errorf("%s %s: status %d and %q, want %d and %q", r.method, r.path, w.Code, w.Body, code, text)
	}
	return w
}

// serve serves over the network as the service does.
func (th *theatre) serve(t *testing.T) (url string) {
	t.Helper()
	server, err := metrics.Listen("127.0.0.1:0", th.Handler())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); serving.Wait() })
	return "http://" + server.Addr().String()
}

// get asks on a connection of its own.
func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: limit}
	a, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(text)
}
