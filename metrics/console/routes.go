package console

import (
	"embed"
	"net/http"
	"net/http/pprof"
	"path"
	"strings"

	"github.com/walherald/walherald/metrics"
)

// route is one endpoint.
type route struct {
	method, path string
	handle       http.HandlerFunc
	// token is whether a request has to show the token.
	token bool
	// profile marks what is there only with Options.Pprof.
	profile bool
}

// routes are all endpoints. openapi.yaml describes each of them and no other.
func (c *Console) routes() []route {
	probes := metrics.ProbeHandler(c.o.Health).ServeHTTP
	all := []route{
		{method: "GET", path: "/", handle: asset("page/index.html")},
		{method: "GET", path: "/openapi.yaml", handle: asset("openapi.yaml")},
		{method: "GET", path: "/events", handle: c.events},
		{method: "GET", path: "/status", handle: c.statusAnswer},
		{method: "GET", path: "/stats", handle: c.statsAnswer},
		{method: "GET", path: "/health", handle: c.healthAnswer},
		{method: "GET", path: "/healthz", handle: probes},
		{method: "GET", path: "/ready", handle: probes},
		{method: "GET", path: "/metrics", handle: metrics.MetricsHandler(c.o.Gatherer).ServeHTTP},
		{method: "GET", path: "/log/level", handle: c.levelAnswer},
		{method: "PUT", path: "/log/level", handle: c.setLevel, token: true},
		{method: "POST", path: "/debug/on", handle: c.debugOn, token: true},
		{method: "GET", path: "/debug/on", handle: c.debugOn, token: true},
		{method: "POST", path: "/debug/off", handle: c.debugOff, token: true},
		{method: "GET", path: "/debug/off", handle: c.debugOff, token: true},
		{method: "GET", path: "/parked", handle: c.parked, token: true},
		{method: "POST", path: "/parked/retry", handle: c.retryParked, token: true},
		{method: "POST", path: "/parked/drop", handle: c.dropParked, token: true},
		{method: "GET", path: "/debug/pprof/", handle: pprof.Index, profile: true},
		{method: "GET", path: "/debug/pprof/{profile}", handle: pprof.Index, profile: true},
		{method: "GET", path: "/debug/pprof/cmdline", handle: pprof.Cmdline, profile: true},
		{method: "GET", path: "/debug/pprof/profile", handle: pprof.Profile, profile: true},
		{method: "GET", path: "/debug/pprof/symbol", handle: pprof.Symbol, profile: true},
		{method: "POST", path: "/debug/pprof/symbol", handle: pprof.Symbol, profile: true},
		{method: "GET", path: "/debug/pprof/trace", handle: pprof.Trace, profile: true},
	}
	for _, name := range assets() {
		all = append(all, route{method: "GET", path: "/assets/" + name, handle: asset("page/" + name)})
	}
	return all
}

func (c *Console) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range c.routes() {
		if r.profile && !c.o.Pprof {
			continue
		}
		handle := http.Handler(r.handle)
		if r.token {
			handle = c.withToken(handle)
		}
		mux.Handle(r.method+" "+exactly(r.path), handle)
	}
	return mux
}

// exactly keeps the path of a folder from standing for all paths below it.
func exactly(path string) string {
	if strings.HasSuffix(path, "/") {
		return path + "{$}"
	}
	return path
}

//go:embed openapi.yaml page
var files embed.FS

// types are the media types of the files: what the system says of endings may differ
// from one machine to the next.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".yaml": "application/yaml",
}

// assets are the names of the files that the page loads.
func assets() []string {
	entries, err := files.ReadDir("page")
	if err != nil {
		panic("console: the page is not embedded: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "index.html" {
			names = append(names, e.Name())
		}
	}
	return names
}

// asset serves an embedded file.
func asset(name string) http.HandlerFunc {
	text, err := files.ReadFile(name)
	if err != nil {
		panic("console: " + name + " is not embedded: " + err.Error())
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", types[path.Ext(name)])
		_, _ = w.Write(text) // a client that is gone needs no answer
	}
}
