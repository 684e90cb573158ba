package metrics

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestTablesPastTheBoundShareOneSeries(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	m.MaxSeries(3)
	for i := range 10 {
		name := fmt.Sprintf("public.t%d", i)
		m.FilteredCounter(name).Inc()
		m.PublishedCounter("shop."+name, name).Add(2)
		m.FilteredCounter(name).Inc() // one that has a series keeps it
	}
	wantLines(t, scrape(t, reg),
		`filter_skipped_events_total{app="a",table="public.t2"} 2`,
		`filter_skipped_events_total{app="a",table="_other"} 14`,
		`published_events_total{app="a",subject="shop.public.t2",table="public.t2"} 2`,
		`published_events_total{app="a",subject="_other",table="_other"} 14`,
	)
	for _, name := range []string{"filter_skipped_events_total", "published_events_total"} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != 4 {
			t.Errorf("%d series of %s, want 3 and that of the others (%v)", n, name, err)
		}
	}
	if got := m.FilteredTotal(); got != 20 {
		t.Errorf("%v changes are filtered, want 20", got)
	}
}

func TestLagIsWhatTheServerKeepsAndWhatWaitsLongest(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	m.Server(5000)
	m.Received(4000)
	m.Confirmed(3500)
	m.Flushed(3000)
	slow, fast := m.Output("slow"), m.Output("fast")
	asked := 0
	m.OnGather(func() {
		asked++
		slow.Waiting(Waiting{Events: 2, Bytes: 300, Limit: 1000, Committed: time.Now().Add(-time.Hour)})
		fast.Waiting(Waiting{Limit: 1000, Committed: time.Now().Add(-2 * time.Hour)}) // nothing waits
	})
	got := scrape(t, m.Gatherer(reg))
	wantLines(t, got,
		`walherald_server_lsn_bytes{app="a"} 5000`,
		`walherald_received_lsn_bytes{app="a"} 4000`,
		`walherald_confirmed_lsn_bytes{app="a"} 3500`,
		`walherald_flushed_lsn_bytes{app="a"} 3000`,
		`walherald_lag_bytes{app="a"} 2000`,
		`walherald_output_window_bytes{app="a",output="slow"} 300`,
		`walherald_output_window_events{app="a",output="slow"} 2`,
		`walherald_oldest_unconfirmed_seconds{app="a",output="fast"} 0`,
	)
	if lag := testutil.ToFloat64(m.log.lagSeconds); lag < 3600 || lag > 3700 {
		t.Errorf("the lag is %v s, want that of the oldest commit that waits, an hour", lag)
	}
	if asked != 1 {
		t.Errorf("windows were looked at %d times for one scrape", asked)
	}
}

func TestServerThatIsBehindWhatItWasToldHasNoLag(t *testing.T) {
	for _, p := range []Positions{{Server: 10, Flushed: 20}, {Server: 10}, {}} {
		if lag := p.Lag(); lag != 0 {
			t.Errorf("the lag of %+v is %d", p, lag)
		}
	}
}

func TestWhatIsNotKnownOfTheSlotHasNoSeries(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	if m.LastSlot().Known {
		t.Error("the slot is known before the server was asked")
	}
	m.Slot(Slot{Status: "extended", Retained: 7, Safe: 9})
	wantLines(t, scrape(t, reg),
		`walherald_slot_retained_bytes{app="a"} 7`, `walherald_slot_safe_bytes{app="a"} 9`,
		`walherald_slot_status{app="a",status="extended"} 1`, `walherald_slot_status{app="a",status="reserved"} 0`)
	m.Slot(Slot{Status: "lost", Retained: math.NaN(), Safe: math.NaN()})
	for _, name := range []string{"walherald_slot_retained_bytes", "walherald_slot_safe_bytes"} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != 0 {
			t.Errorf("%s has %d series although nobody knows it (%v)", name, n, err)
		}
	}
	wantLines(t, scrape(t, reg), `walherald_slot_status{app="a",status="lost"} 1`, `walherald_slot_status{app="a",status="extended"} 0`)
	if s := m.LastSlot(); !s.Known || s.Status != "lost" {
		t.Errorf("the slot is %+v", s)
	}
}

func TestHealthIsShownAsNumbers(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	h, clock := newTestHealth()
	m.ShowHealth(h, "postgres")
	h.Component("postgres").Standby("slot is in use")
	h.Component("nats").Ready()
	h.Component("kafka").Blocked("down", "")
	wantLines(t, scrape(t, m.Gatherer(reg)),
		`walherald_source_ready{app="a"} 0`, `walherald_standby{app="a"} 1`,
		`walherald_output_ready{app="a",output="nats"} 1`, `walherald_output_ready{app="a",output="kafka"} 0`)
	if lag := testutil.ToFloat64(m.log.lagSeconds); lag != 0 {
		t.Errorf("a standby is %v s behind", lag)
	}
	h.Component("postgres").Blocked("connection refused", "")
	clock.advance(90 * time.Second)
	wantLines(t, scrape(t, m.Gatherer(reg)), `walherald_lag_seconds{app="a"} 90`)
	h.Component("postgres").Ready()
	wantLines(t, scrape(t, m.Gatherer(reg)), `walherald_source_ready{app="a"} 1`, `walherald_standby{app="a"} 0`)
}

func TestTotalsAreThoseOfTheMetrics(t *testing.T) {
	m := New(prometheus.NewPedanticRegistry(), "a")
	o := m.Output("nats")
	o.Delivered(3, 600, time.Millisecond)
	o.Delivered(5, 600, time.Millisecond)
	o.CommitToConfirm(30 * time.Millisecond)
	o.Failed()
	o.Confirmed(77)
	o.Mode("fast-ingest")
	got := o.Totals()
	if got.Messages != 8 || got.Batches != 2 || got.Failures != 1 || got.Confirmed != 77 || got.Mode != "fast-ingest" || got.Latency.GetSampleCount() != 1 {
		t.Errorf("totals are %+v", got)
	}
	d := m.Destination("crm")
	d.MatchedCounter("paid").Add(4)
	d.Ended("paid", OutcomeDelivered, 2)
	d.Ended("paid", OutcomeParked, 1)
	d.Ended("paid", OutcomeDropped, 1)
	if got := d.RuleTotals("paid"); got != (RuleTotals{Matched: 4, Delivered: 2, Parked: 1, Other: 1}) {
		t.Errorf("totals of the rule are %+v", got)
	}
}

func TestMessagesThatAreLeftOutDoNotCountAsPublished(t *testing.T) {
	o := New(prometheus.NewPedanticRegistry(), "a").Output("nats")
	o.Skip("s", "t")
	o.Skip("s", "t")
	o.Skip("s", "t") // told of twice
	for _, run := range []struct{ n, want int }{{1, 1}, {5, 2}} {
		if got := o.LeftOut("s", "t", run.n); got != run.want {
			t.Errorf("%d of a run of %d are left out, want %d", got, run.n, run.want)
		}
	}
	o.Skip("s", "t")
	o.Delivered(6, 60, time.Millisecond)
	if got := o.LeftOut("s", "t", 5) + o.LeftOut("other", "t", 5); got != 0 {
		t.Errorf("%d of the next batch are left out", got)
	}
}
