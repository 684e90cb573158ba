package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/walherald/walherald/internal/pgserver"
)

// sentryReceiver takes envelopes as Sentry does and keeps the events in them.
type sentryReceiver struct {
	dsn string

	mu     sync.Mutex
	events []sentryEvent
}

type sentryEvent struct {
	EventID     string `json:"event_id"`
	Message     string
	Level       string
	Release     string
	Environment string
	Tags        map[string]string
	Contexts    struct {
		Attributes map[string]any
	}
	Exception []struct {
		Type, Value string
		Stacktrace  struct {
			Frames []struct{ Function string }
		}
	}
	raw string
}

func receiveSentry(t *testing.T) *sentryReceiver {
	t.Helper()
	r := new(sentryReceiver)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.dsn = strings.Replace(server.URL, "://", "://hunter2@", 1) + "/42"
	return r
}

// ServeHTTP implements http.Handler. An envelope is lines of JSON: its own header,
// then a header and a body for each item.
func (r *sentryReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/api/42/envelope/" || !strings.Contains(req.Header.Get("X-Sentry-Auth"), "sentry_key=hunter2") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	lines := bufio.NewScanner(req.Body)
	lines.Buffer(nil, 1<<20)
	lines.Scan() // the envelope's own header
	for lines.Scan() {
		var item struct{ Type string }
		if json.Unmarshal(lines.Bytes(), &item) != nil || !lines.Scan() || item.Type != "event" {
			continue
		}
		e := sentryEvent{raw: lines.Text()}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		r.events = append(r.events, e)
		r.mu.Unlock()
	}
}

// only returns the one event that must have arrived.
func (r *sentryReceiver) only(t *testing.T) sentryEvent {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) != 1 {
		t.Fatalf("%d events arrived, want 1: %+v", len(r.events), r.events)
	}
	e := r.events[0]
	if e.Release != "walherald@devel" || e.Environment != "staging" || strings.Contains(e.raw, "hunter2") {
		t.Errorf("the event is %s", e.raw)
	}
	return e
}

func (r *sentryReceiver) monitoring() string {
	return fmt.Sprintf("monitoring: {sentryDSN: '%s', environment: staging, address: 'off'}\n", r.dsn)
}

func TestBrokenConfigurationReachesSentryBeforeTheEnd(t *testing.T) {
	for name, broken := range map[string]string{
		"unknown key":   "publisher: {type: discard}\nlistners: {}\n",
		"missing value": "publisher: {type: nats}\n",
	} {
		t.Run(name, func(t *testing.T) {
			to := receiveSentry(t)
			daemonOf(t, 0, "database: {host: h, name: n, user: u}\nlistener: {slotName: wh}\n"+to.monitoring()+broken).ended(exitError, "config.yml")
			e := to.only(t)
			reason, _ := e.Contexts.Attributes["error"].(string)
			if e.Message != "walherald does not start because of its configuration" || !strings.Contains(reason, "config.yml") || e.Level != "error" {
				t.Errorf("the event is %s", e.raw)
			}
		})
	}
}

func TestBrokenConfigurationIsReportedToTheEnvironmentsSentry(t *testing.T) {
	to := receiveSentry(t)
	t.Setenv("WAL_MONITORING_SENTRYDSN", to.dsn)
	t.Setenv("WAL_MONITORING_ENVIRONMENT", "staging")
	daemonOf(t, 0, "publisher: [\n").ended(exitError, "not valid YAML")
	if e := to.only(t); e.Message != "walherald does not start because of its configuration" {
		t.Errorf("the event is %s", e.raw)
	}
}

func TestRefusedSlotReachesSentryBeforeTheEnd(t *testing.T) {
	s := pgserver.Shared(t)
	db := prepare(t, s)
	execute(t, s.DSN(db), "SELECT pg_create_logical_replication_slot('"+db+"', 'test_decoding')")
	to := receiveSentry(t)
	daemonOf(t, 0, source(s, db)+to.monitoring()+"publisher: {type: discard}\n").ended(exitError, "test_decoding")
	e := to.only(t)
	if reason, _ := e.Contexts.Attributes["error"].(string); e.Message != "walherald stops because of an error" || !strings.Contains(reason, "test_decoding") {
		t.Errorf("the event is %s", e.raw)
	}
	for name, want := range map[string]string{"slot": db, "database": db, "publishers": "discard"} {
		if e.Tags[name] != want {
			t.Errorf("tag %s is %q, want %q", name, e.Tags[name], want)
		}
	}
}

// panicking builds the command with a statement that panics at the beginning of a
// function, and returns its path.
func panicking(t *testing.T, file, function string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), function+" {\n")
	if !found {
		t.Fatalf("%s has no %s", file, function)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		changed: before + function + " {\n\tvar nobody *int\n\t*nobody = 1\n" + after,
		overlay: string(replace),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	built := filepath.Join(dir, "walherald")
	if out, err := exec.CommandContext(bounded(t), "go", "build", "-buildvcs=false", "-overlay", overlay, "-o", built, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return built
}

func TestPanicOfTheServiceReachesSentryAndExitsTwo(t *testing.T) {
	built := panicking(t, "memory.go", "func limitMemory(cfg *config.Config)")
	to := receiveSentry(t)
	path := filepath.Join(t.TempDir(), "config.yml")
	content := "database: {host: h, name: n, user: u}\nlistener: {slotName: wh}\npublisher: {type: discard}\n" + to.monitoring()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(bounded(t), built, "-c", path)
	printed, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("ended with %v, want exit code 2", err)
	}
	if !containsAll(string(printed), "panic: runtime error: invalid memory address", "main.limitMemory(", "memory.go:") {
		t.Errorf("printed:\n%s", printed)
	}
	e := to.only(t)
	if len(e.Exception) != 1 || e.Level != "fatal" || e.Tags["slot"] != "wh" {
		t.Fatalf("the event is %s", e.raw)
	}
	frames := e.Exception[0].Stacktrace.Frames
	if !strings.Contains(e.Exception[0].Value, "invalid memory address") || len(frames) == 0 || frames[len(frames)-1].Function != "limitMemory" {
		t.Errorf("the exception is %+v", e.Exception[0])
	}
}
