package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/pgserver/child"
	"github.com/walherald/walherald/metrics"
)

// daemon is the binary with a configuration. It can be started again and again.
type daemon struct {
	t      *testing.T
	config string // path
	logs   string // path; all starts share it
	port   int    // of probes and metrics
	proc   *child.Process
}

// source is the configuration's part for a database of s, whose slot has the
// database's name. A position beyond the last commit, to which nothing belongs
// that is delivered, is told by the heartbeat alone.
func source(s *pgserver.Server, database string) string {
	return fmt.Sprintf("database: {host: %s, port: %d, name: %s, user: %s}\nlistener:\n  heartbeatInterval: 1s\n  slotName: %s\n",
		s.Host(), s.Port(), database, s.User(), database)
}

// toNATS is the configuration's part for a broker.
func toNATS(url string) string {
	return "publisher: {type: nats, topic: cdc, address: '" + url + "'}\n"
}

// newDaemon writes a configuration, which ends with the settings of listener as
// source leaves them, and adds a port for probes and metrics.
func newDaemon(t *testing.T, source, rest string) *daemon {
	t.Helper()
	port := freePort(t)
	return daemonOf(t, port, fmt.Sprintf("%s  serverPort: %d\nmonitoring: {promAddr: ':%d'}\n%s", source, port, port, rest))
}

// daemonOf takes a whole configuration that names the port.
func daemonOf(t *testing.T, port int, configuration string) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{t: t, config: filepath.Join(dir, "config.yml"), logs: filepath.Join(dir, "log"), port: port}
	if err := os.WriteFile(d.config, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// close ends the process with the test.
func (d *daemon) close() {
	if d.proc != nil {
		if err := d.proc.Kill(); err != nil {
			d.t.Error(err)
		}
		if strings.Contains(d.log(), "DATA RACE") {
			d.t.Error("the process has a data race")
		}
	}
	if d.t.Failed() {
		logs := d.log()
		d.t.Logf("the process's log ends:\n%s", logs[max(0, len(logs)-8<<10):])
	}
}

// start starts the binary.
func (d *daemon) start() {
	d.t.Helper()
	logs, err := os.OpenFile(d.logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = logs.Close() }()
	cmd := exec.Command(binary, "--config", d.config)
	cmd.Stdout, cmd.Stderr = logs, logs
	if d.proc, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
}

// log returns what all starts have printed.
func (d *daemon) log() string {
	logs, err := os.ReadFile(d.logs)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
	return string(logs)
}

// mustRun fails the test if the process has ended by itself.
func (d *daemon) mustRun() {
	d.t.Helper()
	if !d.proc.Running() {
		d.t.Fatalf("the process has ended by itself: %v", d.proc.Wait(bounded(d.t)))
	}
}

// kill kills the process, which must be running.
func (d *daemon) kill() {
	d.t.Helper()
	d.mustRun()
	if err := d.proc.Kill(); err != nil {
		d.t.Fatal(err)
	}
}

// exit waits until the process has ended and returns its exit code.
func (d *daemon) exit() int {
	d.t.Helper()
	err := d.proc.Wait(bounded(d.t))
	var ended *exec.ExitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ended):
		return ended.ExitCode()
	}
	d.t.Fatal(err)
	return 0
}

// get asks the process over HTTP.
func (d *daemon) get(ctx context.Context, path string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", d.port, path), nil)
	if err != nil {
		return 0, nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// report returns the answer of /ready, whose status must agree with it.
func (d *daemon) report(ctx context.Context) (report metrics.Report, err error) {
	status, body, err := d.get(ctx, "/ready")
	if err != nil {
		return report, err
	}
	if err := json.Unmarshal(body, &report); err != nil {
		return report, fmt.Errorf("/ready answers %q: %w", body, err)
	}
	if (status == http.StatusOK) != report.Ready || (status == http.StatusServiceUnavailable) == report.Ready {
		return report, fmt.Errorf("/ready answers %d and %s", status, body)
	}
	return report, nil
}

// awaitReady waits until /ready says so.
func (d *daemon) awaitReady() {
	d.t.Helper()
	eventually(d.t, "the process to be ready", func(ctx context.Context) (bool, error) {
		d.mustRun()
		report, err := d.report(ctx)
		return report.Ready, err
	})
}

// awaitBlocked waits until /ready names the component as blocked for a reason
// that holds the words, and returns what it says of it.
func (d *daemon) awaitBlocked(name string, words ...string) (blocked metrics.ComponentReport) {
	d.t.Helper()
	eventually(d.t, name+" to be blocked", func(ctx context.Context) (bool, error) {
		d.mustRun()
		report, err := d.report(ctx)
		for _, c := range report.Components {
			if c.Name == name && !c.Ready && containsAll(c.Reason, words...) {
				blocked = c
				return true, err
			}
		}
		return false, errors.Join(err, fmt.Errorf("/ready says %+v", report))
	})
	return blocked
}

func containsAll(s string, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}
