package notifier

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
	"github.com/walherald/walherald/publisher/notifier/rules"
)

// Selector selects the events of one destination, and makes the payloads of those.
// [Destination.Selector] makes it.
type Selector struct {
	rules    *rules.Set
	envelope format.Envelope
	// numbers are the destination's numbers of the rules, matched counts the events
	// that each of them selected.
	numbers []int
	matched []prometheus.Counter
}

// Select prepares the selection of events of one version of a table; topic returns
// the table's part of the topic that an action's events have.
func (s *Selector) Select(t *publisher.Table, tags map[string]string, topic func(publisher.Action) string) *Selection {
	return &Selection{Plan: s.rules.Plan(t, topic), body: s.envelope.Plan(t, tags), of: s}
}

// Selection is a Selector for one version of a table. One goroutine uses it at a
// time. It embeds the rules' plan for Passes.
type Selection struct {
	*rules.Plan
	body format.Plan
	of   *Selector

	// What Selects found, for Append. An expression that looks at the clock could say
	// something else when it is asked again.
	rule   int
	failed error
}

// Selects reports whether a rule selects the event, or cannot be evaluated: such an
// event is given up by the deliverer, with the reason, as one that could not be
// delivered.
func (s *Selection) Selects(e *publisher.Event) bool {
	s.rule, s.failed = s.Match(e)
	return s.rule >= 0
}

// Append appends the frame of the event that Selects has selected last.
func (s *Selection) Append(dst []byte, e *publisher.Event) []byte {
	failure := ""
	if s.failed != nil {
		failure = s.failed.Error()
	}
	s.of.matched[s.rule].Inc()
	return s.body.Append(appendFrame(dst, s.of.numbers[s.rule], failure), e)
}
