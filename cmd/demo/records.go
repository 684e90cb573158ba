package main

import (
	"net/http"
	"time"
)

// excuse is for how long after a destination has refused something a notification may
// be parked without having been tried: while the circuit is open (config.yml), and
// some time for a busy machine.
const excuse = 15 * time.Second

// records are what the receiver knows of all requests so far.
type records struct {
	requests   int
	refused    int // answered with 503
	repeated   int // accepted before
	late       int // first accepted after newer ones of their row, as what was parked may
	backward   int // the same, but without an excuse
	signatures int // wrong ones
	strange    int // events that nobody asked for, or that could not be read
	attempts   map[delivery]int
	accepted   map[delivery]bool
	refusedAt  map[string]time.Time // when a destination last refused something
	newest     map[delivery]string  // the newest accepted id by destination and row
	rules      map[string]*count
	endpoints  map[string]*count
}

// delivery is an event, or a row, at a destination.
type delivery struct{ destination, id string }

// count counts requests by their answer.
type count struct {
	Accepted int `json:"accepted"` // the first time
	Refused  int `json:"refused"`
}

func newRecords() records {
	return records{
		attempts: make(map[delivery]int), accepted: make(map[delivery]bool), refusedAt: make(map[string]time.Time),
		newest: make(map[delivery]string), rules: make(map[string]*count), endpoints: make(map[string]*count),
	}
}

// enter decides how a request is answered and takes it into the records.
func (r *records) enter(a *arrival, e *event, fails bool) {
	r.requests++
	d := delivery{a.Destination, a.ID}
	switch {
	case !a.Signed:
		a.Status = http.StatusUnauthorized
		r.signatures++
		return // whoever made it has no id to count by
	case a.err != nil:
		a.Status = http.StatusUnprocessableEntity
		r.strange++
		return
	}
	r.attempts[d]++
	a.Attempt = r.attempts[d]
	rule, endpoint := counted(r.rules, a.Rule), counted(r.endpoints, a.Destination)
	if fails {
		a.Status = http.StatusServiceUnavailable
		r.refused++
		rule.Refused++
		endpoint.Refused++
		r.refusedAt[a.Destination] = a.At
		return
	}
	a.Status = http.StatusNoContent
	if a.Repeat = r.accepted[d]; a.Repeat {
		r.repeated++
		return
	}
	r.accepted[d] = true
	rule.Accepted++
	endpoint.Accepted++
	r.order(a, e)
}

// order looks whether a newer event of the row was accepted before. Ids sort as the
// changes do. What was parked comes when it comes, and nothing is parked unless the
// destination refused it or, shortly before, something else.
func (r *records) order(a *arrival, e *event) {
	at := delivery{a.Destination, e.change().row}
	if a.ID > r.newest[at] {
		r.newest[at] = a.ID
		return
	}
	if r.refusedAt[a.Destination].Add(excuse).After(e.CommitTime) {
		a.Late = true
		r.late++
		return
	}
	r.backward++
}

// counted returns the count of this name.
func counted(counts map[string]*count, name string) *count {
	c := counts[name]
	if c == nil {
		c = new(count)
		counts[name] = c
	}
	return c
}
