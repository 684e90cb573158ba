package verify

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/rulefmt"
)

const (
	alertsFile   = "../prometheus/alerts.yml"
	runbooksFile = "../../docs/runbooks.md"
)

// alerts returns the rules of the file, which Prometheus' own reader has to accept.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(alertsFile, false, model.UTF8Validation, newParser(), promslog.NewNopLogger())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no alerts")
	}
	return all
}

func TestAlertsAskForMetricsThatExist(t *testing.T) {
	series := seriesOf(catalogue(t))
	for _, r := range alerts(t) {
		for _, problem := range checkExpr(r.Expr, series) {
			t.Errorf("%s: %s", r.Alert, problem)
		}
	}
}

func TestEveryAlertSaysHowBadWhatAndWhereToLook(t *testing.T) {
	for _, r := range alerts(t) {
		if !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) {
			t.Errorf("%s has the severity %q", r.Alert, r.Labels["severity"])
		}
		for _, key := range []string{"summary", "description"} {
			if r.Annotations[key] == "" {
				t.Errorf("%s has no %s", r.Alert, key)
			}
		}
		if want := "docs/runbooks.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s has the runbook_url %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
	}
}

func TestEveryAlertHasARunbookAndEveryRunbookAnAlert(t *testing.T) {
	page, err := os.ReadFile(runbooksFile)
	if err != nil {
		t.Fatal(err)
	}
	var headings, names []string
	for _, h := range regexp.MustCompile(`(?m)^#+ (Walherald\w+)$`).FindAllSubmatch(page, -1) {
		headings = append(headings, string(h[1]))
	}
	for _, r := range alerts(t) {
		names = append(names, r.Alert)
	}
	slices.Sort(headings)
	slices.Sort(names)
	if !slices.Equal(headings, names) {
		t.Errorf("the runbooks are for\n%v\nand the alerts are\n%v", headings, names)
	}
}
