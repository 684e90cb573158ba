package metrics

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// namespace comes before every name but those kept from wal-listener.
const namespace = "walherald"

// ProblemKind says what is wrong with an event. It is a type of its own so that
// the label stays bounded: a kind is a constant, never a text made on the way.
type ProblemKind string

// The kinds of problems. The first three have the meaning they have in
// wal-listener; all of them start at zero.
const (
	// ProblemParse: a message of the log could not be decoded.
	ProblemParse ProblemKind = "parse"
	// ProblemPublish: an attempt to deliver failed.
	ProblemPublish ProblemKind = "publish"
	// ProblemAck: a confirmed position could not be written down, so the server could
	// not be told it.
	ProblemAck ProblemKind = "ack"
	// ProblemOversize: a message larger than its destination takes was skipped.
	ProblemOversize ProblemKind = "oversize"
	// ProblemTransactionSize: of a transaction, the changes past the largest number
	// allowed were dropped.
	ProblemTransactionSize ProblemKind = "transaction_size"
	// ProblemParked: a notification was given up and parked.
	ProblemParked ProblemKind = "parked"
)

var problemKinds = [...]ProblemKind{
	ProblemParse, ProblemPublish, ProblemAck,
	ProblemOversize, ProblemTransactionSize, ProblemParked,
}

// Metrics counts and measures. Its methods never block and are safe for
// concurrent use; those of a nil *Metrics do nothing.
type Metrics struct {
	published *prometheus.CounterVec
	filtered  *prometheus.CounterVec
	problems  *prometheus.CounterVec

	window       prometheus.Gauge
	windowLimit  prometheus.Gauge
	transactions prometheus.Counter
	changes      prometheus.Counter
	reconnects   prometheus.Counter
	reloads      *prometheus.CounterVec
	buildInfo    *prometheus.GaugeVec

	log  logGauges
	slot slotGauges

	subjects, tables *bounded // of published and filtered

	outputVecs   outputVecs
	notifierVecs notifierVecs

	mu      sync.Mutex
	outputs map[string]*Output // guarded by mu
	refresh []func()           // guarded by mu
}

// New registers all collectors with reg, under the constant label app. Like
// every duplicate registration, a second New with the same reg and app panics.
func New(reg prometheus.Registerer, app string) *Metrics {
	f := factory{promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"app": label(app)}, reg))}
	m := &Metrics{
		published: f.counters("", "published_events_total", "Events published and confirmed.", "subject", "table"),
		filtered:  f.counters("", "filter_skipped_events_total", "Changes dropped by the filter.", "table"),
		problems:  f.counters("", "problematic_events_total", "Events something is wrong with, by kind.", "kind"),

		window:       f.gauge("window_bytes", "Encoded changes held in memory."),
		windowLimit:  f.gauge("window_limit_bytes", "Bound of the encoded changes held in memory."),
		transactions: f.counter("transactions_total", "Commits read from the log."),
		changes:      f.counter("received_changes_total", "Changes read from the log, those that the filter drops among them."),
		reconnects:   f.counter("reconnects_total", "Replication connections that were lost and replaced."),
		reloads:      f.counters(namespace, "reloads_total", "Reloads of the configuration: applied or refused.", "result"),
		buildInfo:    f.gauges("build_info", "Version that is running; always 1.", "version"),

		log:  newLogGauges(f),
		slot: newSlotGauges(f),

		subjects: newBounded(DefaultMaxSeries),
		tables:   newBounded(DefaultMaxSeries),

		outputVecs:   newOutputVecs(f),
		notifierVecs: newNotifierVecs(f),
		outputs:      make(map[string]*Output),
	}
	for _, kind := range problemKinds {
		m.problems.WithLabelValues(string(kind))
	}
	for _, result := range []string{reloadApplied, reloadRefused} {
		m.reloads.WithLabelValues(result)
	}
	return m
}

// PublishedCounter returns the counter of confirmed events of one table on one
// subject; from then on their series exists. It is never nil. Those past the bound of
// series share one, whose labels are [OtherSeries].
func (m *Metrics) PublishedCounter(subject, table string) prometheus.Counter {
	if m == nil {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "published_events_total"})
	}
	if !m.subjects.admits(subject, table) {
		subject, table = OtherSeries, OtherSeries
	}
	return m.published.WithLabelValues(label(subject), label(table))
}

// FilteredCounter returns the counter of changes of one table that the filter
// dropped; from then on the table's series exists. It is never nil. Tables past the
// bound of series share one, whose label is [OtherSeries].
func (m *Metrics) FilteredCounter(table string) prometheus.Counter {
	if m == nil {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "filter_skipped_events_total"})
	}
	if !m.tables.admits(table, "") {
		table = OtherSeries
	}
	return m.filtered.WithLabelValues(label(table))
}

// Problem counts one event that something is wrong with.
func (m *Metrics) Problem(kind ProblemKind) {
	if m != nil {
		m.problems.WithLabelValues(label(string(kind))).Inc()
	}
}

// Window says how many bytes of encoded changes are held in memory.
func (m *Metrics) Window(bytes int64) {
	if m != nil {
		m.window.Set(float64(bytes))
	}
}

// WindowLimit says how many bytes [Metrics.Window] may reach.
func (m *Metrics) WindowLimit(bytes int64) {
	if m != nil {
		m.windowLimit.Set(float64(bytes))
	}
}

// Transaction counts one commit read from the log.
func (m *Metrics) Transaction() {
	if m != nil {
		m.transactions.Inc()
	}
}

// Changes counts n changes read from the log, n >= 0.
func (m *Metrics) Changes(n int) {
	if m != nil && n > 0 {
		m.changes.Add(float64(n))
	}
}

// The values of the label result.
const (
	reloadApplied = "applied"
	reloadRefused = "refused"
)

// Reloaded counts one attempt to change the configuration of the running process.
func (m *Metrics) Reloaded(applied bool) {
	result := reloadRefused
	if applied {
		result = reloadApplied
	}
	if m != nil {
		m.reloads.WithLabelValues(result).Inc()
	}
}

// Reconnected counts one replication connection that took a lost one's place.
func (m *Metrics) Reconnected() {
	if m != nil {
		m.reconnects.Inc()
	}
}

// Build shows the version that is running.
func (m *Metrics) Build(version string) {
	if m != nil {
		m.buildInfo.WithLabelValues(label(version)).Set(1)
	}
}

// label makes s fit to be a label. A database with encoding SQL_ASCII can hold
// names that are not UTF-8, and the client library panics on those.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// factory makes registered collectors.
type factory struct{ auto promauto.Factory }

func (f factory) counter(name, help string) prometheus.Counter {
	return f.auto.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func (f factory) counters(space, name, help string, labels ...string) *prometheus.CounterVec {
	return f.auto.NewCounterVec(prometheus.CounterOpts{Namespace: space, Name: name, Help: help}, labels)
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	return f.auto.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

func (f factory) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return f.auto.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func (f factory) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return f.auto.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
	}, labels)
}
