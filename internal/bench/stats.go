package main

import (
	"math"
	"slices"
	"time"
)

// sample is what one run of one line took.
type sample struct {
	events  int
	elapsed time.Duration // from the start of the process to the last confirmation
	cpu     time.Duration // user and system time of the process
	peak    int64         // bytes of memory
}

// rate is in events a second.
func (s sample) rate() float64 { return float64(s.events) / s.elapsed.Seconds() }

// cpuPerMillion is in CPU-seconds per million events.
func (s sample) cpuPerMillion() float64 { return s.cpu.Seconds() / float64(s.events) * 1e6 }

// megabytes is the peak memory in units of 10^6 bytes.
func (s sample) megabytes() float64 { return float64(s.peak) / 1e6 }

// spread is one figure of several runs.
type spread struct{ Median, Min, Max float64 }

// figures are the figures of a line.
type figures struct {
	Name, Title string
	Rate        spread // events a second
	CPU         spread // CPU-seconds per million events
	Memory      spread // MB
}

// summarise reduces the runs of a line, at least one, to its figures.
func summarise(name, title string, runs []sample) figures {
	return figures{
		Name: name, Title: title,
		Rate:   spreadOf(runs, sample.rate),
		CPU:    spreadOf(runs, sample.cpuPerMillion),
		Memory: spreadOf(runs, sample.megabytes),
	}
}

func spreadOf(runs []sample, figure func(sample) float64) spread {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = figure(r)
	}
	return spreadOfValues(values)
}

// spreadOfValues sorts the values, at least one.
func spreadOfValues(values []float64) spread {
	slices.Sort(values)
	return spread{Median: median(values), Min: values[0], Max: values[len(values)-1]}
}

// median of sorted values, at least one; of an even number the mean of the two
// in the middle.
func median(sorted []float64) float64 {
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// quantile returns the smallest of the sorted times, at least one, that is not
// exceeded by the share q of them (nearest rank).
func quantile(sorted []time.Duration, q float64) time.Duration {
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
