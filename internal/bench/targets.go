package main

import (
	"fmt"
)

// The targets.
const (
	discardShare     = 0.90    // of pg_recvlogical's rate
	discardCPU       = 2.5     // CPU-seconds per million events
	jetStreamShare   = 0.80    // of pg_recvlogical's rate
	jetStreamCPU     = 1.5     // CPU-seconds per million events
	msgIDRate        = 100_000 // events a second
	kafkaRate        = 150_000 // events a second
	brokerShare      = 0.85    // of what bounds it: pg_recvlogical or the publisher alone
	fanoutShare      = 0.85    // of the slower destination alone
	turnsCost        = 1.5     // of the CPU time with one table
	memoryLimit      = 100     // MB
	encodingNanos    = 250     // per event
	encodingAllocs   = 0       // per event
	latencyP50Millis = 2
	latencyP99Millis = 10
	loneP99Millis    = 5
	rulesShare       = 0.85 // of the rate without rules
	webhookRate      = 1000 // deliveries a second
	deadShare        = 0.95 // of the rate without the dead endpoint
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
	all = append(all, r.bounds()...)
	all = append(all, r.costs()...)
	all = append(all, r.delays()...)
	all = append(all, r.notified()...)
	for _, e := range r.Encodings {
		if e.FromRow {
			all = append(all, verdict{
				"encoding, per event", fmt.Sprintf("%.1f ns", e.Nanos.Median), fmt.Sprintf("≤ %d ns", encodingNanos), e.Nanos.Median <= encodingNanos,
			})
		}
		all = append(all, verdict{
			"encoding, allocations per event, " + e.Title, decimals(0)(e.Allocs.Max), fmt.Sprint(encodingAllocs), e.Allocs.Max <= encodingAllocs,
		})
	}
	return all
}

// shares compares rates.
func (r *results) shares() []verdict {
	var all []verdict
	recv, discard, jet := r.line(recvName), r.line(discardName), r.line(jetStreamName)
	if recv != nil && discard != nil {
		all = append(all, atLeast("discard / pg_recvlogical, events/s", discard.Rate.Median/recv.Rate.Median, discardShare))
	}
	if recv != nil && jet != nil {
		all = append(all, atLeast("JetStream, fast ingest / pg_recvlogical, events/s", jet.Rate.Median/recv.Rate.Median, jetStreamShare))
	}
	if ids := r.line(msgIDName); ids != nil {
		all = append(all, rateOf("JetStream, message ids, events/s", ids, msgIDRate))
	}
	if kafka := r.line(kafkaName); kafka != nil {
		all = append(all, rateOf("Kafka, events/s", kafka, kafkaRate))
	}
	if recv, turns := r.line(turnsRecvName), r.line(turnsDiscardName); recv != nil && turns != nil {
		all = append(all, verdict{
			What:  "many tables in turn, discard / pg_recvlogical, events/s",
			Value: fmt.Sprintf("%.3f", turns.Rate.Median/recv.Rate.Median),
		})
	}
	return all
}

// bound says what a line cannot be faster than.
type bound struct {
	what, line string
	by         []string // lines, of which the slowest counts
	share      float64  // that is the target
}

var allBounds = []bound{
	{"JetStream, fast ingest / the slower of pg_recvlogical and publisher alone", jetStreamName, []string{recvName, ceilingName}, brokerShare},
	{"JetStream, message ids / the slower of pg_recvlogical and plain client", msgIDName, []string{recvName, ceilingNATSName}, brokerShare},
	{"Kafka / the slower of pg_recvlogical and plain client", kafkaName, []string{recvName, ceilingKafkaName}, brokerShare},
	{"RabbitMQ, quorum queue / the slower of pg_recvlogical and plain client", rabbitName, []string{recvName, ceilingRabbitName}, brokerShare},
	{"RabbitMQ, classic queue / the slower of pg_recvlogical and plain client", classicName, []string{recvName, ceilingClassicName}, brokerShare},
	{"Pub/Sub, ordering keys / the slower of pg_recvlogical and plain client", orderedName, []string{recvName, ceilingOrderedName}, brokerShare},
	{"Pub/Sub, no ordering keys / the slower of pg_recvlogical and plain client", unorderedName, []string{recvName, ceilingUnorderedName}, brokerShare},
	{"JetStream, 100 rules that never match / without rules", rulesJetStreamName, []string{jetStreamName}, rulesShare},
	{"discard, 100 rules that never match / without rules", rulesDiscardName, []string{discardName}, rulesShare},
	{"discard and JetStream at once / the slower alone", fanoutDiscardName, []string{discardName, jetStreamName}, fanoutShare},
	{"JetStream and Kafka at once / the slower alone", fanoutKafkaName, []string{jetStreamName, kafkaName}, fanoutShare},
}

// bounds compares lines with what bounds them.
func (r *results) bounds() []verdict {
	var all []verdict
	for _, b := range allBounds {
		l := r.line(b.line)
		if most, ok := r.slowest(b.by); ok && l != nil {
			all = append(all, atLeast(b.what+", events/s", l.Rate.Median/most, b.share))
		}
	}
	return all
}

// slowest returns the rate of the slowest of the lines; ok is false if one of
// them was not run.
func (r *results) slowest(names []string) (rate float64, ok bool) {
	for i, name := range names {
		l := r.line(name)
		if l == nil {
			return 0, false
		}
		if i == 0 || l.Rate.Median < rate {
			rate = l.Rate.Median
		}
	}
	return rate, true
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
	if peak := r.peak(1); peak > 0 {
		all = append(all, verdict{
			"walherald's largest peak memory in any run with one output", fmt.Sprintf("%.1f MB", peak),
			fmt.Sprintf("≤ %d MB", memoryLimit), peak <= memoryLimit,
		})
	}
	if peak := r.peak(2); peak > 0 {
		all = append(all, verdict{What: "walherald's largest peak memory in any run with two outputs", Value: fmt.Sprintf("%.1f MB", peak)})
	}
	return all
}

// peak is the largest memory in MB of walherald with that many outputs; 0: it
// was not run.
func (r *results) peak(outputs int) float64 {
	peak := 0.0
	for _, known := range lines() {
		if l := r.line(known.name); l != nil && known.ours() && len(known.to) == outputs {
			peak = max(peak, l.Memory.Max)
		}
	}
	return peak
}

// delays looks at latencies.
func (r *results) delays() []verdict {
	var all []verdict
	for _, l := range r.Latencies {
		if l.Name == latencyName {
			all = append(all, faster("commit to confirmation, "+l.Title+", p50", millis(l.P50), latencyP50Millis),
				faster("commit to confirmation, "+l.Title+", p99", millis(l.P99), latencyP99Millis))
			continue
		}
		all = append(all, faster("lone change, commit to confirmation, "+l.Title+", p99", millis(l.P99), loneP99Millis))
	}
	return all
}

// notified looks at notifications.
func (r *results) notified() []verdict {
	rates := make(map[string]float64)
	for _, n := range r.Notifications {
		rates[n.Name] = n.Rate.Median
	}
	var all []verdict
	if rate := rates[webhookName]; rate > 0 {
		all = append(all, verdict{
			"webhooks to one endpoint, concurrency 64, deliveries/s", thousands(rate), "≥ " + thousands(webhookRate), rate >= webhookRate,
		})
	}
	if five, dead := rates[webhookFiveName], rates[webhookDeadName]; five > 0 && dead > 0 {
		all = append(all, atLeast("webhooks to five endpoints, with a dead one beside them / without, deliveries/s", dead/five, deadShare))
	}
	return all
}

func atLeast(what string, value, target float64) verdict {
	return verdict{what, fmt.Sprintf("%.3f", value), fmt.Sprintf("≥ %.2f", target), value >= target}
}

func atMost(what string, value, target float64) verdict {
	return verdict{what, fmt.Sprintf("%.3f", value), fmt.Sprintf("≤ %.2f", target), value <= target}
}

func rateOf(what string, l *figures, target float64) verdict {
	return verdict{what, thousands(l.Rate.Median), "≥ " + thousands(target), l.Rate.Median >= target}
}

func faster(what string, millis, target float64) verdict {
	return verdict{what, fmt.Sprintf("%.2f ms", millis), fmt.Sprintf("< %g ms", target), millis < target}
}
