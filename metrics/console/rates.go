package console

import (
	"math"
	"time"
)

// Rates are what happened between two samples.
type Rates struct {
	// Seconds is the time between them; 0 if there has been only one.
	Seconds float64 `json:"seconds"`
	// Transactions and Changes were read in a second.
	Transactions float64 `json:"transactions"`
	Changes      float64 `json:"changes"`
	// LagBytes and LagSeconds are by how much the lag grew in a second.
	LagBytes   float64      `json:"lagBytes"`
	LagSeconds float64      `json:"lagSeconds"`
	Outputs    []OutputRate `json:"outputs"`
}

// OutputRate is what happened at one output between two samples.
type OutputRate struct {
	Name string `json:"name"`
	// Published is how many messages were confirmed in a second, Failures how many
	// attempts failed.
	Published float64 `json:"published"`
	Failures  float64 `json:"failures"`
	// P50 and P99 are quantiles of the time from commit to confirmation in seconds,
	// as exact as the buckets of the histogram; nil if nothing was confirmed.
	P50 *float64 `json:"p50"`
	P99 *float64 `json:"p99"`
}

// between returns what happened from a to b.
func between(a, b Status) Rates {
	r := Rates{Outputs: make([]OutputRate, 0, len(b.Outputs))}
	span := b.At.Sub(a.At)
	if span > 0 {
		r.Seconds = span.Seconds()
		r.Transactions = perSecond(a.Source.Transactions, b.Source.Transactions, span)
		r.Changes = perSecond(a.Source.Changes, b.Source.Changes, span)
		r.LagBytes = (b.Source.LagBytes - a.Source.LagBytes) / r.Seconds
		r.LagSeconds = (b.Source.LagSeconds - a.Source.LagSeconds) / r.Seconds
	}
	before := make(map[string]Output, len(a.Outputs))
	for _, o := range a.Outputs {
		before[o.Name] = o
	}
	for _, o := range b.Outputs {
		was, known := before[o.Name]
		if !known {
			was = o
		}
		r.Outputs = append(r.Outputs, outputBetween(was, o, span))
	}
	return r
}

func outputBetween(a, b Output, span time.Duration) OutputRate {
	r := OutputRate{Name: b.Name}
	if span > 0 {
		r.Published = perSecond(a.Published, b.Published, span)
		r.Failures = perSecond(a.Failures, b.Failures, span)
	}
	l := b.Latency.since(a.Latency)
	r.P50, r.P99 = l.quantile(0.50), l.quantile(0.99)
	return r
}

// perSecond is the rate of a total. One that has become smaller began anew.
func perSecond(a, b float64, span time.Duration) float64 {
	return max(b-a, 0) / span.Seconds()
}

// since returns what has been observed since earlier, all of it if earlier is of
// another histogram.
func (l Latency) since(earlier Latency) Latency {
	if len(earlier.Counts) != len(l.Counts) || earlier.Count > l.Count {
		return l
	}
	d := Latency{Bounds: l.Bounds, Counts: make([]uint64, len(l.Counts)), Count: l.Count - earlier.Count}
	for i, n := range l.Counts {
		d.Counts[i] = n - min(earlier.Counts[i], n)
	}
	return d
}

// quantile estimates the q-quantile, 0 < q < 1, by taking the observations of a bucket
// for evenly spread, as PromQL's histogram_quantile does. What is above the highest
// bound counts as that bound. It is nil where nothing was observed.
func (l Latency) quantile(q float64) *float64 {
	if l.Count == 0 || len(l.Bounds) == 0 || len(l.Bounds) != len(l.Counts) {
		return nil
	}
	rank := q * float64(l.Count)
	var low, below float64
	for i, bound := range l.Bounds {
		upTo := float64(l.Counts[i])
		if upTo >= rank && !math.IsInf(bound, 0) {
			v := bound
			if upTo > below {
				v = low + (bound-low)*(rank-below)/(upTo-below)
			}
			return &v
		}
		if !math.IsInf(bound, 0) {
			low, below = bound, upTo
		}
	}
	return &low
}
