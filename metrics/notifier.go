package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcome is how a notification ended. It is a type of its own so that the label
// stays bounded.
type Outcome string

// The outcomes.
const (
	// OutcomeDelivered: the destination accepted it.
	OutcomeDelivered Outcome = "delivered"
	// OutcomeParked: it was given up in line and is durable in the parking.
	OutcomeParked Outcome = "parked"
	// OutcomeDropped: it was given up, by the configuration's wish.
	OutcomeDropped Outcome = "dropped"
	// OutcomeCoalesced: a later one of its key took its place.
	OutcomeCoalesced Outcome = "coalesced"
	// OutcomeRedelivered: it had been parked, and the destination accepted it.
	OutcomeRedelivered Outcome = "redelivered"
	// OutcomeExpired: it had been parked for longer than the configuration allows.
	OutcomeExpired Outcome = "expired"
)

// notifierVecs are the collectors that have a destination label.
type notifierVecs struct {
	matches  *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	attempts *prometheus.CounterVec
	request  *prometheus.HistogramVec
	open     *prometheus.GaugeVec
	parked   *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
}

func newNotifierVecs(f factory) notifierVecs {
	return notifierVecs{
		matches:  f.counters(namespace, "rule_matches_total", "Events that a rule selected for a destination.", "destination", "rule"),
		outcomes: f.counters(namespace, "notifications_total", "Notifications by how they ended.", "destination", "rule", "outcome"),
		attempts: f.counters(namespace, "notification_attempts_total",
			"Requests to a destination: ok, failed (may succeed later) or refused.", "destination", "result"),
		request: f.histograms("notification_request_seconds", "Time of a request to a destination.", secondsBuckets, "destination"),
		open:    f.gauges("notification_circuit_open", "1 while the destination is taken for down and nothing is sent.", "destination"),
		parked:  f.gauges("parked_notifications", "Notifications in the parking.", "destination"),
		oldest:  f.gauges("parked_oldest_seconds", "Age of the oldest notification in the parking.", "destination"),
	}
}

// Destination measures one destination of notifications. Its methods are safe for
// concurrent use; those of a nil *Destination do nothing.
type Destination struct {
	name   string
	vecs   *notifierVecs
	parked prometheus.Counter // of all destinations, as problems
	// Of the requests, by how they ended.
	ok, failed, refused prometheus.Counter
	request             prometheus.Observer
	open                prometheus.Gauge
}

// Destination returns the measures of the destination with that name. From then on
// its series exist, at zero.
func (m *Metrics) Destination(name string) *Destination {
	if m == nil {
		return nil
	}
	name = label(name)
	v := &m.notifierVecs
	return &Destination{
		name: name, vecs: v, parked: m.problems.WithLabelValues(string(ProblemParked)),
		ok: v.attempts.WithLabelValues(name, "ok"), failed: v.attempts.WithLabelValues(name, "failed"),
		refused: v.attempts.WithLabelValues(name, "refused"),
		request: v.request.WithLabelValues(name), open: v.open.WithLabelValues(name),
	}
}

// MatchedCounter returns the counter of the events that a rule selected for the
// destination; from then on its series exists, and so do those of the usual ends. It is
// never nil.
func (d *Destination) MatchedCounter(rule string) prometheus.Counter {
	if d == nil {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "rule_matches_total"})
	}
	for _, o := range []Outcome{OutcomeDelivered, OutcomeParked} {
		d.vecs.outcomes.WithLabelValues(d.name, label(rule), string(o))
	}
	return d.vecs.matches.WithLabelValues(d.name, label(rule))
}

// RuleTotals are what became of the events of a rule at a destination.
type RuleTotals struct {
	Matched, Delivered, Parked, Other float64
}

// RuleTotals returns what became of the events of a rule.
func (d *Destination) RuleTotals(rule string) RuleTotals {
	if d == nil {
		return RuleTotals{}
	}
	ended := func(o Outcome) float64 { return Value(d.vecs.outcomes.WithLabelValues(d.name, label(rule), string(o))) }
	return RuleTotals{
		Matched: Value(d.MatchedCounter(rule)), Delivered: ended(OutcomeDelivered), Parked: ended(OutcomeParked),
		Other: ended(OutcomeDropped) + ended(OutcomeCoalesced),
	}
}

// Stock is what is parked of a destination, and whether it is taken for down.
type Stock struct {
	Parked, OldestSeconds float64
	CircuitOpen           bool
}

// Stock returns what was shown last.
func (d *Destination) Stock() Stock {
	if d == nil {
		return Stock{}
	}
	return Stock{
		Value(d.vecs.parked.WithLabelValues(d.name)), Value(d.vecs.oldest.WithLabelValues(d.name)), Value(d.open) == 1,
	}
}

// Ended counts n notifications of a rule, n >= 0, that ended in one way.
func (d *Destination) Ended(rule string, o Outcome, n int) {
	if d == nil {
		return
	}
	d.vecs.outcomes.WithLabelValues(d.name, label(rule), string(o)).Add(float64(n))
	if o == OutcomeParked {
		d.parked.Add(float64(n))
	}
}

// Request measures one request: the time it took, and whether it was accepted
// (err is nil), refused for good or may succeed later.
func (d *Destination) Request(took time.Duration, err error, refused bool) {
	if d == nil {
		return
	}
	d.request.Observe(took.Seconds())
	switch {
	case err == nil:
		d.ok.Inc()
	case refused:
		d.refused.Inc()
	default:
		d.failed.Inc()
	}
}

// Open shows whether the destination is taken for down.
func (d *Destination) Open(open bool) {
	if d == nil {
		return
	}
	value := 0.0
	if open {
		value = 1
	}
	d.open.Set(value)
}

// Parked shows how many notifications of the destination are parked, and how old
// the oldest of them is.
func (d *Destination) Parked(n int, oldest time.Duration) {
	if d != nil {
		d.vecs.parked.WithLabelValues(d.name).Set(float64(n))
		d.vecs.oldest.WithLabelValues(d.name).Set(max(oldest, 0).Seconds())
	}
}
