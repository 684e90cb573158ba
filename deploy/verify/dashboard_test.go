package verify

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const dashboardFile = "../grafana/walherald.json"

// dashboard is what counts here of Grafana's form.
type dashboard struct {
	UID         string  `json:"uid"`
	Panels      []panel `json:"panels"`
	Annotations struct {
		List []struct{ Expr string }
	} `json:"annotations"`
	Templating struct {
		List []struct{ Name, Type, Definition string }
	} `json:"templating"`
}

type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Datasource  *source
	GridPos     grid `json:"gridPos"`
	FieldConfig struct {
		Defaults struct{ Unit string }
	} `json:"fieldConfig"`
	Targets []struct {
		RefID, Expr, LegendFormat string
		Datasource                *source
	} `json:"targets"`
}

type source struct{ Type, UID string }

type grid struct{ X, Y, W, H int }

func (g grid) overlaps(o grid) bool {
	return g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) == 0 || d.UID == "" {
		t.Fatal("the dashboard is empty")
	}
	return d
}

// substituted puts in place of Grafana's variables what they could stand for.
func substituted(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*").Replace(expr)
}

func TestDashboardAsksForMetricsThatExist(t *testing.T) {
	series := seriesOf(catalogue(t))
	d := readDashboard(t)
	check := func(where, expr string) {
		for _, problem := range checkExpr(substituted(expr), series) {
			t.Errorf("%s: %s", where, problem)
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			check(p.Title, target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		check("annotations", a.Expr)
	}
	values := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			parts := values.FindStringSubmatch(v.Definition)
			if parts == nil {
				t.Fatalf("variable %s asks for %q", v.Name, v.Definition)
			}
			check("variable "+v.Name, "count by ("+parts[2]+") ("+parts[1]+")")
		}
	}
}

func TestEveryMetricOfOursIsOnTheDashboard(t *testing.T) {
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range catalogue(t) {
		if f.own() && !regexp.MustCompile(`\b`+name+`(_bucket|_sum|_count)?\b`).Match(text) {
			t.Errorf("%s is on no panel", name)
		}
	}
}

func TestLegendsNameLabelsThatTheResultHas(t *testing.T) {
	label := regexp.MustCompile(`\{\{(\w+)\}\}`)
	series := seriesOf(catalogue(t))
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			for _, l := range label.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(resultLabels(t, substituted(target.Expr), series), l[1]) {
					t.Errorf("%s: the legend names %s, which %s does not have", p.Title, l[1], target.Expr)
				}
			}
		}
	}
}

func TestEveryPanelHasAPlaceAnIDAUnitAndAWordOfExplanation(t *testing.T) {
	panels := readDashboard(t).Panels
	ids := make(map[int]string)
	for i, p := range panels {
		if other, taken := ids[p.ID]; taken || p.ID == 0 {
			t.Errorf("%s has the id %d, as %q", p.Title, p.ID, other)
		}
		ids[p.ID] = p.Title
		for _, o := range panels[:i] {
			if p.GridPos.overlaps(o.GridPos) {
				t.Errorf("%s lies over %s", p.Title, o.Title)
			}
		}
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
			t.Errorf("%s has no place: %+v", p.Title, p.GridPos)
		}
		if p.Type != "row" {
			p.checkContent(t)
		}
	}
}

func (p *panel) checkContent(t *testing.T) {
	t.Helper()
	if p.FieldConfig.Defaults.Unit == "" || p.Description == "" || p.Title == "" || len(p.Targets) == 0 {
		t.Errorf("panel %d (%s) lacks unit, description, title or queries", p.ID, p.Title)
	}
	refs := make(map[string]bool)
	for _, target := range p.Targets {
		if refs[target.RefID] || target.RefID == "" {
			t.Errorf("%s has the query %q twice", p.Title, target.RefID)
		}
		refs[target.RefID] = true
		for _, s := range []*source{p.Datasource, target.Datasource} {
			if s == nil || *s != (source{"prometheus", "${datasource}"}) {
				t.Errorf("%s asks %v and not the data source that was chosen", p.Title, s)
			}
		}
	}
}
