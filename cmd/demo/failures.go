package main

import "time"

// failures say when a destination is out of order: from first on after the shop has
// opened, for the time lasting, and so again and again.
type failures struct {
	destination           string
	first, lasting, every time.Duration
}

// courierFails leaves time to look at what is parked, and at how it is delivered.
var courierFails = failures{destination: "courier", first: 4 * time.Second, lasting: 10 * time.Second, every: 45 * time.Second}

// at reports whether the destination is out of order at this time.
func (f failures) at(destination string, open, at time.Time) bool {
	passed := at.Sub(open) - f.first
	return destination == f.destination && !open.IsZero() && passed >= 0 && passed%f.every < f.lasting
}
