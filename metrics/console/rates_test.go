package console

import (
	"math"
	"testing"
	"time"
)

// sampled is a status at a second, with totals.
func sampled(second int, changes, published float64, counts ...uint64) Status {
	s := Status{At: began.Add(time.Duration(second) * time.Second)}
	s.Source.Changes, s.Source.LagSeconds = changes, float64(second)
	o := Output{Name: "stream", Published: published}
	if len(counts) > 0 {
		o.Latency = Latency{Bounds: []float64{0.01, 0.1, 1}, Counts: counts, Count: counts[len(counts)-1]}
	}
	s.Outputs = []Output{o}
	return s
}

func near(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil {
		t.Errorf("%s is not known, want %g", what, want)
	} else if math.Abs(*got-want) > 1e-9 {
		t.Errorf("%s is %g, want %g", what, *got, want)
	}
}

func TestRatesAreDifferencesOverTime(t *testing.T) {
	r := between(sampled(0, 1000, 500), sampled(10, 3000, 400))
	if r.Seconds != 10 || r.Changes != 200 || r.LagSeconds != 1 {
		t.Errorf("rates are %+v", r)
	}
	if r.Outputs[0].Published != 0 {
		t.Errorf("a total that became smaller has the rate %g", r.Outputs[0].Published)
	}
}

func TestOneSampleHasNoRates(t *testing.T) {
	s := sampled(0, 1000, 500)
	if r := between(s, s); r.Seconds != 0 || r.Changes != 0 || r.Outputs[0].Published != 0 || r.Outputs[0].P50 != nil {
		t.Errorf("rates are %+v", r)
	}
}

func TestOutputThatIsNewHasNoRateYet(t *testing.T) {
	a, b := sampled(0, 0, 0), sampled(1, 0, 900)
	b.Outputs[0].Name = "other"
	if r := between(a, b); len(r.Outputs) != 1 || r.Outputs[0].Name != "other" || r.Outputs[0].Published != 0 {
		t.Errorf("rates are %+v", r.Outputs)
	}
}

func TestQuantilesAreOfWhatCameInBetween(t *testing.T) {
	// 100 before, all fast; then 100 of which 50 are up to 0.1 s and 50 up to 1 s.
	r := between(sampled(0, 0, 0, 100, 100, 100), sampled(10, 0, 0, 100, 150, 200)).Outputs[0]
	near(t, "the median", r.P50, 0.1)
	near(t, "the 99 % quantile", r.P99, 0.1+0.9*49/50)
}

func TestQuantilesOfNothingAreUnknown(t *testing.T) {
	same := sampled(0, 0, 0, 5, 5, 5)
	later := sampled(10, 0, 0, 5, 5, 5)
	if r := between(same, later).Outputs[0]; r.P50 != nil || r.P99 != nil {
		t.Errorf("quantiles are %v and %v", *r.P50, *r.P99)
	}
}

func TestQuantilesBeyondTheBoundsAreTheHighestBound(t *testing.T) {
	l := Latency{Bounds: []float64{0.01, 0.1}, Counts: []uint64{0, 1}, Count: 10}
	near(t, "the median", l.quantile(0.5), 0.1)
	withInf := Latency{Bounds: []float64{0.01, math.Inf(1)}, Counts: []uint64{0, 10}, Count: 10}
	near(t, "the median with an open bucket", withInf.quantile(0.5), 0.01)
}

func TestHistogramThatBeganAnewIsTakenWhole(t *testing.T) {
	r := between(sampled(0, 0, 0, 100, 100, 100), sampled(10, 0, 0, 0, 10, 10)).Outputs[0]
	near(t, "the median", r.P50, 0.055)
}

func TestHistoryKeepsFiveMinutes(t *testing.T) {
	var h history
	if _, _, ok := h.told(); ok {
		t.Error("there is something to tell before the first sample")
	}
	var f Frame
	for i := range 2 * kept {
		f = h.add(sampled(i, float64(10*i), float64(20*i), uint64(i), uint64(i), uint64(i)), Can{})
	}
	points, last, ok := h.told()
	if !ok || len(points) != kept || last.Point.At != f.Point.At || points[kept-1].At != f.Point.At {
		t.Fatalf("%d points up to %v", len(points), last.Point.At)
	}
	if f.Rates.Seconds != smooth || f.Rates.Changes != 10 || f.Point.Changes != 10 || f.Point.Outputs[0].Published != 20 {
		t.Errorf("rates are %+v, the last point %+v", f.Rates, f.Point)
	}
	near(t, "the point's median", f.Point.Outputs[0].P50, 0.005)
}
