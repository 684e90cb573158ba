package metrics

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestNamesOfWalListenerAreKept(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "orders")
	m.PublishedCounter("STREAM.public_users", "users").Add(3)
	m.PublishedCounter("STREAM.public_users", "users").Add(2)
	m.PublishedCounter("STREAM.public_pets", "pets").Add(1)
	m.FilteredCounter("audit").Add(7)
	m.Problem(ProblemPublish)

	want := `
# HELP filter_skipped_events_total Changes dropped by the filter.
# TYPE filter_skipped_events_total counter
filter_skipped_events_total{app="orders",table="audit"} 7
# HELP problematic_events_total Events something is wrong with, by kind.
# TYPE problematic_events_total counter
problematic_events_total{app="orders",kind="ack"} 0
problematic_events_total{app="orders",kind="oversize"} 0
problematic_events_total{app="orders",kind="parked"} 0
problematic_events_total{app="orders",kind="parse"} 0
problematic_events_total{app="orders",kind="publish"} 1
problematic_events_total{app="orders",kind="transaction_size"} 0
# HELP published_events_total Events published and confirmed.
# TYPE published_events_total counter
published_events_total{app="orders",subject="STREAM.public_pets",table="pets"} 1
published_events_total{app="orders",subject="STREAM.public_users",table="users"} 5
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want),
		"published_events_total", "filter_skipped_events_total", "problematic_events_total"); err != nil {
		t.Error(err)
	}
}

func TestSeriesStartAtZero(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	m.Output("nats")
	m.FilteredCounter("audit")
	wantLines(t, scrape(t, reg),
		`filter_skipped_events_total{app="a",table="audit"} 0`,
		`walherald_batch_bytes_count{app="a",output="nats"} 0`,
		`walherald_batch_messages_count{app="a",output="nats"} 0`,
		`walherald_commit_to_confirm_seconds_count{app="a",output="nats"} 0`,
		`walherald_confirmed_lsn_bytes{app="a"} 0`,
		`walherald_deliver_failures_total{app="a",output="nats"} 0`,
		`walherald_deliver_seconds_count{app="a",output="nats"} 0`,
		`walherald_received_lsn_bytes{app="a"} 0`,
		`walherald_reconnects_total{app="a"} 0`,
		`walherald_repeats_skipped_total{app="a",output="nats"} 0`,
		`walherald_server_lsn_bytes{app="a"} 0`,
		`walherald_transactions_total{app="a"} 0`,
		`walherald_window_bytes{app="a"} 0`,
		`walherald_window_limit_bytes{app="a"} 0`,
	)
}

func TestEveryMethodReachesItsOwnSeries(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	m.Received(1 << 40)
	m.Confirmed(1<<40 - 1)
	m.Server(1<<40 + 1)
	m.Window(11)
	m.WindowLimit(12)
	m.Transaction()
	m.Transaction()
	m.Reconnected()
	m.Build("1.2.3")
	m.FilteredCounter("audit").Add(2)
	m.FilteredCounter("audit").Add(1)
	m.PublishedCounter("s", "t").Add(4)
	m.PublishedCounter("s", "t").Add(1)
	wantLines(t, scrape(t, reg),
		`walherald_received_lsn_bytes{app="a"} 1.099511627776e+12`,
		`walherald_confirmed_lsn_bytes{app="a"} 1.099511627775e+12`,
		`walherald_server_lsn_bytes{app="a"} 1.099511627777e+12`,
		`walherald_window_bytes{app="a"} 11`,
		`walherald_window_limit_bytes{app="a"} 12`,
		`walherald_transactions_total{app="a"} 2`,
		`walherald_reconnects_total{app="a"} 1`,
		`walherald_build_info{app="a",version="1.2.3"} 1`,
		`filter_skipped_events_total{app="a",table="audit"} 3`,
		`published_events_total{app="a",subject="s",table="t"} 5`,
	)
}

func TestOutputsAreMeasuredApart(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	nats, kafka := m.Output("nats"), m.Output("kafka")
	nats.Delivered(3, 600, 2*time.Millisecond)
	nats.Delivered(5, 400, 6*time.Millisecond)
	nats.CommitToConfirm(500 * time.Millisecond)
	nats.RepeatsSkipped(4)
	kafka.Failed()
	wantLines(t, scrape(t, reg),
		`walherald_batch_messages_sum{app="a",output="nats"} 8`,
		`walherald_batch_messages_bucket{app="a",output="nats",le="4"} 1`,
		`walherald_batch_bytes_sum{app="a",output="nats"} 1000`,
		`walherald_batch_bytes_count{app="a",output="nats"} 2`,
		`walherald_deliver_seconds_sum{app="a",output="nats"} 0.008`,
		`walherald_deliver_seconds_bucket{app="a",output="nats",le="0.002"} 1`,
		`walherald_commit_to_confirm_seconds_sum{app="a",output="nats"} 0.5`,
		`walherald_repeats_skipped_total{app="a",output="nats"} 4`,
		`walherald_deliver_failures_total{app="a",output="nats"} 0`,
		`walherald_deliver_failures_total{app="a",output="kafka"} 1`,
		`walherald_batch_messages_count{app="a",output="kafka"} 0`,
	)
	if m.Output("nats") != nats {
		t.Error("the same output has two measures")
	}
}

func TestDatabaseClockAheadOfOursCountsAsNoDelay(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	New(reg, "a").Output("nats").CommitToConfirm(-time.Hour)
	wantLines(t, scrape(t, reg),
		`walherald_commit_to_confirm_seconds_sum{app="a",output="nats"} 0`,
		`walherald_commit_to_confirm_seconds_count{app="a",output="nats"} 1`,
	)
}

func TestOnlyTheModeInUseIsShown(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	nats, kafka := m.Output("nats"), m.Output("kafka")
	kafka.Mode("produce")
	for _, mode := range []string{"fast-ingest", "message-ids", "message-ids"} {
		nats.Mode(mode)
	}
	want := `
# HELP walherald_output_mode Path the output takes; 1 for the one in use.
# TYPE walherald_output_mode gauge
walherald_output_mode{app="a",mode="message-ids",output="nats"} 1
walherald_output_mode{app="a",mode="produce",output="kafka"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "walherald_output_mode"); err != nil {
		t.Error(err)
	}
}

func TestTimesAreToldApartFromAQuarterMillisecondToTenMinutes(t *testing.T) {
	first, last := secondsBuckets[0], secondsBuckets[len(secondsBuckets)-1]
	if first != 0.00025 || last != 600 {
		t.Errorf("buckets go from %v s to %v s", first, last)
	}
	for i := 1; i < len(secondsBuckets); i++ {
		if f := secondsBuckets[i] / secondsBuckets[i-1]; f < 1.8 || f > 2.5 {
			t.Errorf("bucket %v is %v times the one before", secondsBuckets[i], f)
		}
	}
}

func TestNamesThatAreNotUTF8AreCounted(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a\xff")
	m.PublishedCounter("s\xff", "t\xff").Add(1)
	m.FilteredCounter("t\xff").Add(1)
	m.FilteredCounter("t\xff").Inc()
	m.PublishedCounter("s\xff", "t\xff").Inc()
	m.Build("v\xff")
	m.Output("o\xff").Mode("m\xff")
	wantLines(t, scrape(t, reg),
		"published_events_total{app=\"a\uFFFD\",subject=\"s\uFFFD\",table=\"t\uFFFD\"} 2",
		"filter_skipped_events_total{app=\"a\uFFFD\",table=\"t\uFFFD\"} 2",
		"walherald_output_mode{app=\"a\uFFFD\",mode=\"m\uFFFD\",output=\"o\uFFFD\"} 1",
	)
}

func TestNamesFollowTheConventions(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	m.PublishedCounter("s", "t").Add(1)
	m.Build("v")
	m.Output("nats").Mode("m")
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestNilMetricsDoNothing(t *testing.T) {
	var m *Metrics
	m.PublishedCounter("s", "t").Add(1)
	m.FilteredCounter("t").Add(1)
	m.Problem(ProblemParse)
	m.Received(1)
	m.Confirmed(1)
	m.Server(1)
	m.Flushed(1)
	m.Slot(Slot{})
	m.Changes(1)
	m.Reloaded(true)
	m.MaxSeries(1)
	m.OnGather(func() {})
	m.Refresh()
	m.LastSlot()
	m.Reading()
	m.FilteredTotal()
	if at := m.Positions(); at != (Positions{}) {
		t.Errorf("nil metrics know positions: %+v", at)
	}
	m.Window(1)
	m.WindowLimit(1)
	m.Transaction()
	m.Reconnected()
	m.Build("v")
	for _, counter := range []prometheus.Counter{m.FilteredCounter("t"), m.PublishedCounter("s", "t")} {
		counter.Inc()
		if got := testutil.ToFloat64(counter); got != 1 {
			t.Errorf("counter of nil metrics stands at %v, want 1", got)
		}
	}
	o := m.Output("nats")
	if o != nil {
		t.Fatal("nil metrics have an output")
	}
	o.Delivered(1, 1, 1)
	o.CommitToConfirm(1)
	o.Failed()
	o.RepeatsSkipped(1)
	o.Mode("m")
	o.Waiting(Waiting{})
	o.Totals()
	d := m.Destination("d")
	d.MatchedCounter("r").Inc()
	d.RuleTotals("r")
	d.Stock()
	var r *Recent
	if r.Takes() {
		t.Error("a nil Recent takes events")
	}
	r.Confirmed("o", [16]byte{}, time.Time{})
	r.Events()
}

func TestNothingIsLostUnderConcurrentUse(t *testing.T) {
	const workers, rounds = 8, 200
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			counter := m.FilteredCounter("t")
			for i := range rounds {
				m.PublishedCounter("s", "t").Add(2)
				counter.Inc()
				m.Received(uint64(i))
				o := m.Output("nats")
				o.Delivered(1, 1, time.Millisecond)
				o.Mode([]string{"even", "odd"}[i%2])
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if _, err := reg.Gather(); err != nil {
				t.Errorf("scrape while counting: %v", err)
			}
		}
	})
	wg.Wait()
	m.Output("nats").Mode("last")
	wantLines(t, scrape(t, reg),
		`published_events_total{app="a",subject="s",table="t"} 3200`,
		`filter_skipped_events_total{app="a",table="t"} 1600`,
		`walherald_batch_messages_count{app="a",output="nats"} 1600`,
	)
	if n, err := testutil.GatherAndCount(reg, "walherald_output_mode"); err != nil || n != 1 {
		t.Errorf("%d modes are shown, want 1 (%v)", n, err)
	}
}
