package metrics

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// The values of [Report.Status].
const (
	StatusReady    = "ready"
	StatusStandby  = "standby"
	StatusBlocked  = "blocked"
	StatusStopping = "stopping"
)

// Health knows whether walherald can do its work and whether it still moves.
// It is safe for concurrent use.
type Health struct {
	clock func() time.Time
	start time.Time // heartbeats count from here

	mu         sync.Mutex
	stopping   bool
	components map[string]*Component
	heartbeats map[string]*Heartbeat
}

// NewHealth returns a Health that takes the time from clock, which is time.Now
// outside tests. It is not ready before it has a component.
func NewHealth(clock func() time.Time) *Health {
	return &Health{
		clock:      clock,
		start:      clock(),
		components: make(map[string]*Component),
		heartbeats: make(map[string]*Heartbeat),
	}
}

// Component is one thing walherald depends on: the source or an output. Its
// methods are safe for concurrent use and cheap enough to be called for every
// batch; those of a nil *Component do nothing.
type Component struct {
	health *Health
	name   string

	// Guarded by health.mu.
	ready   bool
	standby bool // not ready, and waiting for another process to end
	reason  string
	lsn     string
	note    string
	since   time.Time // of the present state, ready or not
}

// Component returns the component with that name. If it is new it is not ready,
// because it is starting. A nil *Health has nil components.
func (h *Health) Component(name string) *Component {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c, ok := h.components[name]; ok {
		return c
	}
	c := &Component{health: h, name: name, reason: "starting", since: h.clock()}
	h.components[name] = c
	return c
}

// Ready says that the component does its work.
func (c *Component) Ready() {
	if c == nil {
		return
	}
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	c.standby = false
	if !c.ready {
		c.ready, c.reason, c.lsn, c.since = true, "", "", c.health.clock()
	}
}

// Blocked says that the component cannot do its work, why, and at which LSN it
// waits; lsn is empty where there is none. While it stays blocked, reason and
// lsn are replaced and the time it began is kept. The reason is shown to whoever
// can reach the port: no secrets, no row data.
func (c *Component) Blocked(reason, lsn string) {
	if c == nil {
		return
	}
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	c.block(false, reason, lsn)
}

// Standby says that the component waits for another process, which does the work, to
// end. It is not ready, and there is nothing to mend.
func (c *Component) Standby(reason string) {
	if c == nil {
		return
	}
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	c.block(true, reason, "")
}

// block needs health.mu.
func (c *Component) block(standby bool, reason, lsn string) {
	if c.ready || c.standby != standby {
		c.ready, c.since = false, c.health.clock()
	}
	c.standby, c.reason, c.lsn = standby, reason, lsn
}

// Note says what is worth knowing of the component although it holds nothing up,
// such as a destination that is taken for down while its notifications are parked;
// an empty text takes it back. No secrets, no row data.
func (c *Component) Note(text string) {
	if c == nil {
		return
	}
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	c.note = text
}

// Stopping says that the process is shutting down on purpose. It is not ready
// any more, whatever its components say; there is no way back.
func (h *Health) Stopping() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
}

// Report is the answer to whether walherald can do its work.
type Report struct {
	Ready bool `json:"ready"`
	// Status is StatusReady, StatusStandby, StatusBlocked or StatusStopping. It is
	// StatusStandby if nothing is missing but the end of another process.
	Status string `json:"status"`
	// Components are sorted by name.
	Components []ComponentReport `json:"components"`
}

// ComponentReport is the state of one component.
type ComponentReport struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	// Standby is whether it waits for another process to end.
	Standby bool `json:"standby,omitempty"`
	// Reason says what blocks the component; empty if it is ready.
	Reason string `json:"reason,omitempty"`
	// Note is worth knowing, whether the component is ready or not.
	Note string `json:"note,omitempty"`
	// Since is when the component became ready or ceased to be, in UTC.
	Since time.Time `json:"since"`
	// Seconds is how long ago Since is, not disturbed by changes of the clock.
	Seconds float64 `json:"seconds"`
	// LSN is where the component waits; empty if it is ready or has none.
	LSN string `json:"lsn,omitempty"`
}

// Report says whether everything walherald depends on is there. It is ready if
// it has components, all of them are ready and it is not stopping.
func (h *Health) Report() Report {
	now := h.clock()
	h.mu.Lock()
	defer h.mu.Unlock()
	r := Report{
		Ready:      len(h.components) > 0 && !h.stopping,
		Components: make([]ComponentReport, 0, len(h.components)),
	}
	standby := len(h.components) > 0
	for _, c := range h.sortedComponents() {
		r.Components = append(r.Components, c.report(now))
		r.Ready = r.Ready && c.ready
		standby = standby && (c.ready || c.standby)
	}
	r.Status = h.status(r.Ready, standby)
	return r
}

func (h *Health) status(ready, standby bool) string {
	switch {
	case h.stopping:
		return StatusStopping
	case ready:
		return StatusReady
	case standby:
		return StatusStandby
	default:
		return StatusBlocked
	}
}

func (h *Health) sortedComponents() []*Component {
	return slices.SortedFunc(maps.Values(h.components), func(a, b *Component) int {
		return cmp.Compare(a.name, b.name)
	})
}

func (c *Component) report(now time.Time) ComponentReport {
	return ComponentReport{
		Name: c.name, Ready: c.ready, Standby: c.standby, Reason: c.reason, Note: c.note, LSN: c.lsn,
		Since: c.since.UTC(), Seconds: seconds(now.Sub(c.since)),
	}
}

// seconds is d to the millisecond. A state can be reported in the moment it
// changes, after now was taken: that is no time at all.
func seconds(d time.Duration) float64 { return max(d, 0).Round(time.Millisecond).Seconds() }
