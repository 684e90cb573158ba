package service

import (
	"cmp"
	"math"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/metrics/console"
	"github.com/walherald/walherald/publisher"
)

// sight is what the status is made of, beside metrics and health.
type sight struct {
	mu     sync.Mutex
	errors map[string]lastError // of outputs, by their names
}

// lastError is the last error of an output.
type lastError struct {
	text string
	at   time.Time
}

func (s *sight) failed(output, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errors == nil {
		s.errors = make(map[string]lastError)
	}
	s.errors[output] = lastError{reason, time.Now().UTC()}
}

func (s *sight) last(output string) lastError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errors[output]
}

// status says how walherald does at the moment.
func (s *service) status() console.Status {
	s.met.Refresh()
	report := s.health.Report()
	states := make(map[string]console.State)
	for _, c := range report.Components {
		states[c.Name] = console.State{
			Ready: c.Ready, Reason: c.Reason, Note: c.Note, LSN: c.LSN, Since: c.Since, Seconds: c.Seconds,
		}
	}
	cfg := s.current.Load()
	st := console.Status{
		Version: s.opts.Version, Started: s.started.UTC(), At: time.Now().UTC(), State: report.Status,
		LogLevel: strings.ToLower(s.level.Level().String()), Source: s.source(cfg, states[listener.SourceName]),
		Rules: s.rules(cfg), Events: s.events(),
	}
	at := s.met.Positions()
	s.made.Lock()
	defer s.made.Unlock()
	for _, out := range s.outs {
		st.Outputs = append(st.Outputs, s.publisherStatus(out.config, at, states[out.config.Name]))
	}
	for _, d := range s.destined {
		st.Outputs = append(st.Outputs, s.destinationStatus(d, at, states[d.name]))
	}
	for i := range st.Outputs { // looked at a moment later than the gauge
		if o := st.Outputs[i].Oldest; o != nil {
			st.Source.LagSeconds = max(st.Source.LagSeconds, o.Seconds)
		}
	}
	return st
}

func (s *service) source(cfg *config.Config, state console.State) console.Source {
	at, read, slot := s.met.Positions(), s.met.Reading(), s.met.LastSlot()
	src := console.Source{
		State:   state,
		Address: net.JoinHostPort(cfg.Database.Host, strconv.Itoa(cfg.Database.Port)), Database: cfg.Database.Name,
		Slot: cfg.Listener.SlotName, Publication: cfg.Listener.Publication.Name,
		ServerLSN: position(at.Server), ReceivedLSN: position(at.Received), ConfirmedLSN: position(at.Confirmed), FlushedLSN: position(at.Flushed),
		LagBytes: float64(at.Lag()), LagSeconds: s.met.LagSeconds(),
		Transactions: read.Transactions, Changes: read.Changes, Filtered: s.met.FilteredTotal(), Reconnects: read.Reconnects,
		WindowBytes: read.WindowBytes, WindowLimitBytes: read.WindowLimit,
	}
	if slot.Known {
		src.SlotStatus, src.SlotSeconds = slot.Status, time.Since(slot.At).Seconds()
		src.RetainedBytes, src.SafeBytes = known(slot.Retained), known(slot.Safe)
	}
	return src
}

// known returns where f is, or nil if it is no number.
func known(f float64) *float64 {
	if math.IsNaN(f) {
		return nil
	}
	return &f
}

// position writes a position as PostgreSQL does; one that is not known is empty.
func position(lsn uint64) string {
	if lsn == 0 {
		return ""
	}
	return listener.FormatLSN(lsn)
}

func (s *service) publisherStatus(cfg config.Output, at metrics.Positions, state console.State) console.Output {
	return s.outputStatus(cfg.Name, at, console.Output{State: state, Name: cfg.Name, Kind: "publisher", Type: cfg.Type})
}

func (s *service) destinationStatus(d *destined, at metrics.Positions, state console.State) console.Output {
	stock := d.met.Stock()
	return s.outputStatus(d.name, at, console.Output{
		State: state, Name: d.name, Kind: "destination", Type: d.kind,
		CircuitOpen: stock.CircuitOpen, Parked: stock.Parked, ParkedSeconds: stock.OldestSeconds,
	})
}

// outputStatus completes what is known of an output.
func (s *service) outputStatus(name string, at metrics.Positions, o console.Output) console.Output {
	t := s.met.Output(name).Totals()
	if last := s.sight.last(name); last.text != "" {
		o.LastError, o.LastErrorAt = last.text, &last.at
	}
	o.Mode, o.ConfirmedLSN = t.Mode, position(t.Confirmed)
	// One that has confirmed nothing yet has at least all that the server was told of.
	if from := max(t.Confirmed, at.Flushed); from > 0 && at.Received > from {
		o.LagBytes = float64(at.Received - from)
	}
	o.WaitingEvents, o.WaitingBytes, o.LimitBytes = float64(t.Events), float64(t.Bytes), float64(t.Limit)
	o.Published, o.Batches, o.Failures, o.HeldUp = t.Messages, t.Batches, t.Failures, t.HeldUp
	for _, b := range t.Latency.GetBucket() {
		o.Latency.Bounds = append(o.Latency.Bounds, b.GetUpperBound())
		o.Latency.Counts = append(o.Latency.Counts, b.GetCumulativeCount())
	}
	o.Latency.Count = t.Latency.GetSampleCount()
	if t.Events > 0 {
		o.Oldest = &console.Oldest{
			LSN: position(t.LSN), Table: t.Table, Seconds: max(time.Since(t.Committed).Seconds(), 0), Why: why(o),
		}
	}
	return o
}

// why says what the oldest change of an output waits for.
func why(o console.Output) string {
	return cmp.Or(o.Reason, o.Note, "is being delivered")
}

// events are the last ones.
func (s *service) events() []console.Event {
	var events []console.Event
	for _, e := range s.recent.Events() {
		events = append(events, eventStatus(e))
	}
	return events
}

func eventStatus(e metrics.RecentEvent) console.Event {
	ev := console.Event{
		ID: publisher.ID(e.ID).String(), LSN: position(e.LSN), Table: e.Table, Action: e.Action,
		Committed: e.Committed.UTC(),
	}
	for _, h := range e.Hops {
		hop := console.Hop{Output: h.Output, Topic: h.Topic, Confirmed: !h.Confirmed.IsZero()}
		if hop.Confirmed {
			hop.Seconds = max(h.Confirmed.Sub(e.Committed).Seconds(), 0)
		}
		ev.Path = append(ev.Path, hop)
	}
	return ev
}
