package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Buckets of the histograms. Times go from 0.25 ms, a broker on the same
// machine, to 10 minutes, one that was down, by about a factor of 2.
var (
	secondsBuckets = []float64{
		.00025, .0005, .001, .002, .004, .008, .016, .032, .064, .125, .25, .5,
		1, 2, 4, 8, 15, 30, 60, 120, 300, 600,
	}
	messagesBuckets = prometheus.ExponentialBuckets(1, 4, 9)    // 1 to 65536
	bytesBuckets    = prometheus.ExponentialBuckets(256, 4, 10) // 256 B to 64 MiB
)

// outputVecs are the collectors that have an output label.
type outputVecs struct {
	batchMessages   *prometheus.HistogramVec
	batchBytes      *prometheus.HistogramVec
	deliver         *prometheus.HistogramVec
	commitToConfirm *prometheus.HistogramVec
	failures        *prometheus.CounterVec
	repeats         *prometheus.CounterVec
	mode            *prometheus.GaugeVec
	confirmed       *prometheus.GaugeVec
	heldUp          *prometheus.CounterVec
	windowBytes     *prometheus.GaugeVec
	windowEvents    *prometheus.GaugeVec
	oldest          *prometheus.GaugeVec
	ready           *prometheus.GaugeVec
}

func newOutputVecs(f factory) outputVecs {
	return outputVecs{
		batchMessages: f.histograms("batch_messages", "Messages of a delivered batch.", messagesBuckets, "output"),
		batchBytes:    f.histograms("batch_bytes", "Size of a delivered batch.", bytesBuckets, "output"),
		deliver:       f.histograms("deliver_seconds", "Time from handing a batch over to its confirmation, attempts that failed included.", secondsBuckets, "output"),
		commitToConfirm: f.histograms("commit_to_confirm_seconds",
			"Time from the commit in the database to the confirmation by the output.", secondsBuckets, "output"),
		failures: f.counters(namespace, "deliver_failures_total", "Attempts to deliver a batch that failed.", "output"),
		repeats:  f.counters(namespace, "repeats_skipped_total", "Messages the output already held after a restart.", "output"),
		confirmed: f.gauges("output_confirmed_lsn_bytes",
			"End of the last commit that the output has confirmed, as a position in bytes.", "output"),
		heldUp: f.counters(namespace, "output_held_up_seconds_total",
			"Time in which reading waited because the output's share of the window was full.", "output"),
		windowBytes:  f.gauges("output_window_bytes", "Encoded changes that the output has not confirmed.", "output"),
		windowEvents: f.gauges("output_window_events", "Changes that the output has not confirmed.", "output"),
		oldest: f.gauges("oldest_unconfirmed_seconds",
			"Age of the oldest change that was read for the output and not confirmed by it; 0 if there is none.", "output"),
		ready: f.gauges("output_ready", "1 while the output takes what it is given.", "output"),
		mode:  f.gauges("output_mode", "Path the output takes; 1 for the one in use.", "output", "mode"),
	}
}

// Output measures one output. Its methods are safe for concurrent use; those of
// a nil *Output do nothing.
type Output struct {
	name            string
	batchMessages   prometheus.Observer
	batchBytes      prometheus.Observer
	deliver         prometheus.Observer
	commitToConfirm prometheus.Observer
	failures        prometheus.Counter
	repeats         prometheus.Counter
	confirmed       prometheus.Gauge
	heldUp          prometheus.Counter
	windowBytes     prometheus.Gauge
	windowEvents    prometheus.Gauge
	oldest          prometheus.Gauge

	confirmedAt atomic.Uint64
	waiting     atomic.Pointer[Waiting]

	modes *prometheus.GaugeVec
	mu    sync.Mutex
	mode  string // guarded by mu; empty until told

	// skipped counts messages by topic and table, guarded by mu.
	skipped    map[[2]string]int
	anySkipped atomic.Bool
}

// Output returns the measures of the output with that name, the same ones for
// the same name. From then on the output's series exist, at zero.
func (m *Metrics) Output(name string) *Output {
	if m == nil {
		return nil
	}
	name = label(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.outputs[name]; ok {
		return o
	}
	o := m.outputVecs.output(name)
	m.outputs[name] = o
	return o
}

func (v outputVecs) output(name string) *Output {
	return &Output{
		name:            name,
		batchMessages:   v.batchMessages.WithLabelValues(name),
		batchBytes:      v.batchBytes.WithLabelValues(name),
		deliver:         v.deliver.WithLabelValues(name),
		commitToConfirm: v.commitToConfirm.WithLabelValues(name),
		failures:        v.failures.WithLabelValues(name),
		repeats:         v.repeats.WithLabelValues(name),
		confirmed:       v.confirmed.WithLabelValues(name),
		heldUp:          v.heldUp.WithLabelValues(name),
		windowBytes:     v.windowBytes.WithLabelValues(name),
		windowEvents:    v.windowEvents.WithLabelValues(name),
		oldest:          v.oldest.WithLabelValues(name),
		modes:           v.mode,
	}
}

// Delivered measures one batch that was delivered: its messages, the bytes of
// their bodies, and the time the attempt took that succeeded.
func (o *Output) Delivered(messages, bytes int, took time.Duration) {
	if o == nil {
		return
	}
	o.batchMessages.Observe(float64(messages))
	o.batchBytes.Observe(float64(bytes))
	o.deliver.Observe(took.Seconds())
	if o.anySkipped.Load() {
		o.mu.Lock()
		clear(o.skipped) // a batch that was tried twice may have told of a message twice
		o.anySkipped.Store(false)
		o.mu.Unlock()
	}
}

// Skip says that a message of the batch under way is left out, because the destination
// does not take it.
func (o *Output) Skip(topic, table string) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.skipped == nil {
		o.skipped = make(map[[2]string]int)
	}
	o.skipped[[2]string{topic, table}]++
	o.anySkipped.Store(true)
}

// LeftOut returns how many of n confirmed messages of a table on a topic were left out,
// and takes them off what Skip counted.
func (o *Output) LeftOut(topic, table string, n int) int {
	if o == nil || !o.anySkipped.Load() {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	of := [2]string{topic, table}
	out := min(o.skipped[of], n)
	if o.skipped[of] -= out; o.skipped[of] == 0 {
		delete(o.skipped, of)
	}
	return out
}

// CommitToConfirm measures the time from a commit, by the database's clock, to
// its confirmation, by ours. Where clocks disagree so much that it is negative
// it counts as 0. Once per batch, for the oldest commit in it, is enough.
func (o *Output) CommitToConfirm(d time.Duration) {
	if o != nil {
		o.commitToConfirm.Observe(max(d, 0).Seconds())
	}
}

// Failed counts one attempt to deliver a batch that failed.
func (o *Output) Failed() {
	if o != nil {
		o.failures.Inc()
	}
}

// RepeatsSkipped counts n messages, n >= 0, that were not sent again because
// the destination already held them.
func (o *Output) RepeatsSkipped(n int) {
	if o != nil {
		o.repeats.Add(float64(n))
	}
}

// Confirmed shows the end of the last commit that the output has confirmed.
func (o *Output) Confirmed(lsn uint64) {
	if o != nil {
		o.confirmedAt.Store(lsn)
		o.confirmed.Set(float64(lsn))
	}
}

// HeldUp adds time in which nothing was read because the output's share of the
// window was full.
func (o *Output) HeldUp(d time.Duration) {
	if o != nil {
		o.heldUp.Add(max(d, 0).Seconds())
	}
}

// Mode shows the path the output takes from now on, such as "fast-ingest"; the
// path before it is no longer shown.
func (o *Output) Mode(mode string) {
	if o == nil {
		return
	}
	mode = label(mode)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode == mode {
		return
	}
	// The new one first: a scrape in between sees two rather than none.
	o.modes.WithLabelValues(o.name, mode).Set(1)
	if o.mode != "" {
		o.modes.DeleteLabelValues(o.name, o.mode)
	}
	o.mode = mode
}
