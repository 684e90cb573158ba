package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/walherald/walherald/config"
)

func TestHealthIsAskedOfWhereItIsServed(t *testing.T) {
	for _, test := range []struct {
		address string
		port    int
		want    string
	}{
		{"127.0.0.1:8084", 0, "127.0.0.1:8084"},
		{"127.0.0.1:8084", 8080, "127.0.0.1:8080"},
		{"off", 8080, "127.0.0.1:8080"},
		{":8084", 0, "127.0.0.1:8084"},
		{"0.0.0.0:8084", 0, "127.0.0.1:8084"},
		{"[::]:8084", 0, "[::1]:8084"},
		{"10.0.0.7:8084", 0, "10.0.0.7:8084"},
		{"off", 0, ""},
	} {
		cfg := new(config.Config)
		cfg.Monitoring.Address, cfg.Listener.ServerPort = test.address, test.port
		got, err := healthAddr(cfg)
		if got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "monitoring.address or listener.serverPort") {
			t.Errorf("%+v: the error does not say what to set: %v", test, err)
		}
	}
}

func TestHealthcheckEndsAsTheAnswerIs(t *testing.T) {
	var status atomic.Int32
	status.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(int(status.Load()))
		fmt.Fprintln(w, `{"alive":false}`)
	}))
	defer server.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	path := filepath.Join(t.TempDir(), "config.yml")
	content := "listener: {slotName: wh}\ndatabase: {host: h, name: n, user: u}\npublisher: {type: discard}\n" +
		"monitoring: {address: '" + server.Listener.Addr().String() + "'}\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	expect := func(want int, words ...string) {
		t.Helper()
		code, stdout, stderr := exitOf(t, "healthcheck", "-c", path)
		if code != want || stdout != "" || !containsAll(stderr, words...) || (want == exitOK && stderr != "") {
			t.Errorf("exit code %d, want %d; printed %q and %q, want %q", code, want, stdout, stderr, words)
		}
	}
	expect(exitOK)
	// The service goes on by the configuration that it was started with.
	if err := os.WriteFile(path, []byte(content+"listner: {}\ntags: ${nothing}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(exitOK)
	status.Store(http.StatusServiceUnavailable)
	expect(exitError, "503", `{"alive":false}`)
	server.Close()
	expect(exitError, "connection refused")
}
