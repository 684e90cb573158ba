package console

import (
	"encoding/json"
	"slices"
	"sync"
	"time"
)

const (
	// kept is how many samples the charts show: five minutes of them.
	kept = 300
	// smooth is over how many samples rates and quantiles are taken that are read as
	// figures: from one second to the next they would only flicker.
	smooth = 10
)

// Point is one point of the charts.
type Point struct {
	At time.Time `json:"at"`
	// Changes were read in the second before, and confirmed by each output.
	Changes    float64 `json:"changes"`
	LagBytes   float64 `json:"lagBytes"`
	LagSeconds float64 `json:"lagSeconds"`
	// Outputs has the quantiles of the ten seconds before.
	Outputs []OutputRate `json:"outputs"`
}

// Frame is what a page is told every second.
type Frame struct {
	Headline Headline `json:"headline"`
	Status   Status   `json:"status"`
	// Rates are over the last ten seconds.
	Rates Rates `json:"rates"`
	Point Point `json:"point"`
	// Can says what this server is able to do.
	Can Can `json:"can"`
}

// Can says what requests there are beyond those to look.
type Can struct {
	// Change is whether a token is configured, without which nothing can be changed.
	Change bool `json:"change"`
	// Parking is whether there is a place for notifications that could not be delivered.
	Parking bool `json:"parking"`
	// Level is what the configuration says of the log's level.
	Level string `json:"level"`
}

// history is what has been sampled. It is safe for concurrent use.
type history struct {
	mu     sync.Mutex
	recent []Status // the last ones, at most smooth+1
	points []Point  // the last ones, at most kept
	frame  Frame    // the last one, once there are points
}

// add takes a sample and returns the frame that it makes.
func (h *history) add(s Status, can Can) Frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recent = last(append(h.recent, s), smooth+1)
	rates := between(h.recent[0], s)
	h.points = last(append(h.points, h.point(s, rates)), kept)
	h.frame = Frame{
		Headline: headline(s, rates),
		Status:   s, Rates: rates, Point: h.points[len(h.points)-1], Can: can,
	}
	return h.frame
}

// point needs h.mu.
func (h *history) point(s Status, rates Rates) Point {
	second := between(h.recent[max(len(h.recent)-2, 0)], s)
	for i := range second.Outputs {
		second.Outputs[i].P50, second.Outputs[i].P99 = rates.Outputs[i].P50, rates.Outputs[i].P99
	}
	return Point{
		At: s.At, Changes: second.Changes,
		LagBytes: s.Source.LagBytes, LagSeconds: s.Source.LagSeconds, Outputs: second.Outputs,
	}
}

// rates returns what happened from the oldest recent sample to s.
func (h *history) rates(s Status) Rates {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.recent) == 0 {
		return between(s, s)
	}
	return between(h.recent[0], s)
}

// told returns what a page is told first; ok is false before the first sample.
func (h *history) told() (points []Point, frame Frame, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.points), h.frame, len(h.points) > 0
}

// last returns the last n of list, or all. What is left out does not stay in memory
// for long: append moves the list once its room is used up.
func last[T any](list []T, n int) []T { return list[max(len(list)-n, 0):] }

// sample takes one and tells it to the pages that are open.
func (c *Console) sample() {
	frame := c.history.add(c.present(), c.can())
	if c.streams.watched() {
		c.streams.tell(message("status", frame))
	}
}

func (c *Console) can() Can {
	return Can{Change: c.o.Token != "", Parking: c.o.Parking != nil, Level: levelName(c.o.BaseLevel())}
}

// message is one server-sent event. Frames and points hold nothing that JSON cannot
// say, and JSON has no line breaks.
func message(event string, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		event, text = "failure", []byte(`"encode status"`)
	}
	return slices.Concat([]byte("event: "+event+"\ndata: "), text, []byte("\n\n"))
}
