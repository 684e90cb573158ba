package metrics

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// OnGather has f called before numbers are looked at, to bring up to date what
// follows the clock or lies somewhere else. It must be quick and safe for concurrent
// use.
func (m *Metrics) OnGather(f func()) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refresh = append(m.refresh, f)
}

// Refresh calls what [Metrics.OnGather] was given, and works out what depends on it.
func (m *Metrics) Refresh() {
	if m == nil {
		return
	}
	m.mu.Lock()
	refresh := m.refresh
	outputs := make([]*Output, 0, len(m.outputs))
	for _, o := range m.outputs {
		outputs = append(outputs, o)
	}
	m.mu.Unlock()
	for _, f := range refresh {
		f()
	}
	oldest := m.log.unread.seconds()
	for _, o := range outputs {
		oldest = max(oldest, o.age())
	}
	m.log.lagSeconds.Set(oldest)
	m.log.lagBytes.Set(float64(m.Positions().Lag()))
}

// Gatherer returns a gatherer of all that g has, up to date.
func (m *Metrics) Gatherer(g prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		m.Refresh()
		return g.Gather()
	})
}

// ShowHealth shows, whenever numbers are looked at, which outputs are ready and
// whether the source is, by its name.
func (m *Metrics) ShowHealth(h *Health, source string) {
	m.OnGather(func() {
		for _, c := range h.Report().Components {
			switch {
			case c.Name == source:
				m.log.unread.set(c)
				m.log.sourceReady.Set(one(c.Ready))
				m.log.standby.Set(one(c.Standby))
			default:
				m.outputVecs.ready.WithLabelValues(label(c.Name)).Set(one(c.Ready))
			}
		}
	})
}

// unread is for how long nothing could be read although nobody else does: what was
// committed meanwhile is as old as that, and in no window.
type unread struct{ bits atomic.Uint64 }

func (u *unread) set(source ComponentReport) {
	seconds := 0.0
	if !source.Ready && !source.Standby {
		seconds = source.Seconds
	}
	u.bits.Store(math.Float64bits(seconds))
}

func (u *unread) seconds() float64 { return math.Float64frombits(u.bits.Load()) }

// LagSeconds returns what the gauge of that name showed last.
func (m *Metrics) LagSeconds() float64 {
	if m == nil {
		return 0
	}
	return Value(m.log.lagSeconds)
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Waiting is what an output has not confirmed.
type Waiting struct {
	// Events and Bytes are in its window, which takes Limit bytes.
	Events, Bytes, Limit int
	// The oldest of them, if there are any: the position of its commit, its table, and
	// when it was committed.
	LSN       uint64
	Table     string
	Committed time.Time
}

// Waiting shows what the output has not confirmed.
func (o *Output) Waiting(w Waiting) {
	if o == nil {
		return
	}
	o.waiting.Store(&w)
	o.windowBytes.Set(float64(w.Bytes))
	o.windowEvents.Set(float64(w.Events))
	o.oldest.Set(o.age())
}

// age is how long the oldest event waits, in seconds.
func (o *Output) age() float64 {
	w := o.waiting.Load()
	if w == nil || w.Events == 0 {
		return 0
	}
	return max(time.Since(w.Committed), 0).Seconds()
}

// Totals are what an output has done since the process started.
type Totals struct {
	Waiting
	// Messages of Batches were confirmed; Failures counts attempts that failed.
	Messages, Batches, Failures float64
	// HeldUp is for how many seconds reading waited because of it.
	HeldUp    float64
	Confirmed uint64
	Mode      string
	// Latency is the time from commit to confirmation.
	Latency *dto.Histogram
}

// Totals returns what the output has done. It is for people who look, not for every
// batch.
func (o *Output) Totals() Totals {
	if o == nil {
		return Totals{}
	}
	t := Totals{
		Failures: Value(o.failures), HeldUp: Value(o.heldUp), Confirmed: o.confirmedAt.Load(),
		Latency: histogram(o.commitToConfirm),
	}
	sizes := histogram(o.batchMessages)
	t.Messages, t.Batches = sizes.GetSampleSum(), float64(sizes.GetSampleCount())
	if w := o.waiting.Load(); w != nil {
		t.Waiting = *w
	}
	o.mu.Lock()
	t.Mode = o.mode
	o.mu.Unlock()
	return t
}

// Value returns what a counter or gauge shows.
func Value(m prometheus.Metric) float64 {
	var d dto.Metric
	if m.Write(&d) != nil {
		return 0
	}
	if d.Counter != nil {
		return d.Counter.GetValue()
	}
	return d.Gauge.GetValue()
}

func histogram(o prometheus.Observer) *dto.Histogram {
	var d dto.Metric
	if m, ok := o.(prometheus.Metric); ok && m.Write(&d) == nil {
		return d.GetHistogram()
	}
	return nil
}

// Reading is what was read from the log since the process started.
type Reading struct {
	Transactions, Changes, Reconnects float64
	WindowBytes, WindowLimit          float64
}

// Reading returns what was read.
func (m *Metrics) Reading() Reading {
	if m == nil {
		return Reading{}
	}
	return Reading{
		Value(m.transactions), Value(m.changes), Value(m.reconnects), Value(m.window), Value(m.windowLimit),
	}
}

// FilteredTotal returns how many changes the filter dropped.
func (m *Metrics) FilteredTotal() float64 {
	if m == nil {
		return 0
	}
	return sum(m.filtered)
}

// sum adds up all series of a counter.
func sum(c *prometheus.CounterVec) float64 {
	series := make(chan prometheus.Metric)
	go func() {
		c.Collect(series)
		close(series)
	}()
	total := 0.0
	for m := range series {
		total += Value(m)
	}
	return total
}
