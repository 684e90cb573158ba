package metrics

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ProbeHandler answers GET /healthz with a [LivenessReport] and GET /ready with
// a [Report], both as JSON: status 200 if all is well, else 503. GET /ready?standby=ok
// asks whether the process works or could at once, when the one that reads the slot
// ends: for it a standby is well too.
func ProbeHandler(h *Health) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		report := h.Alive()
		writeProbe(w, report.Alive, report)
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		report := h.Report()
		standby := report.Status == StatusStandby && r.URL.Query().Get("standby") == "ok"
		writeProbe(w, report.Ready || standby, report)
	})
	return mux
}

func writeProbe(w http.ResponseWriter, ok bool, report any) {
	body, err := json.Marshal(report)
	if err != nil {
		http.Error(w, "encode report: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}

// MetricsHandler answers GET /metrics with what g gathers, in the format the
// client asks for.
func MetricsHandler(g prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	return mux
}
