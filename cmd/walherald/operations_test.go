package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/metrics/console"
)

// apiToken is what opens the API of a daemon that newOperated makes.
const apiToken = "a-token-of-enough-length"

// newOperated is newDaemon with everything at one address, the API among it.
func newOperated(t *testing.T, source, rest string) *daemon {
	t.Helper()
	port := freePort(t)
	return daemonOf(t, port, fmt.Sprintf("%smonitoring: {address: '127.0.0.1:%d', token: %s}\n%s", source, port, apiToken, rest))
}

// configuration returns what the file says now.
func (d *daemon) configuration() string {
	d.t.Helper()
	text, err := os.ReadFile(d.config)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// ask is one request to the API. The header is given as name and value in turn.
func (d *daemon) ask(method, path, body string, header ...string) (code int, answer string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(bounded(d.t), method, fmt.Sprintf("http://127.0.0.1:%d%s", d.port, path), strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// want asks, and fails unless the answer has that code and holds the words.
func (d *daemon) want(code int, words []string, method, path, body string, header ...string) (answer string) {
	d.t.Helper()
	got, answer := d.ask(method, path, body, header...)
	if got != code || !containsAll(answer, words...) {
		d.t.Errorf("%s %s %s answers %d and %q, want %d and %q", method, path, body, got, answer, code, words)
	}
	return answer
}

// bearer is the header that shows the token.
func bearer() []string { return []string{"Authorization", "Bearer " + apiToken} }

// status returns what /status says, whose code must agree with it.
func (d *daemon) status(ctx context.Context) (s console.Status, err error) {
	code, body, err := d.get(ctx, "/status")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("/status answers %q: %w", body, err)
	}
	well := s.State == metrics.StatusReady || s.State == metrics.StatusStandby
	if (code == http.StatusOK) != well || (code == http.StatusServiceUnavailable) == well {
		return s, fmt.Errorf("/status answers %d and %s", code, body)
	}
	return s, nil
}

// awaitStatus waits until /status is as it has to be.
func (d *daemon) awaitStatus(what string, is func(s console.Status) bool) (s console.Status) {
	d.t.Helper()
	eventually(d.t, what, func(ctx context.Context) (done bool, err error) {
		d.mustRun()
		if s, err = d.status(ctx); err != nil {
			return false, err
		}
		if !is(s) {
			return false, fmt.Errorf("/status says %+v", s)
		}
		return true, nil
	})
	return s
}

// The default address is one for the machine: of two processes one has it at most.
func TestDefaultAddressGivesWayWithAWarningWhereItIsTaken(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	warned := 0
	var all []*daemon
	for range 2 {
		db := s.TestDatabase(t)
		port := freePort(t)
		d := daemonOf(t, port, fmt.Sprintf("%s  serverPort: %d\n%s", source(s, db), port, toNATS(broker.URL())))
		d.start()
		d.awaitReady()
		all = append(all, d)
	}
	for _, d := range all {
		d.mustRun()
		for line := range strings.Lines(d.log()) {
			if containsAll(line, "127.0.0.1:8084", "page and API are not served") {
				warned++
				if !containsAll(line, `"level":"WARN"`, "monitoring.address", `\"off\"`) {
					t.Errorf("the warning is %s", line)
				}
			}
		}
	}
	if warned < 1 || warned > 2 { // something else may have the address
		t.Errorf("%d warnings came of two processes that cannot both have the address", warned)
	}
}

func TestAddressThatIsAskedForAndTakenEndsTheStart(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	db := s.TestDatabase(t)
	d := daemonOf(t, 0, fmt.Sprintf("%smonitoring: {address: '%s'}\n%s", source(s, db), taken.Addr(), toNATS(broker.URL())))
	d.start()
	if code := d.exit(); code != exitError {
		t.Errorf("exit code %d", code)
	}
	if !containsAll(d.log(), `"level":"ERROR"`, "monitoring.address: ", taken.Addr().String(), "address already in use") {
		t.Errorf("the log is:\n%s", d.log())
	}
}

// The same text means loopback to one key and all interfaces to the other two.
func TestPortOfThePageThatTheProbesHaveIsNamedWithTheRemedy(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	for key, text := range map[string]string{
		"monitoring.promAddr": "monitoring: {promAddr: ':%[1]d', address: ':%[1]d'}\n",
		"listener.serverPort": "  serverPort: %[1]d\nmonitoring: {address: ':%[1]d'}\n",
	} {
		port := freePort(t)
		d := daemonOf(t, port, source(s, s.TestDatabase(t))+fmt.Sprintf(text, port)+toNATS(broker.URL()))
		d.start()
		if code := d.exit(); code != exitError {
			t.Errorf("exit code %d", code)
		}
		if !containsAll(d.log(), "monitoring.address: ", key+" has the port", fmt.Sprintf("0.0.0.0:%d", port)) {
			t.Errorf("the log is:\n%s", d.log())
		}
	}
}

func TestProfilesAreServedOnlyWhereAskedFor(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	for asked, code := range map[bool]int{false: http.StatusNotFound, true: http.StatusOK} {
		d := newOperated(t, source(s, s.TestDatabase(t)), toNATS(broker.URL()))
		if asked {
			text := strings.Replace(d.configuration(), "monitoring: {", "monitoring: {pprof: true, ", 1)
			if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d.start()
		d.awaitReady()
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline"} {
			d.want(code, nil, http.MethodGet, path, "")
		}
	}
}

func TestLogLevelFollowsTheAPIUntilTheFileIsReadAgain(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	d := newOperated(t, source(s, s.TestDatabase(t)), toNATS(broker.URL())+"logger: {level: info}\n")
	d.start()
	d.awaitReady()
	const path = "/log/level"
	set := func(level string) {
		t.Helper()
		d.want(http.StatusOK, []string{`"level":"` + level + `"`}, http.MethodPut, path, `{"level":"`+level+`"}`, bearer()...)
	}
	is := func(level string) {
		t.Helper()
		d.want(http.StatusOK, []string{`"level":"` + level + `"`, `"configured":"info"`}, http.MethodGet, path, "")
	}
	// Changes of the level and reloads are told as information, so the log itself shows
	// whether it follows.
	told := func(changes, reloads int) {
		t.Helper()
		eventually(t, "the log to tell of reloads", func(context.Context) (bool, error) {
			return strings.Count(d.log(), "is taken over") == reloads, nil
		})
		if n := strings.Count(d.log(), "log level changed"); n != changes {
			t.Errorf("the log tells of %d changes of its level, want %d", n, changes)
		}
	}
	is("info")
	d.want(http.StatusUnauthorized, []string{"monitoring.token"}, http.MethodPut, path, `{"level":"debug"}`)
	is("info")
	set("warn")
	is("warn")
	told(1, 0)
	set("error")
	is("error")
	told(1, 0) // which was too little by then
	d.reload(d.configuration(), reloadsApplied)
	is("info")
	told(1, 1)

	on, off := "/debug/on", "/debug/off"
	d.want(http.StatusUnauthorized, nil, http.MethodPost, on, "")
	d.want(http.StatusForbidden, nil, http.MethodPost, on, "", append(bearer(), "Sec-Fetch-Site", "cross-site")...)
	is("info")
	d.want(http.StatusOK, []string{`"level":"debug"`}, http.MethodPost, on, "", bearer()...)
	is("debug")
	told(2, 1)
	d.want(http.StatusOK, []string{`"level":"info"`}, http.MethodPost, off, "", bearer()...)
	is("info")
	told(3, 1)
}

// addsUp holds the metrics of a process with one output, which is at rest, to be about
// so many committed changes: all of them read, and published or filtered.
func (d *daemon) addsUp(changes float64) {
	d.t.Helper()
	var published, filtered float64
	series := d.scrape()
	for name, v := range series {
		switch {
		case strings.HasPrefix(name, "published_events_total{"):
			published += v
		case strings.HasPrefix(name, "filter_skipped_events_total{"):
			filtered += v
		}
	}
	if read := series[`walherald_received_changes_total{app="walherald"}`]; read != changes || published+filtered != changes {
		d.t.Errorf("%v changes were committed, %v read, %v published and %v filtered", changes, read, published, filtered)
	}
	for name, want := range map[string]float64{
		`walherald_lag_seconds{app="walherald"}`: 0, `walherald_window_bytes{app="walherald"}`: 0,
		`walherald_oldest_unconfirmed_seconds{app="walherald",output="nats"}`: 0,
		`walherald_output_window_events{app="walherald",output="nats"}`:       0, `walherald_output_window_bytes{app="walherald",output="nats"}`: 0,
		`walherald_output_ready{app="walherald",output="nats"}`: 1, `walherald_source_ready{app="walherald"}`: 1,
	} {
		if got, there := series[name]; !there || got != want {
			d.t.Errorf("%s is %v (there: %v), want %v", name, got, there, want)
		}
	}
	// What walherald itself writes to the log while nothing happens, the slot's memory,
	// is told when there is enough of it or after a while.
	eventually(d.t, "hardly any lag at rest, and a slot that is well", func(context.Context) (bool, error) {
		series = d.scrape()
		lag, known := series[`walherald_lag_bytes{app="walherald"}`]
		return known && lag < 1<<10 && series[`walherald_slot_status{app="walherald",status="reserved"}`] == 1, nil
	})
}

// frame returns what the page is told: a stream of events up to the first status.
func (d *daemon) frame() string {
	d.t.Helper()
	ctx, cancel := context.WithCancel(bounded(d.t))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/events", d.port), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	for status := false; ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			d.t.Fatal(err)
		}
		if data, is := strings.CutPrefix(line, "data: "); is && status {
			return data
		}
		status = status || line == "event: status\n"
	}
}
