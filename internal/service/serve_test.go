package service

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/config"
)

// An embedded server that reads a large store can take longer than a liveness probe
// waits.
func TestProbesAnswerBeforeTheOutputsAreMade(t *testing.T) {
	cfg := config.Default()
	cfg.Monitoring.Address = "127.0.0.1:0"
	reg := prometheus.NewRegistry()
	s := newService(&cfg, Options{Log: slog.New(slog.DiscardHandler)}, reg)
	servers, err := s.listen(reg)
	if err != nil {
		t.Fatal(err)
	}
	serve := s.serve(t.Context(), servers)
	defer serve.stop()
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/ready": http.StatusServiceUnavailable, "/metrics": http.StatusOK} {
		resp, err := http.Get("http://" + servers[0].Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, resp.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
