package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Bounds of the receiver.
const (
	maxBody  = 1 << 20
	keptSeen = 300 // requests for the page
)

// arrival is one request that the receiver has answered, as its page shows it.
type arrival struct {
	N           int             `json:"n"` // from 1, in the order of arrival
	At          time.Time       `json:"at"`
	Destination string          `json:"destination"`
	ID          string          `json:"id"` // webhook-id
	Signed      bool            `json:"signed"`
	Rule        string          `json:"rule"`
	Words       string          `json:"words"`
	Status      int             `json:"status"`
	Attempt     int             `json:"attempt"`
	Repeat      bool            `json:"repeat"` // it had been accepted before
	Late        bool            `json:"late"`   // it came after newer ones of its row, as it may
	After       float64         `json:"after"`  // seconds since the commit
	Payload     json.RawMessage `json:"payload,omitempty"`
	err         error
}

// note says in a few words what is remarkable.
func (a *arrival) note() string {
	switch {
	case a.err != nil:
		return a.err.Error()
	case a.Repeat:
		return "repeat"
	case a.Late:
		return "after newer ones of its row"
	}
	return time.Duration(a.After * float64(time.Second)).Round(100 * time.Microsecond).String()
}

// receiver takes webhooks at /hooks/ and the name of a destination, and shows them
// on its page. It keeps which ids it has accepted, for the books.
type receiver struct {
	hook     *standardwebhooks.Webhook
	fails    failures
	show     func(arrival)
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	page    string     // the URL of walherald's own page
	open    time.Time  // when the shop opened; zero before
	closed  bool       // the books are; show is called no more
	records records
	recent  []arrival     // the last keptSeen
	changed chan struct{} // closed and replaced when something has arrived
}

// startReceiver starts one on a free port of loopback. show is called for each
// request before it is answered, by several goroutines.
func startReceiver(secret string, fails failures, show func(arrival)) (*receiver, error) {
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, fmt.Errorf("make receiver: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start receiver: %w", err)
	}
	r := &receiver{hook: hook, fails: fails, show: show, listener: l, records: newRecords(), changed: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	r.server = &http.Server{
		Handler: r.handler(), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	r.server.RegisterOnShutdown(stop) // ends what pages are listening to
	r.serving.Go(func() {
		defer stop()
		_ = r.server.Serve(l) // ends when it is shut down; if not, the books tell
	})
	return r, nil
}

// close answers what is under way and ends the pages.
func (r *receiver) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if r.server.Shutdown(ctx) != nil {
		_ = r.server.Close() // whoever still reads has read enough
	}
	r.serving.Wait()
}

func (r *receiver) url() string { return "http://" + r.listener.Addr().String() }

// linkTo tells the receiver's page where walherald's is.
func (r *receiver) linkTo(page string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.page = page
}

// shopOpens starts the time of the failures.
func (r *receiver) shopOpens() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = time.Now()
}

// books returns the records, with copies of what the books look up. What comes later
// is not shown any more, lest it stand in the middle of them.
func (r *receiver) books() records {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	rec := r.records
	rec.attempts, rec.accepted = maps.Clone(rec.attempts), maps.Clone(rec.accepted)
	return rec
}

func (r *receiver) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hooks/{destination}", r.take)
	mux.HandleFunc("GET /events", r.stream)
	mux.Handle("GET /", viewFiles())
	return mux
}

// take takes a webhook.
func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	status := r.enter(time.Now(), req.PathValue("destination"), req.Header, body)
	w.WriteHeader(status)
}

// errSignature is the error of requests that somebody else may have made.
var errSignature = errors.New("the signature is wrong")

// enter enters a request and returns the status of its answer.
func (r *receiver) enter(at time.Time, destination string, header http.Header, body []byte) int {
	a := arrival{At: at, Destination: destination, ID: header.Get("webhook-id")}
	var e event
	a.Signed = r.hook.Verify(body, header) == nil
	if !a.Signed {
		a.err = errSignature
	} else if err := e.read(a.ID, body); err != nil {
		a.err = err
	} else {
		a.Rule, a.Words, a.err = e.story()
		a.After = at.Sub(e.CommitTime).Seconds()
		a.Payload = body
	}
	if r.record(&a, &e) {
		r.show(a) // a screen that stands still must not keep others from being recorded
	}
	return a.Status
}

// record decides how a request is answered, and keeps it. It reports whether it is
// to be shown, too.
func (r *receiver) record(a *arrival, e *event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.N = r.records.requests + 1
	r.records.enter(a, e, r.fails.at(a.Destination, r.open, a.At))
	r.recent = append(r.recent, *a)
	if n := len(r.recent) - keptSeen; n > 0 {
		r.recent = slices.Delete(r.recent, 0, n)
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return !r.closed
}

// read reads the body of a webhook with this id.
func (e *event) read(id string, body []byte) error {
	if err := json.Unmarshal(body, e); err != nil {
		return errors.New("the body is no event")
	}
	if e.ID != id {
		return errors.New("webhook-id is not the event's")
	}
	return nil
}
