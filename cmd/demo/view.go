package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"time"
)

//go:embed view
var viewFolder embed.FS

// viewFiles serves the page and what belongs to it. It runs nothing and asks for
// nothing that is not from here.
func viewFiles() http.Handler {
	files, err := fs.Sub(viewFolder, "view")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	serve := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		serve.ServeHTTP(w, req)
	})
}

// Times of the stream to a page.
const (
	viewPause = 200 * time.Millisecond // between two views, so that a flood stays readable
	viewTick  = time.Second            // without anything new
)

// view is what the page is told.
type view struct {
	Page       string         `json:"page"` // walherald's own
	Requests   int            `json:"requests"`
	Accepted   int            `json:"accepted"`
	Refused    int            `json:"refused"`
	Repeated   int            `json:"repeated"`
	Late       int            `json:"late"`
	Backward   int            `json:"backward"`
	Signatures int            `json:"signatures"`
	Strange    int            `json:"strange"`
	Rules      []viewCount    `json:"rules"`
	Endpoints  []viewEndpoint `json:"endpoints"`
	// Arrivals are those since the last view, oldest first.
	Arrivals []arrival `json:"arrivals"`
}

type viewCount struct {
	Name string `json:"name"`
	count
}

type viewEndpoint struct {
	viewCount
	Fails bool `json:"fails"` // now
}

// endpoints lists the destinations of config.yml.
var endpoints = []string{"crm", "warehouse", "courier"}

// view returns what has changed after the request of number seen, and what is closed
// when something arrives.
func (r *receiver) view(seen int, now time.Time) (v view, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := &r.records
	v = view{
		Page: r.page, Requests: rec.requests, Accepted: len(rec.accepted), Refused: rec.refused, Repeated: rec.repeated,
		Late: rec.late, Backward: rec.backward, Signatures: rec.signatures, Strange: rec.strange,
	}
	for _, name := range stories {
		v.Rules = append(v.Rules, viewCount{name, *counted(rec.rules, name)})
	}
	for _, name := range endpoints {
		v.Endpoints = append(v.Endpoints, viewEndpoint{viewCount{name, *counted(rec.endpoints, name)}, r.fails.at(name, r.open, now)})
	}
	from := slices.IndexFunc(r.recent, func(a arrival) bool { return a.N > seen })
	if from >= 0 {
		v.Arrivals = slices.Clone(r.recent[from:])
	}
	return v, r.changed
}

// stream sends views to a page until it goes or the receiver ends (HTML standard,
// "Server-sent events"). The id of each is the number of the last request in it.
func (r *receiver) stream(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	seen, _ := strconv.Atoi(req.Header.Get("Last-Event-ID")) // 0 for a page that is new
	out := http.NewResponseController(w)
	tick := time.NewTicker(viewTick)
	defer tick.Stop()
	for {
		v, changed := r.view(seen, time.Now())
		seen = v.Requests
		data, err := json.Marshal(v)
		if err != nil {
			return // a payload that is no JSON is not kept
		}
		if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", seen, data); err != nil || out.Flush() != nil {
			return
		}
		if !wait(req, time.After(viewPause), nil) || !wait(req, tick.C, changed) {
			return
		}
	}
}

// wait waits for one of two; it returns false once the request is over.
func wait(req *http.Request, a <-chan time.Time, b <-chan struct{}) bool {
	select {
	case <-a:
	case <-b:
	case <-req.Context().Done():
		return false
	}
	return true
}
