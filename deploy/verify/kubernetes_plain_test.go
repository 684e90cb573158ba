package verify

import (
	"bytes"
	"flag"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

var updateKubernetes = flag.Bool("update.kubernetes", false, "render deploy/kubernetes and copy alerts and dashboard into the chart anew")

const renewKubernetes = "run: make manifests"

const (
	plainHeader  = "# Rendered from the chart in deploy/helm/walherald: change that, then make manifests.\n"
	configHeader = "# walherald's configuration; docs/configuration.md has every key. Passwords come from\n# the Secret, as variables.\n"
)

// What only a chart has, as it stands in the rendered text.
var helmOnly = regexp.MustCompile(`(?m)^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n|^ +annotations:\n +# A change of either makes new pods.\n +checksum/config: .*\n`)

// plainFiles are the files of deploy/kubernetes as the chart renders them.
func plainFiles(t *testing.T) map[string]string {
	t.Helper()
	rendered, err := renderAs(t, "walherald", caseValues(t, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for name, text := range rendered {
		name = path.Base(name)
		if name == "NOTES.txt" || strings.TrimSpace(text) == "" {
			continue
		}
		if name == "configmap.yaml" {
			cm := decodeAll(t, name, text)[0].(*corev1.ConfigMap)
			files["config.yml"] = configHeader + cm.Data["config.yml"]
			continue
		}
		files[name] = plainHeader + helmOnly.ReplaceAllString(strings.TrimSpace(text)+"\n", "")
	}
	return files
}

func TestPlainManifestsAreWhatTheChartRenders(t *testing.T) {
	files := plainFiles(t)
	for name, text := range files {
		file := filepath.Join(plainFolder, name)
		if *updateKubernetes {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // as any file of the project
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%s is not what the chart renders (%v); %s", file, err, renewKubernetes)
		}
	}
	entries, err := os.ReadDir(plainFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if _, ok := files[entry.Name()]; !ok && entry.Name() != "kustomization.yaml" {
			t.Errorf("%s is in %s and the chart does not render it", entry.Name(), plainFolder)
		}
	}
}

// kustomized are the objects of `kubectl kustomize`.
func kustomized(t *testing.T) manifests {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), plainFolder)
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return manifests{name: "kustomize", objects: decodeAll(t, plainFolder, string(text))}
}

func TestKustomizeOfThePlainManifestsIsTheRelease(t *testing.T) {
	rendered, err := renderAs(t, "walherald", caseValues(t, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[reflect.Type]runtime.Object)
	for name, text := range rendered {
		if !strings.HasSuffix(name, "NOTES.txt") {
			for _, object := range decodeAll(t, name, text) {
				want[reflect.TypeOf(object)] = object
			}
		}
	}
	m := kustomized(t)
	if len(m.objects) != len(want) {
		t.Errorf("%d objects, want %d", len(m.objects), len(want))
	}
	generated := one[*corev1.ConfigMap](t, m).Name
	if !strings.HasPrefix(generated, "walherald-") {
		t.Errorf("the ConfigMap %s is called the same whatever is in it: a change would not reach the pods", generated)
	}
	for _, object := range m.objects {
		other := want[reflect.TypeOf(object)]
		if other == nil {
			t.Fatalf("the chart has no %T", object)
		}
		if a, b := compared(t, object, generated), compared(t, other, generated); a != b {
			t.Errorf("kustomize has\n%s\nand the chart\n%s", a, b)
		}
	}
}

// compared is an object as text, without what may differ.
func compared(t *testing.T, object runtime.Object, generated string) string {
	t.Helper()
	object = object.DeepCopyObject()
	o, err := meta.Accessor(object)
	if err != nil {
		t.Fatal(err)
	}
	labels := o.GetLabels()
	delete(labels, "helm.sh/chart")
	delete(labels, "app.kubernetes.io/managed-by")
	switch typed := object.(type) {
	case *corev1.ConfigMap:
		typed.Labels = nil
		typed.Data["config.yml"] = strings.TrimPrefix(typed.Data["config.yml"], configHeader)
	case *appsv1.Deployment:
		typed.Spec.Template.Annotations = nil
	}
	var text bytes.Buffer
	if err := encoder.Encode(object, &text); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(text.String(), generated, "walherald")
}

func TestPlainConfigurationLoads(t *testing.T) {
	m := kustomized(t)
	cfg := loadConfig(t, m)
	if _, c := pod(t, m); port(t, c, "probes") != cfg.Listener.ServerPort {
		t.Errorf("the probes ask %d, the configuration has %d", port(t, c, "probes"), cfg.Listener.ServerPort)
	}
	for _, warning := range cfg.Warnings() {
		t.Error(warning)
	}
}

func TestPasswordsOfThePlainManifestsAreInASecretThatIsNotThere(t *testing.T) {
	m := kustomized(t)
	if len(all[*corev1.Secret](m)) != 0 {
		t.Error("the manifests would replace the Secret with the real password")
	}
	if _, c := pod(t, m); len(c.EnvFrom) != 1 || c.EnvFrom[0].SecretRef == nil || c.EnvFrom[0].SecretRef.Name != "walherald" {
		t.Errorf("variables from %+v", c.EnvFrom)
	}
}
