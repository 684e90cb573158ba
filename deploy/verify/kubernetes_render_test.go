package verify

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

const (
	chartFolder = "../helm/walherald"
	plainFolder = "../kubernetes"
	release     = "shop"
)

// caseNames are the files of values that come with the chart, without their ending.
func caseNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chartFolder, "ci", "*-values.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no values in %s: %v", chartFolder, err)
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), "-values.yaml")
	}
	return files
}

// eachCase runs a test with what is rendered from each of these files.
func eachCase(t *testing.T, test func(t *testing.T, m manifests)) {
	t.Helper()
	for _, name := range caseNames(t) {
		t.Run(name, func(t *testing.T) { test(t, mustRender(t, name)) })
	}
}

// caseValues reads one of these files.
func caseValues(t *testing.T, name string) chartutil.Values {
	t.Helper()
	values, err := chartutil.ReadValuesFile(filepath.Join(chartFolder, "ci", name+"-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// with returns the values of a case, changed by a text of YAML.
func with(t *testing.T, name, text string) chartutil.Values {
	t.Helper()
	over, err := chartutil.ReadValues([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return chartutil.CoalesceTables(over, caseValues(t, name))
}

func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render does what `helm template` does: it checks the values and renders.
func render(t *testing.T, values chartutil.Values) (map[string]string, error) {
	t.Helper()
	return renderAs(t, release, values)
}

func renderAs(t *testing.T, name string, values chartutil.Values) (map[string]string, error) {
	t.Helper()
	c := loadChart(t)
	all, err := chartutil.ToRenderValues(c, values,
		chartutil.ReleaseOptions{Name: name, Namespace: "events", Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// manifests are the objects of a release.
type manifests struct {
	name    string
	objects []runtime.Object
	notes   string
}

func mustRender(t *testing.T, name string) manifests {
	t.Helper()
	m := mustRenderValues(t, caseValues(t, name))
	m.name = name
	return m
}

func mustRenderValues(t *testing.T, values chartutil.Values) manifests {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	var m manifests
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, "NOTES.txt") {
			m.notes = files[name]
			continue
		}
		m.objects = append(m.objects, decodeAll(t, name, files[name])...)
	}
	return m
}

// decodeAll decodes the YAML documents of a file.
func decodeAll(t *testing.T, name, text string) []runtime.Object {
	t.Helper()
	var objects []runtime.Object
	for doc := range strings.SplitAfterSeq(text, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		object, err := decode([]byte(strings.TrimSuffix(doc, "---\n")))
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, doc)
		}
		objects = append(objects, object)
	}
	return objects
}

var strict = func() runtime.Decoder {
	known := runtime.NewScheme()
	must(scheme.AddToScheme(known))
	known.AddKnownTypeWithName(monitoringVersion.WithKind("ServiceMonitor"), &serviceMonitor{})
	known.AddKnownTypeWithName(monitoringVersion.WithKind("PrometheusRule"), &prometheusRule{})
	return serializer.NewCodecFactory(known, serializer.EnableStrict).UniversalDeserializer()
}()

var encoder = json.NewSerializerWithOptions(json.DefaultMetaFactory, nil, nil, json.SerializerOptions{Yaml: true})

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// decode decodes one object into the type that the API has for it; a field that the
// type does not have, or one that is there twice, is an error.
func decode(doc []byte) (runtime.Object, error) {
	object, kind, err := strict.Decode(doc, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("decode object (%v): %w", kind, err)
	}
	return object, nil
}

// all returns the objects of a type.
func all[T runtime.Object](m manifests) []T {
	var found []T
	for _, object := range m.objects {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// one returns the only object of a type.
func one[T runtime.Object](t *testing.T, m manifests) T {
	t.Helper()
	found := all[T](m)
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T", len(found), *new(T))
	}
	return found[0]
}

// pod returns the template of the Deployment's pods and their only container.
func pod(t *testing.T, m manifests) (corev1.PodTemplateSpec, corev1.Container) {
	t.Helper()
	template := one[*appsv1.Deployment](t, m).Spec.Template
	if len(template.Spec.Containers) != 1 || len(template.Spec.InitContainers) != 0 {
		t.Fatalf("the pod has %d containers and %d before them", len(template.Spec.Containers), len(template.Spec.InitContainers))
	}
	return template, template.Spec.Containers[0]
}

// port returns the number of a port that the container names.
func port(t *testing.T, c corev1.Container, name string) int {
	t.Helper()
	for _, p := range c.Ports {
		if p.Name == name {
			return int(p.ContainerPort)
		}
	}
	t.Fatalf("the container has no port %s", name)
	return 0
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
