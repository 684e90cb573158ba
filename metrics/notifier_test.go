package metrics

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestDestinationsSeriesStartAtZero(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	New(reg, "a").Destination("crm")
	wantLines(t, scrape(t, reg),
		`walherald_notification_attempts_total{app="a",destination="crm",result="ok"} 0`,
		`walherald_notification_attempts_total{app="a",destination="crm",result="failed"} 0`,
		`walherald_notification_attempts_total{app="a",destination="crm",result="refused"} 0`,
		`walherald_notification_circuit_open{app="a",destination="crm"} 0`,
		`walherald_notification_request_seconds_count{app="a",destination="crm"} 0`,
	)
}

func TestNotificationsAreCountedByHowTheyEnded(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	crm, team := m.Destination("crm"), m.Destination("team")
	for i, o := range []Outcome{OutcomeDelivered, OutcomeParked, OutcomeDropped, OutcomeCoalesced, OutcomeRedelivered, OutcomeExpired} {
		crm.Ended("paid", o, i+1)
	}
	crm.Ended("paid", OutcomeDelivered, 10)
	crm.Ended("other", OutcomeDelivered, 1)
	team.Ended("paid", OutcomeDelivered, 0)
	m.Destination("team").Ended("paid", OutcomeDelivered, 2) // the same series
	lines := scrape(t, reg)
	wantLines(t, lines,
		`walherald_notifications_total{app="a",destination="crm",outcome="delivered",rule="paid"} 11`,
		`walherald_notifications_total{app="a",destination="crm",outcome="parked",rule="paid"} 2`,
		`walherald_notifications_total{app="a",destination="crm",outcome="dropped",rule="paid"} 3`,
		`walherald_notifications_total{app="a",destination="crm",outcome="coalesced",rule="paid"} 4`,
		`walherald_notifications_total{app="a",destination="crm",outcome="redelivered",rule="paid"} 5`,
		`walherald_notifications_total{app="a",destination="crm",outcome="expired",rule="paid"} 6`,
		`walherald_notifications_total{app="a",destination="crm",outcome="delivered",rule="other"} 1`,
		`walherald_notifications_total{app="a",destination="team",outcome="delivered",rule="paid"} 2`,
	)
	count := func(line string) bool { return strings.HasPrefix(line, "walherald_notifications_total{") }
	if n := len(slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !count(l) })); n != 8 {
		t.Errorf("%d series of notifications, want 8", n)
	}
}

func TestRequestsAreMeasuredByWhatCameOfThem(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	crm := m.Destination("crm")
	m.Destination("team")
	down := errors.New("status 503")
	crm.Request(250*time.Millisecond, nil, false)
	crm.Request(500*time.Millisecond, nil, false)
	crm.Request(time.Second, down, false)
	crm.Request(time.Second, down, true)
	crm.Request(time.Second, down, true)
	crm.Request(time.Second, down, true)
	wantLines(t, scrape(t, reg),
		`walherald_notification_attempts_total{app="a",destination="crm",result="ok"} 2`,
		`walherald_notification_attempts_total{app="a",destination="crm",result="failed"} 1`,
		`walherald_notification_attempts_total{app="a",destination="crm",result="refused"} 3`,
		`walherald_notification_request_seconds_count{app="a",destination="crm"} 6`,
		`walherald_notification_request_seconds_sum{app="a",destination="crm"} 4.75`,
		`walherald_notification_attempts_total{app="a",destination="team",result="ok"} 0`,
		`walherald_notification_request_seconds_count{app="a",destination="team"} 0`,
	)
}

func TestStateOfADestinationIsTheLastOne(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "a")
	crm, team := m.Destination("crm"), m.Destination("team")
	crm.Open(true)
	team.Open(true)
	team.Open(false)
	crm.Parked(7, 90*time.Second)
	team.Parked(7, time.Hour)
	team.Parked(0, -time.Second) // the database's clock is ahead of ours
	wantLines(t, scrape(t, reg),
		`walherald_notification_circuit_open{app="a",destination="crm"} 1`,
		`walherald_notification_circuit_open{app="a",destination="team"} 0`,
		`walherald_parked_notifications{app="a",destination="crm"} 7`,
		`walherald_parked_oldest_seconds{app="a",destination="crm"} 90`,
		`walherald_parked_notifications{app="a",destination="team"} 0`,
		`walherald_parked_oldest_seconds{app="a",destination="team"} 0`,
	)
}

// A destination parks nothing it could show if it is of those that drop or hold; a
// table that nobody counts must not look empty.
func TestNothingIsSaidOfAParkingThatNobodyCounted(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	New(reg, "a").Destination("crm")
	for _, line := range scrape(t, reg) {
		if strings.HasPrefix(line, "walherald_parked_") {
			t.Errorf("said: %s", line)
		}
	}
}

// Names of rules and destinations can come from rows of the parking.
func TestNamesThatAreNoTextDoNotBreakTheScrape(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	New(reg, "a").Destination("c\xffm").Ended("r\xff", OutcomeParked, 1)
	wantLines(t, scrape(t, reg), "walherald_notifications_total{app=\"a\",destination=\"c\uFFFDm\",outcome=\"parked\",rule=\"r\uFFFD\"} 1")
}

func TestDestinationOfNilMetricsMeasuresNothing(t *testing.T) {
	var m *Metrics
	d := m.Destination("crm")
	if d != nil {
		t.Fatal("nil metrics have a destination")
	}
	d.Ended("rule", OutcomeDelivered, 1)
	d.Request(time.Second, nil, false)
	d.Open(true)
	d.Parked(1, time.Second)
}
