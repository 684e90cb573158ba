package verify

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/validation"

	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

func TestChartLintsWithoutAWarning(t *testing.T) {
	for _, name := range caseNames(t) {
		t.Run(name, func(t *testing.T) {
			found := lint.All(chartFolder, caseValues(t, name), "events", true)
			for _, m := range found.Messages {
				if m.Severity >= support.WarningSev {
					t.Error(m)
				}
			}
		})
	}
}

// Decoding is strict: mustRender fails at a field that the API does not have.
func TestEveryObjectIsOneThatTheAPIHas(t *testing.T) {
	const base = "ConfigMap Deployment ServiceAccount"
	want := map[string]string{
		"minimal":         base + " NetworkPolicy Pod PodDisruptionBudget Service",
		"existing-secret": base + " NetworkPolicy Pod PodDisruptionBudget Service",
		"everything":      base + " ConfigMap NetworkPolicy Pod PodDisruptionBudget PrometheusRule Secret Service ServiceMonitor",
		"single":          base + " NetworkPolicy PersistentVolumeClaim Pod Service",
		"config-file":     base + " Pod Secret",
		"plain":           base + " NetworkPolicy PodDisruptionBudget Service",
	}
	eachCase(t, func(t *testing.T, m manifests) {
		var kinds []string
		for _, object := range m.objects {
			kinds = append(kinds, object.GetObjectKind().GroupVersionKind().Kind)
		}
		expected := strings.Fields(want[m.name])
		slices.Sort(expected)
		slices.Sort(kinds)
		if !slices.Equal(kinds, expected) {
			t.Errorf("objects: %v, want %v", kinds, expected)
		}
	})
}

func TestNamesAndLabelsAreOnesThatTheAPITakes(t *testing.T) {
	eachCase(t, func(t *testing.T, m manifests) {
		for _, object := range m.objects {
			o, err := meta.Accessor(object)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range validation.IsDNS1035Label(o.GetName()) {
				t.Errorf("name %q: %s", o.GetName(), problem)
			}
			for key, value := range o.GetLabels() {
				problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...)
				if len(problems) > 0 {
					t.Errorf("%s: label %s=%q: %v", o.GetName(), key, value, problems)
				}
			}
			if o.GetNamespace() != "" {
				t.Errorf("%s is tied to namespace %s", o.GetName(), o.GetNamespace())
			}
		}
	})
}

func TestValuesThatCannotWorkAreRefusedWithWhatToDo(t *testing.T) {
	tests := []struct{ name, from, values, want string }{
		{"no database", "minimal", `{config: {database: {host: ""}}}`, "config.database.host is required (or WAL_DATABASE_HOST in env)"},
		{"no output", "minimal", `{config: {publisher: null}}`, "config.publisher, publishers or notifier.rules is required"},
		{"no probes", "minimal", `{config: {listener: {serverPort: 0}}}`, "config.listener.serverPort must be a port from 1 to 65535"},
		{"no probes in a file", "config-file", `{configFile: "listener: {slotName: a}"}`, "configFile: listener.serverPort must be a port"},
		{"no file", "config-file", `{configFile: "just text"}`, "configFile is not a YAML mapping"},
		{"drain without unit", "minimal", `{config: {listener: {drainTimeout: "10"}}}`, "config.listener.drainTimeout is \"10\": it must be a duration with its unit"},
		{"port by variable", "minimal", `{env: [{name: WAL_LISTENER_SERVERPORT, value: "1"}]}`, "WAL_LISTENER_SERVERPORT would be unknown to the manifests"},
		{"drain by secret", "config-file", `{secret: {values: {WAL_LISTENER_DRAINTIMEOUT: 5m}}}`, "WAL_LISTENER_DRAINTIMEOUT would be unknown"},
		{"two servers inside", "single", `{replicaCount: 2}`, "embedded keeps its data in one pod, where a standby does not have it: set replicaCount to 1"},
		{"a server inside several publishers", "single", `{replicaCount: 2, config: {publisher: null, publishers: [{name: a, type: nats, topic: a, embedded: {listen: ":4222", storeDir: /data}}]}}`, "embedded keeps its data in one pod"},
		{"two files", "minimal", `{config: {publisher: {type: file, path: /data/events.jsonl}}}`, "type file keeps its data in one pod"},
		{"store without volume", "single", `{persistence: {enabled: false}}`, `embedded writes to "/data/jetstream", which is on no volume`},
		{"store beside the volume", "single", `{config: {publisher: {embedded: {storeDir: /database}}}}`, `embedded writes to "/database", which is on no volume`},
		{"volume for two", "minimal", `{persistence: {enabled: true}}`, "persistence.enabled has one volume"},
		{"monitor without metrics", "everything", `{config: {monitoring: {promAddr: ""}}}`, "serviceMonitor.enabled needs config.monitoring.promAddr"},
		{"two secrets", "everything", `{secret: {existing: other}}`, "secret.existing and secret.values: one of them"},
		{"order lost", "minimal", `{config: {listener: {topicsMap: {"/^a/": b, c: d}}}}`, "config.listener.topicsMap has an expression among several rules"},
		{"unseen port", "minimal", `{config: {database: {port: "${env:PGPORT}"}}}`, "config.database.port is no number that the network policy could let through"},
		{"unknown value", "minimal", `{replicas: 2}`, "replicas"},
		{"unknown section", "minimal", `{config: {listner: {}}}`, "listner"},
		{"wrong type", "minimal", `{replicaCount: two}`, "replicaCount"},
		{"margin too small", "minimal", `{shutdownMarginSeconds: 5}`, "shutdownMarginSeconds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := render(t, with(t, tt.from, tt.values))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error: %v\nwant one with: %s", err, tt.want)
			}
		})
	}
}

func TestEveryProblemOfTheValuesIsToldAtOnce(t *testing.T) {
	_, err := render(t, nil)
	if err == nil {
		t.Fatal("the chart renders without a word about the database")
	}
	for _, want := range []string{"database.host", "database.name", "database.user", "publisher"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in: %v", want, err)
		}
	}
}

func TestNotesSayWhatTheNetworkPolicyLetsThrough(t *testing.T) {
	for name, want := range map[string]string{
		"minimal":     "the database (5432) and the ports 4222",
		"config-file": "one pod works, 1 waits for the slot",
		"single":      "one pod.",
	} {
		if notes := mustRender(t, name).notes; !strings.Contains(notes, want) {
			t.Errorf("%s: notes do not say %q:\n%s", name, want, notes)
		}
	}
}
