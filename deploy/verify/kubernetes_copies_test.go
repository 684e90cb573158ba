package verify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// A chart can hold only what is in its folder.
func TestCopiesOfAlertsAndDashboardAreThoseOfDeploy(t *testing.T) {
	for name, source := range map[string]string{
		"alerts.yml":     "../prometheus/alerts.yml",
		"walherald.json": "../grafana/walherald.json",
	} {
		copied := filepath.Join(chartFolder, "files", name)
		text := readFile(t, source)
		if *updateKubernetes {
			if err := os.WriteFile(copied, []byte(text), 0o644); err != nil { //nolint:gosec // as any file of the project
				t.Fatal(err)
			}
		}
		if readFile(t, copied) != text {
			t.Errorf("%s is not %s; %s", copied, source, renewKubernetes)
		}
	}
}

func TestAlertsReachTheOperatorAsTheyAre(t *testing.T) {
	var want struct {
		Groups []ruleGroup `json:"groups"`
	}
	if err := yaml.UnmarshalStrict([]byte(readFile(t, "../prometheus/alerts.yml")), &want); err != nil {
		t.Fatal(err)
	}
	got := one[*prometheusRule](t, mustRender(t, "everything")).Spec.Groups
	if len(got) == 0 || !reflect.DeepEqual(got, want.Groups) {
		t.Errorf("groups: %+v, want %+v", got, want.Groups)
	}
}

func TestDashboardReachesGrafanaAsItIs(t *testing.T) {
	want := readFile(t, "../grafana/walherald.json")
	for _, cm := range all[*corev1.ConfigMap](mustRender(t, "everything")) {
		text, ok := cm.Data["walherald.json"]
		if !ok {
			continue
		}
		if cm.Labels["grafana_dashboard"] != "1" {
			t.Errorf("labels: %v", cm.Labels)
		}
		var got, expected any
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(want), &expected); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, expected) {
			t.Error("the dashboard is another")
		}
		return
	}
	t.Error("no ConfigMap has the dashboard")
}

func TestMonitorReadsTheMetricsOfTheService(t *testing.T) {
	m := mustRender(t, "everything")
	endpoints := one[*serviceMonitor](t, m).Spec.Endpoints
	ports := one[*corev1.Service](t, m).Spec.Ports
	if len(endpoints) != 1 || endpoints[0].Path != "/metrics" || ports[0].Name != endpoints[0].Port {
		t.Errorf("the monitor reads %+v of %+v", endpoints, ports)
	}
	if _, c := pod(t, m); port(t, c, ports[0].TargetPort.StrVal) != 9112 {
		t.Errorf("the service leads to %v", ports[0].TargetPort)
	}
}
