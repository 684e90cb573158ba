package main

import "fmt"

// The targets.
const (
	discardShare     = 0.90    // of pg_recvlogical's rate
	discardCPU       = 2.5     // CPU-seconds per million events
	jetStreamShare   = 0.80    // of pg_recvlogical's rate
	jetStreamCPU     = 1.5     // CPU-seconds per million events
	msgIDRate        = 100_000 // events a second
	turnsCost        = 1.5     // of the CPU time with one table
	memoryLimit      = 100     // MB
	encodingNanos    = 250     // per event
	encodingAllocs   = 0       // per event
	latencyP50Millis = 2
	latencyP99Millis = 10
)

// verdict is a ratio or figure beside its target.
type verdict struct {
	What   string
	Value  string
	Target string // empty: it has none
	Met    bool
}

// result says in a word how the target stands.
func (v verdict) result() string {
	switch {
	case v.Target == "":
		return ""
	case v.Met:
		return "met"
	}
	return "not met"
}

// verdicts judges what was measured. What needs a line that was not run is
// left out.
func (r *results) verdicts() []verdict {
	var all []verdict
	all = append(all, r.shares()...)
	all = append(all, r.costs()...)
	if r.Latency != nil {
		p50, p99 := millis(r.Latency.P50), millis(r.Latency.P99)
		all = append(all,
			verdict{"commit to confirmation, p50", fmt.Sprintf("%.2f ms", p50), fmt.Sprintf("< %d ms", latencyP50Millis), p50 < latencyP50Millis},
			verdict{"commit to confirmation, p99", fmt.Sprintf("%.2f ms", p99), fmt.Sprintf("< %d ms", latencyP99Millis), p99 < latencyP99Millis})
	}
	if e := r.Encoding; e != nil {
		all = append(all,
			verdict{"encoding, per event", fmt.Sprintf("%.1f ns", e.Nanos.Median), fmt.Sprintf("≤ %d ns", encodingNanos), e.Nanos.Median <= encodingNanos},
			verdict{"encoding, allocations per event", decimals(0)(e.Allocs.Max), fmt.Sprint(encodingAllocs), e.Allocs.Max <= encodingAllocs})
	}
	return all
}

// shares compares rates.
func (r *results) shares() []verdict {
	var all []verdict
	recv, discard, jet, ceiling := r.line(recvName), r.line(discardName), r.line(jetStreamName), r.line(ceilingName)
	if recv != nil && discard != nil {
		all = append(all, atLeast("discard / pg_recvlogical, events/s", discard.Rate.Median/recv.Rate.Median, discardShare))
	}
	if recv != nil && jet != nil {
		all = append(all, atLeast("JetStream, fast ingest / pg_recvlogical, events/s", jet.Rate.Median/recv.Rate.Median, jetStreamShare))
	}
	if recv != nil && jet != nil && ceiling != nil {
		share := jet.Rate.Median / min(recv.Rate.Median, ceiling.Rate.Median)
		all = append(all, verdict{
			What:  "JetStream, fast ingest / the slower of pg_recvlogical and publisher alone, events/s",
			Value: fmt.Sprintf("%.3f", share),
		})
	}
	if ids := r.line(msgIDName); ids != nil {
		all = append(all, verdict{
			"JetStream, message ids, events/s", thousands(ids.Rate.Median),
			"≥ " + thousands(msgIDRate), ids.Rate.Median >= msgIDRate,
		})
	}
	if recv, turns := r.line(turnsRecvName), r.line(turnsDiscardName); recv != nil && turns != nil {
		all = append(all, verdict{
			What:  "many tables in turn, discard / pg_recvlogical, events/s",
			Value: fmt.Sprintf("%.3f", turns.Rate.Median/recv.Rate.Median),
		})
	}
	return all
}

// costs looks at CPU time and memory.
func (r *results) costs() []verdict {
	var all []verdict
	if l := r.line(discardName); l != nil {
		all = append(all, atMost("discard, CPU-seconds per million events", l.CPU.Median, discardCPU))
	}
	if l := r.line(jetStreamName); l != nil {
		all = append(all, atMost("JetStream, fast ingest, CPU-seconds per million events", l.CPU.Median, jetStreamCPU))
	}
	if one, turns := r.line(discardName), r.line(turnsDiscardName); one != nil && turns != nil {
		all = append(all, atMost("discard, many tables in turn / one table, CPU-seconds per event", turns.CPU.Median/one.CPU.Median, turnsCost))
	}
	peak := 0.0
	for _, name := range []string{discardName, jetStreamName, msgIDName, bigDiscardName, bigJetStreamName, turnsDiscardName} {
		if l := r.line(name); l != nil {
			peak = max(peak, l.Memory.Max)
		}
	}
	if peak > 0 {
		all = append(all, verdict{
			"walherald's largest peak memory in any run", fmt.Sprintf("%.1f MB", peak),
			fmt.Sprintf("≤ %d MB", memoryLimit), peak <= memoryLimit,
		})
	}
	return all
}

func atLeast(what string, value, target float64) verdict {
	return verdict{what, fmt.Sprintf("%.3f", value), fmt.Sprintf("≥ %.2f", target), value >= target}
}

func atMost(what string, value, target float64) verdict {
	return verdict{what, fmt.Sprintf("%.3f", value), fmt.Sprintf("≤ %.2f", target), value <= target}
}
