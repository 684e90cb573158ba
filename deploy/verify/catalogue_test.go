package verify

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/walherald/walherald/metrics"
)

// family is a metric as the code registers it.
type family struct {
	name   string
	kind   string   // counter, gauge, histogram; of the Go runtime's also summary
	labels []string // but app, sorted
}

// own reports whether the metric is walherald's own and not one of every Go process.
func (f family) own() bool {
	return !strings.HasPrefix(f.name, "go_") && !strings.HasPrefix(f.name, "process_")
}

// series returns the names under which Prometheus stores the metric.
func (f family) series() []string {
	switch f.kind {
	case "histogram":
		return []string{f.name + "_bucket", f.name + "_sum", f.name + "_count"}
	case "summary":
		return []string{f.name, f.name + "_sum", f.name + "_count"}
	}
	return []string{f.name}
}

// described takes a description apart, which the library gives no other access to.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", .*variableLabels: \{([^}]*)\}\}$`)

// catalogue returns all metrics that the code registers, by name. Their names and labels
// are those of the registry; their kinds those of the series that exercise makes.
func catalogue(t *testing.T) map[string]family {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := metrics.New(reg, "walherald")
	exercise(m)
	kinds := kindsOf(t, m.Gatherer(reg))
	all := make(map[string]family)
	for desc := range descriptions(reg) {
		parts := described.FindStringSubmatch(desc.String())
		if parts == nil {
			t.Fatalf("description is of another form: %s", desc)
		}
		f := family{name: parts[1], kind: kinds[parts[1]], labels: strings.FieldsFunc(parts[2], func(r rune) bool { return r == ',' })}
		if f.kind == "" && f.own() {
			t.Errorf("%s has no series: make one in exercise", f.name)
		}
		slices.Sort(f.labels)
		all[f.name] = f
	}
	if len(all) == 0 {
		t.Fatal("no metric is found")
	}
	return all
}

func descriptions(c prometheus.Collector) <-chan *prometheus.Desc {
	all := make(chan *prometheus.Desc)
	go func() {
		defer close(all)
		c.Describe(all)
	}()
	return all
}

func kindsOf(t *testing.T, g prometheus.Gatherer) map[string]string {
	t.Helper()
	gathered, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]string)
	for _, f := range gathered {
		kinds[f.GetName()] = strings.ToLower(dto.MetricType_name[int32(f.GetType())])
	}
	return kinds
}

// exercise makes every series exist that begins with the first event of its kind.
func exercise(m *metrics.Metrics) {
	health := metrics.NewHealth(time.Now)
	health.Component("postgres").Ready()
	health.Component("stream").Ready()
	m.ShowHealth(health, "postgres")
	m.Build("1.0.0")
	m.PublishedCounter("shop.public_users", "public.users").Inc()
	m.FilteredCounter("public.audit").Inc()
	m.Slot(metrics.Slot{Status: "reserved", Retained: 1, Safe: 1, At: time.Now()})
	out := m.Output("stream")
	out.Delivered(1, 1, time.Millisecond)
	out.CommitToConfirm(time.Millisecond)
	out.Mode("fast-ingest")
	d := m.Destination("billing")
	d.MatchedCounter("orders").Inc()
	d.Ended("orders", metrics.OutcomeDelivered, 1)
	d.Request(time.Millisecond, nil, false)
	d.Parked(1, time.Second)
}

// seriesOf returns what can be asked for by name, with the labels of each.
func seriesOf(all map[string]family) map[string][]string {
	series := map[string][]string{"up": {"job", "instance"}}
	for f := range maps.Values(all) {
		labels := append([]string{"job", "instance"}, f.labels...)
		if f.own() {
			labels = append(labels, "app")
		}
		for _, name := range f.series() {
			series[name] = slices.Clone(labels)
			if strings.HasSuffix(name, "_bucket") {
				series[name] = append(series[name], "le")
			}
		}
	}
	return series
}
