package verify

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Situations are told by what Prometheus has scraped, once a minute, from minute 0 to
// the last one. Values are in the notation of Prometheus' own tests: 5x100 stands for
// 101 times 5, 0+3x100 grows by 3 each time, _x9 is no value.
const lastMinute = 120

// healthy is a reader with a broker and a destination, and nothing wrong. The number of
// times is left out: it is up to the end.
var healthy = map[string]string{
	`up`:                                                         "1",
	`process_start_time_seconds`:                                 "1000",
	`walherald_build_info{version="1.0.0"}`:                      "1",
	`walherald_source_ready`:                                     "1",
	`walherald_standby`:                                          "0",
	`walherald_server_lsn_bytes`:                                 "1000000+5000",
	`walherald_received_lsn_bytes`:                               "1000000+5000",
	`walherald_confirmed_lsn_bytes`:                              "999000+5000",
	`walherald_flushed_lsn_bytes`:                                "999000+5000",
	`walherald_lag_bytes`:                                        "1000",
	`walherald_lag_seconds`:                                      "0",
	`walherald_reconnects_total`:                                 "1",
	`walherald_slot_retained_bytes`:                              "20000000",
	`walherald_slot_safe_bytes`:                                  "10000000000",
	`walherald_slot_status{status="reserved"}`:                   "1",
	`walherald_slot_status{status="extended"}`:                   "0",
	`walherald_slot_status{status="unreserved"}`:                 "0",
	`walherald_slot_status{status="lost"}`:                       "0",
	`walherald_reloads_total{result="applied"}`:                  "2",
	`walherald_reloads_total{result="refused"}`:                  "1",
	`walherald_output_ready{output="stream"}`:                    "1",
	`walherald_output_ready{output="billing"}`:                   "1",
	`walherald_oldest_unconfirmed_seconds{output="stream"}`:      "0",
	`walherald_oldest_unconfirmed_seconds{output="billing"}`:     "0",
	`walherald_deliver_failures_total{output="stream"}`:          "4",
	`walherald_output_held_up_seconds_total{output="stream"}`:    "0+1",
	`problematic_events_total{kind="oversize"}`:                  "1",
	`problematic_events_total{kind="transaction_size"}`:          "0",
	`problematic_events_total{kind="parse"}`:                     "0",
	`problematic_events_total{kind="ack"}`:                       "0",
	`walherald_notification_circuit_open{destination="billing"}`: "0",
	`walherald_parked_notifications{destination="billing"}`:      "0",
	`walherald_parked_oldest_seconds{destination="billing"}`:     "0",
	`walherald_notifications_total{destination="billing",outcome="delivered",rule="orders"}`: "0+9",
	`walherald_notifications_total{destination="billing",outcome="dropped",rule="orders"}`:   "3",
}

// situation is what differs from the healthy state. The alerts are all that fire at its
// end.
type situation struct {
	name   string
	alerts []string
	// series replace those that are healthy or come beside them; here the times are
	// given. What is empty is not there.
	series map[string]string
	// gone is the minute after which nothing healthy is there any more; 0 means never.
	gone int
}

// standby is what a second process shows that waits for the slot.
var standby = map[string]string{
	`up{instance="b:2112"}`:                                     "1x120",
	`walherald_source_ready{instance="b:2112"}`:                 "0x120",
	`walherald_standby{instance="b:2112"}`:                      "1x120",
	`walherald_output_ready{instance="b:2112",output="stream"}`: "0x120",
}

// beside returns the series of a with those of b, which win.
func beside(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

var situations = []situation{
	{name: "healthy"},
	{name: "gone", alerts: []string{"WalheraldDown", "WalheraldAbsent"}, gone: 100, series: map[string]string{`up`: "1x100 0x20"}},
	{name: "down for a moment", series: map[string]string{`up`: "1x118 0x2"}},
	{name: "not scraped any more", alerts: []string{"WalheraldAbsent"}, gone: 100, series: map[string]string{`up`: "1x100 stale"}},
	{name: "crash loop", alerts: []string{"WalheraldRestarting"}, series: map[string]string{`process_start_time_seconds`: "1000+60x120"}},
	{name: "one restart", series: map[string]string{`process_start_time_seconds`: "1000x110 5000x10"}},
	{name: "reload refused", alerts: []string{"WalheraldReloadRefused"}, series: map[string]string{`walherald_reloads_total{result="refused"}`: "1x110 2x10"}},

	{name: "database down", alerts: []string{"WalheraldNotReading"}, series: map[string]string{
		`walherald_source_ready`: "1x110 0x10", `walherald_server_lsn_bytes`: "5000x120", `walherald_flushed_lsn_bytes`: "5000x120",
	}},
	{name: "one reads, one stands by", series: standby},
	{name: "both stand by", alerts: []string{"WalheraldNotReading"}, series: beside(standby, map[string]string{
		`walherald_source_ready`: "0x120", `walherald_standby`: "1x120",
	})},
	{name: "standby removed", alerts: []string{"WalheraldStandbyMissing"}, series: map[string]string{
		`up{instance="b:2112"}`: "1x90 stale", `walherald_source_ready{instance="b:2112"}`: "0x90 stale", `walherald_standby{instance="b:2112"}`: "1x90 stale",
	}},
	{name: "standby took over and the first came back", series: map[string]string{
		`walherald_source_ready`: "1x90 0x30", `walherald_standby`: "0x90 1x30",
		`walherald_source_ready{instance="b:2112"}`: "0x90 1x30", `walherald_standby{instance="b:2112"}`: "1x90 0x30",
	}},
	{name: "stood by for a moment at its start", series: map[string]string{
		`walherald_source_ready`: "0x1 1x118", `walherald_standby`: "1x1 0x118",
	}},
	{name: "connection lost again and again", alerts: []string{"WalheraldReconnecting"}, series: map[string]string{`walherald_reconnects_total`: "0+1x120"}},
	{name: "connection lost now and then", series: map[string]string{`walherald_reconnects_total`: "1x110 3x10"}},
	{name: "silent stall", alerts: []string{"WalheraldStalled"}, series: map[string]string{`walherald_flushed_lsn_bytes`: "999000+5000x100 1499000x20"}},
	{name: "idle server", series: map[string]string{`walherald_server_lsn_bytes`: "5000x120", `walherald_flushed_lsn_bytes`: "5000x120"}},
	{name: "late", alerts: []string{"WalheraldLagging"}, series: map[string]string{`walherald_lag_seconds`: "0x110 90x10"}},
	{name: "late for a moment", series: map[string]string{`walherald_lag_seconds`: "0x117 90x3"}},
	{name: "more is written than delivered", alerts: []string{"WalheraldLagGrowing"}, series: map[string]string{`walherald_lag_bytes`: "300000000+1000000x120"}},
	{name: "catching up", series: map[string]string{`walherald_lag_bytes`: "900000000-1000000x120"}},

	{name: "little safe log", alerts: []string{"WalheraldSlotNearLimit"}, series: map[string]string{
		`walherald_slot_retained_bytes`: "8000000000x120", `walherald_slot_safe_bytes`: "2000000000x120",
	}},
	{name: "unreserved", alerts: []string{"WalheraldSlotNearLimit", "WalheraldSlotUnreserved"}, series: map[string]string{
		`walherald_slot_retained_bytes`: "11000000000x120", `walherald_slot_safe_bytes`: "-1000000000x120",
		`walherald_slot_status{status="reserved"}`: "0x120", `walherald_slot_status{status="unreserved"}`: "1x120",
	}},
	{name: "much log and no bound", alerts: []string{"WalheraldSlotRetainsMuch"}, series: map[string]string{
		`walherald_slot_retained_bytes`: "20000000000x120", `walherald_slot_safe_bytes`: "",
	}},
	{name: "much log below a bound", series: map[string]string{
		`walherald_slot_retained_bytes`: "20000000000x120", `walherald_slot_safe_bytes`: "80000000000x120",
	}},

	{name: "broker down", alerts: []string{"WalheraldDeliveryFailing", "WalheraldLagging", "WalheraldOutputBlocked", "WalheraldOutputNotReady"}, series: map[string]string{
		`walherald_output_ready{output="stream"}`: "1x100 0x20", `walherald_oldest_unconfirmed_seconds{output="stream"}`: "0x100 0+60x20",
		`walherald_deliver_failures_total{output="stream"}`: "4x100 4+6x20", `walherald_lag_seconds`: "0x100 0+60x20",
	}},
	{name: "broker away for a moment", series: map[string]string{
		`walherald_output_ready{output="stream"}`: "1x117 0x3", `walherald_deliver_failures_total{output="stream"}`: "4x117 6x3",
		`walherald_lag_seconds`: "0x117 0+60x3", `walherald_oldest_unconfirmed_seconds{output="stream"}`: "0x117 0+60x3",
	}},
	{name: "one output holds reading up", alerts: []string{"WalheraldWindowHeldUp"}, series: map[string]string{`walherald_output_held_up_seconds_total{output="stream"}`: "0+40x120"}},
	{name: "a change too large", alerts: []string{"WalheraldChangesDropped"}, series: map[string]string{`problematic_events_total{kind="oversize"}`: "1x110 2x10"}},
	{name: "a transaction too large", alerts: []string{"WalheraldChangesDropped"}, series: map[string]string{`problematic_events_total{kind="transaction_size"}`: "0x110 90x10"}},
	{name: "a position the server is not told", alerts: []string{"WalheraldProblems"}, series: map[string]string{`problematic_events_total{kind="ack"}`: "0x110 1x10"}},

	{name: "destination down", alerts: []string{"WalheraldCircuitOpen", "WalheraldNotificationsParked"}, series: map[string]string{
		`walherald_notification_circuit_open{destination="billing"}`: "0x100 1x20", `walherald_parked_notifications{destination="billing"}`: "0x100 0+3x20",
		`walherald_parked_oldest_seconds{destination="billing"}`: "0x100 0+60x20",
	}},
	{name: "destination away for a moment", series: map[string]string{
		`walherald_notification_circuit_open{destination="billing"}`: "0x117 1x3", `walherald_parked_notifications{destination="billing"}`: "0x110 5x10",
	}},
	{name: "parked since the morning", alerts: []string{"WalheraldNotificationsParked", "WalheraldParkedOld"}, series: map[string]string{
		`walherald_parked_notifications{destination="billing"}`: "1x120", `walherald_parked_oldest_seconds{destination="billing"}`: "20000+60x120",
	}},
	{name: "another one given up", alerts: []string{"WalheraldNotificationsGivenUp"}, series: map[string]string{
		`walherald_notifications_total{destination="billing",outcome="dropped",rule="orders"}`: "3x110 4x10",
	}},
	{name: "the first one expired", alerts: []string{"WalheraldNotificationsGivenUp"}, series: map[string]string{
		`walherald_notifications_total{destination="billing",outcome="expired",rule="orders"}`: "_x110 1x10",
	}},
}

// load returns what Prometheus has of the situation.
func (s *situation) load() string {
	text := new(strings.Builder)
	text.WriteString("load 1m\n")
	put := func(selector, values string) { fmt.Fprintf(text, "  %s %s\n", scraped(selector), values) }
	for selector, value := range healthy {
		if _, replaced := s.series[selector]; replaced {
			continue
		}
		if s.gone > 0 {
			put(selector, fmt.Sprintf("%sx%d stale", value, s.gone))
			continue
		}
		put(selector, fmt.Sprintf("%sx%d", value, lastMinute))
	}
	for selector, values := range s.series {
		if values != "" {
			put(selector, values)
		}
	}
	return text.String()
}

// named takes a selector apart.
var named = regexp.MustCompile(`^(\w+)(?:\{(.*)\})?$`)

// scraped adds the labels that Prometheus and the registry add.
func scraped(selector string) string {
	parts := named.FindStringSubmatch(selector)
	labels := []string{`job="walherald"`}
	if !strings.Contains(parts[2], "instance=") {
		labels = append(labels, `instance="a:2112"`)
	}
	if parts[1] != "up" && !strings.HasPrefix(parts[1], "process_") {
		labels = append(labels, `app="walherald"`)
	}
	if parts[2] != "" {
		labels = append(labels, parts[2])
	}
	return parts[1] + "{" + strings.Join(labels, ",") + "}"
}

func TestSituationsAreToldInSeriesThatExist(t *testing.T) {
	series := seriesOf(catalogue(t))
	for _, s := range append(situations, situation{name: "healthy state", series: healthy}) {
		for selector := range s.series {
			got, err := newParser().ParseMetric(scraped(selector))
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Sorted(slices.Values(append([]string{"__name__"}, series[got.Get("__name__")]...)))
			var labels []string
			for name := range got.Map() {
				labels = append(labels, name)
			}
			if slices.Sort(labels); !slices.Equal(labels, want) {
				t.Errorf("%s: %s has the labels %v, but in the code %v", s.name, selector, labels, want)
			}
		}
	}
}
