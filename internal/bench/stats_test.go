package main

import (
	"testing"
	"time"
)

func TestQuantileIsTheNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		times []time.Duration
		q     float64
		want  time.Duration
	}{
		{hundred, 0.50, 50},
		{hundred, 0.99, 99},
		{hundred, 0.991, 100},
		{hundred, 1, 100},
		{hundred, 0, 1},
		{hundred[:1], 0.99, 1},
		{hundred[:3], 0.50, 2},
	} {
		if got := quantile(c.times, c.q); got != c.want {
			t.Errorf("quantile %v of %d times is %d, want %d", c.q, len(c.times), got, c.want)
		}
	}
}

func TestMedianOfOddAndEvenCounts(t *testing.T) {
	for _, c := range []struct {
		sorted []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{1, 5}, 3},
		{[]float64{1, 2, 90}, 2},
		{[]float64{1, 2, 4, 90}, 3},
	} {
		if got := median(c.sorted); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.sorted, got, c.want)
		}
	}
}

func TestFiguresAreOfEachRunByItself(t *testing.T) {
	runs := []sample{
		{events: 1000, elapsed: 2 * time.Second, cpu: time.Millisecond, peak: 30e6},
		{events: 1000, elapsed: time.Second, cpu: 3 * time.Millisecond, peak: 10e6},
		{events: 1000, elapsed: 4 * time.Second, cpu: 2 * time.Millisecond, peak: 20e6},
	}
	got := summarise("n", "t", runs)
	want := figures{
		Name: "n", Title: "t",
		Rate:   spread{Median: 500, Min: 250, Max: 1000},
		CPU:    spread{Median: 2, Min: 1, Max: 3},
		Memory: spread{Median: 20, Min: 10, Max: 30},
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if runs[0].peak != 30e6 {
		t.Error("the runs were reordered")
	}
}
