package verify

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

// patience is from how many minutes before the end the alerts are evaluated: more than
// the longest "for", and than any look back at what fires no more.
const patience = 40

// maxSamples bounds what one query may load, as Prometheus does.
const maxSamples = 1_000_000

// fire evaluates all alerts every minute and returns those that fire at the end.
func fire(t *testing.T, s *situation) map[string][]*rules.Alert {
	t.Helper()
	storage := promqltest.LoadedStorage(t, s.load())
	engine := promqltest.NewTestEngine(t, false, 0, maxSamples)
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(engine, storage), Appendable: storage, Queryable: storage, Context: t.Context(),
		Logger: promslog.NewNopLogger(), ExternalURL: new(url.URL), Parser: newParser(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, // nobody is told
	})
	groups, errs := manager.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, alertsFile)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for minute := lastMinute - patience; minute <= lastMinute; minute++ {
		for _, g := range groups {
			g.Eval(t.Context(), time.Unix(int64(minute)*60, 0))
		}
	}
	return firing(t, groups)
}

func firing(t *testing.T, groups map[string]*rules.Group) map[string][]*rules.Alert {
	t.Helper()
	all := make(map[string][]*rules.Alert)
	for _, g := range groups {
		for _, r := range g.AlertingRules() {
			if r.LastError() != nil {
				t.Errorf("%s: %v", r.Name(), r.LastError())
			}
			for _, a := range r.ActiveAlerts() {
				if a.State == rules.StateFiring {
					all[r.Name()] = append(all[r.Name()], a)
				}
			}
		}
	}
	return all
}

func TestAlertsFireInTheirSituationAndInNoOther(t *testing.T) {
	tested := make(map[string]bool)
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			all := fire(t, &s)
			got, want := slices.Sorted(maps.Keys(all)), slices.Sorted(slices.Values(s.alerts))
			if !slices.Equal(got, want) {
				t.Errorf("%v fire, want %v", got, want)
			}
			for name, alerts := range all {
				tested[name] = true
				checkTexts(t, name, alerts)
			}
		})
	}
	for _, r := range alerts(t) {
		if !tested[r.Alert] {
			t.Errorf("%s fires in no situation", r.Alert)
		}
	}
}

// checkTexts holds that the texts people get are whole.
func checkTexts(t *testing.T, name string, alerts []*rules.Alert) {
	t.Helper()
	if len(alerts) != 1 {
		t.Errorf("%s fires %d times for one trouble", name, len(alerts))
	}
	for _, a := range alerts {
		a.Annotations.Range(func(l labels.Label) {
			if strings.Contains(l.Value, "error expanding") || strings.Contains(l.Value, "no value") || strings.Contains(l.Value, "  ") {
				t.Errorf("%s: %s is %q", name, l.Name, l.Value)
			}
			t.Logf("%s: %s", l.Name, l.Value)
		})
	}
}
