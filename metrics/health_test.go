package metrics

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeClock is a clock that moves when told to.
type fakeClock struct{ offset atomic.Int64 }

// noon is where a fakeClock starts, in a zone that is not UTC.
var noon = time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("CET", 3600))

func (c *fakeClock) now() time.Time          { return noon.Add(time.Duration(c.offset.Load())) }
func (c *fakeClock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func newTestHealth() (*Health, *fakeClock) {
	clock := new(fakeClock)
	return NewHealth(clock.now), clock
}

// wantComponent fails unless the only component of h is in the given state.
func wantComponent(t *testing.T, h *Health, want ComponentReport) {
	t.Helper()
	r := h.Report()
	if len(r.Components) != 1 {
		t.Fatalf("%d components, want 1", len(r.Components))
	}
	if got := r.Components[0]; got != want {
		t.Errorf("component is\n%+v, want\n%+v", got, want)
	}
	if r.Ready != want.Ready {
		t.Errorf("ready is %t, its only component's %t", r.Ready, want.Ready)
	}
}

func TestNotReadyBeforeAnythingIsKnown(t *testing.T) {
	h, _ := newTestHealth()
	if r := h.Report(); r.Ready || r.Status != StatusBlocked {
		t.Errorf("report without components is %+v", r)
	}
}

func TestNewComponentIsStarting(t *testing.T) {
	h, clock := newTestHealth()
	c := h.Component("postgres")
	clock.advance(1500 * time.Millisecond)
	wantComponent(t, h, ComponentReport{Name: "postgres", Reason: "starting", Since: noon.UTC(), Seconds: 1.5})
	if h.Component("postgres") != c {
		t.Error("one name, two components")
	}
}

func TestBlockageKeepsItsBeginning(t *testing.T) {
	h, clock := newTestHealth()
	c := h.Component("nats")
	c.Ready()
	clock.advance(time.Minute)
	c.Blocked("connection refused", "0/10")
	clock.advance(time.Minute)
	c.Blocked("no stream", "0/20")
	clock.advance(time.Second)
	wantComponent(t, h, ComponentReport{
		Name: "nats", Reason: "no stream", LSN: "0/20",
		Since: noon.Add(time.Minute).UTC(), Seconds: 61,
	})
}

func TestRecoveryEndsABlockage(t *testing.T) {
	h, clock := newTestHealth()
	c := h.Component("nats")
	c.Blocked("connection refused", "0/10")
	clock.advance(time.Minute)
	c.Ready()
	clock.advance(time.Minute)
	c.Ready()
	clock.advance(time.Minute)
	wantComponent(t, h, ComponentReport{Name: "nats", Ready: true, Since: noon.Add(time.Minute).UTC(), Seconds: 120})
	c.Blocked("disk full", "")
	wantComponent(t, h, ComponentReport{Name: "nats", Reason: "disk full", Since: noon.Add(3 * time.Minute).UTC()})
}

func TestNoteIsShownWhateverTheStateUntilItIsTakenBack(t *testing.T) {
	h, clock := newTestHealth()
	c := h.Component("crm")
	c.Ready()
	c.Note("taken for down: status 503")
	clock.advance(time.Minute)
	wantComponent(t, h, ComponentReport{Name: "crm", Ready: true, Note: "taken for down: status 503", Since: noon.UTC(), Seconds: 60})
	c.Blocked("parking cannot be reached", "0/10")
	c.Note("taken for down: status 500")
	wantComponent(t, h, ComponentReport{
		Name: "crm", Reason: "parking cannot be reached", LSN: "0/10", Note: "taken for down: status 500", Since: noon.Add(time.Minute).UTC(),
	})
	c.Ready()
	c.Note("")
	wantComponent(t, h, ComponentReport{Name: "crm", Ready: true, Since: noon.Add(time.Minute).UTC()})
}

func TestOneBlockedComponentIsEnough(t *testing.T) {
	h, _ := newTestHealth()
	h.Component("postgres").Ready()
	h.Component("nats").Ready()
	if r := h.Report(); !r.Ready || r.Status != StatusReady {
		t.Fatalf("all components are ready, but: %+v", r)
	}
	h.Component("kafka").Blocked("gone", "")
	r := h.Report()
	if r.Ready || r.Status != StatusBlocked {
		t.Errorf("kafka is blocked, but: %+v", r)
	}
	for i, name := range []string{"kafka", "nats", "postgres"} {
		if r.Components[i].Name != name {
			t.Errorf("component %d is %s, want %s", i, r.Components[i].Name, name)
		}
	}
}

func TestStoppingIsNeverReady(t *testing.T) {
	h, _ := newTestHealth()
	c := h.Component("postgres")
	c.Ready()
	h.Stopping()
	c.Ready()
	if r := h.Report(); r.Ready || r.Status != StatusStopping {
		t.Errorf("stopping, but: %+v", r)
	}
}

func TestLoopThatStandsStillIsDead(t *testing.T) {
	h, clock := newTestHealth()
	loop := h.Liveness("listener", 10*time.Second)
	other := h.Liveness("delivery", time.Minute)
	clock.advance(10 * time.Second)
	if r := h.Alive(); !r.Alive {
		t.Errorf("dead within the limit: %+v", r)
	}
	clock.advance(time.Second)
	other.Beat()
	r := h.Alive()
	want := []HeartbeatReport{
		{Name: "delivery", Alive: true, Since: noon.Add(11 * time.Second).UTC(), Limit: 60},
		{Name: "listener", Since: noon.UTC(), Seconds: 11, Limit: 10},
	}
	if r.Alive || r.Heartbeats[0] != want[0] || r.Heartbeats[1] != want[1] {
		t.Errorf("report is\n%+v, want dead and\n%+v", r, want)
	}
	loop.Beat()
	if r := h.Alive(); !r.Alive {
		t.Errorf("dead after a beat: %+v", r)
	}
}

func TestBlockedComponentDoesNotKill(t *testing.T) {
	h, clock := newTestHealth()
	h.Component("nats").Blocked("gone", "")
	clock.advance(24 * time.Hour)
	if r := h.Alive(); !r.Alive {
		t.Errorf("a broker that is down has the process restarted: %+v", r)
	}
}

func TestLoopThatEndedIsNotMissed(t *testing.T) {
	h, clock := newTestHealth()
	earlier := h.Liveness("listener", time.Second)
	loop := h.Liveness("listener", time.Second)
	earlier.Done() // its place is taken: this must not end the watch
	clock.advance(time.Minute)
	if h.Alive().Alive {
		t.Error("the loop that took the place is not watched")
	}
	loop.Done()
	if r := h.Alive(); !r.Alive || len(r.Heartbeats) != 0 {
		t.Errorf("a loop that is done is missed: %+v", r)
	}
}

func TestPartsOfNilHealthDoNothing(t *testing.T) {
	var h *Health
	c, b := h.Component("postgres"), h.Liveness("listener", time.Second)
	if c != nil || b != nil {
		t.Fatal("nil health has parts")
	}
	c.Ready()
	c.Blocked("reason", "0/1")
	c.Note("note")
	b.Beat()
	b.Done()
}

func TestHealthUnderConcurrentUse(t *testing.T) {
	h, clock := newTestHealth()
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "a", "b"} {
		wg.Go(func() {
			c, b := h.Component(name), h.Liveness(name, time.Hour)
			for range 200 {
				c.Blocked("gone", "0/1")
				c.Note("down")
				clock.advance(time.Millisecond)
				b.Beat()
				c.Ready()
			}
		})
	}
	wg.Go(func() {
		for range 200 {
			for _, c := range h.Report().Components {
				if c.Ready != (c.Reason == "") || c.Seconds < 0 {
					t.Errorf("torn report: %+v", c)
				}
			}
			h.Alive()
		}
	})
	wg.Wait()
	if !h.Report().Ready || !h.Alive().Alive {
		t.Errorf("not ready or not alive in the end: %+v", h.Report())
	}
}

func TestStandbyIsNotReadyAndHasNothingToMend(t *testing.T) {
	h, clock := newTestHealth()
	source, output := h.Component("postgres"), h.Component("nats")
	output.Ready()
	clock.advance(time.Second)
	source.Standby("slot is in use")
	clock.advance(time.Second)
	source.Standby("slot is in use, still")
	r := h.Report()
	if r.Ready || r.Status != StatusStandby {
		t.Errorf("report of a standby is %+v", r)
	}
	if c := r.Components[1]; !c.Standby || c.Seconds != 1 || c.Reason != "slot is in use, still" {
		t.Errorf("its source is %+v", c)
	}
	output.Blocked("down", "")
	if r := h.Report(); r.Status != StatusBlocked {
		t.Errorf("a standby whose output is down is %s", r.Status)
	}
	output.Ready()
	source.Ready()
	if r := h.Report(); !r.Ready || r.Status != StatusReady || r.Components[1].Standby {
		t.Errorf("once it reads the slot, it is %+v", r)
	}
}
