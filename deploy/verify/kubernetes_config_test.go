package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/walherald/walherald/config"
)

// configText returns config.yml as the pod finds it.
func configText(t *testing.T, m manifests) string {
	t.Helper()
	template, c := pod(t, m)
	name := ""
	for _, mount := range c.VolumeMounts {
		if mount.MountPath != "/etc/walherald" {
			continue
		}
		for _, volume := range template.Spec.Volumes {
			if volume.Name == mount.Name && volume.ConfigMap != nil {
				name = volume.ConfigMap.Name
			}
		}
	}
	for _, cm := range all[*corev1.ConfigMap](m) {
		if text, ok := cm.Data["config.yml"]; ok && cm.Name == name {
			return text
		}
	}
	t.Fatalf("no ConfigMap %q with config.yml", name)
	return ""
}

// loadConfig loads the configuration as the pod would, with its environment.
func loadConfig(t *testing.T, m manifests) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(file, []byte(configText(t, m)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, c := pod(t, m)
	for _, secret := range all[*corev1.Secret](m) {
		if len(c.EnvFrom) != 1 || c.EnvFrom[0].SecretRef == nil || c.EnvFrom[0].SecretRef.Name != secret.Name {
			t.Errorf("the pod does not have the Secret %s: %+v", secret.Name, c.EnvFrom)
		}
		for name, value := range secret.Data {
			t.Setenv(name, string(value))
		}
	}
	for _, v := range c.Env {
		if v.ValueFrom != nil {
			v.Value = "from-a-secret"
		}
		t.Setenv(v.Name, v.Value)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatalf("the chart's configuration does not load: %v", err)
	}
	return cfg
}

func TestConfigurationOfTheChartLoadsWithoutAWarning(t *testing.T) {
	eachCase(t, func(t *testing.T, m manifests) {
		cfg := loadConfig(t, m)
		for _, warning := range cfg.Warnings() {
			t.Error(warning)
		}
		if cfg.Database.Host == "" || len(cfg.Outputs())+len(cfg.Notifications()) == 0 {
			t.Errorf("configuration: %+v", cfg)
		}
	})
}

func TestSecretReachesTheConfiguration(t *testing.T) {
	cfg := loadConfig(t, mustRender(t, "everything"))
	if cfg.Database.Password.Reveal() != "database-secret" || cfg.Publishers[0].NATS.Token.Reveal() != "nats-secret" {
		t.Error("the Secret's values are not in the configuration")
	}
}

func TestSingleKeysOfOtherSecretsReachTheConfiguration(t *testing.T) {
	cfg := loadConfig(t, mustRender(t, "existing-secret"))
	if cfg.Database.Host != "from-a-secret" || cfg.Database.Password.Reveal() != "from-a-secret" {
		t.Errorf("database: %+v", cfg.Database)
	}
}

func TestLargeNumbersStayNumbers(t *testing.T) {
	m := mustRenderValues(t, with(t, "minimal", `{config: {listener: {maxTransactionSize: 12345678, window: 268435456}}}`))
	if cfg := loadConfig(t, m); cfg.Listener.MaxTransactionSize != 12345678 || cfg.Listener.Window != 256<<20 {
		t.Errorf("maxTransactionSize %d, window %d", cfg.Listener.MaxTransactionSize, cfg.Listener.Window)
	}
}

func TestFileKeepsTheOrderOfItsTopicsMap(t *testing.T) {
	m := mustRender(t, "config-file")
	var got []string
	for _, rule := range loadConfig(t, m).Listener.TopicsMap {
		got = append(got, rule.Match)
	}
	if want := []string{`/^public_events_(\d+)$/`, `/^public_.*$/`, "audit_log"}; !reflect.DeepEqual(got, want) {
		t.Errorf("topicsMap: %v", got)
	}
	if !strings.Contains(configText(t, m), "# Comments stay.") {
		t.Error("the file is not the one that was given")
	}
}

func TestNoSecretIsOutsideOfSecrets(t *testing.T) {
	eachCase(t, func(t *testing.T, m manifests) {
		for _, object := range m.objects {
			secret, ok := object.(*corev1.Secret)
			if !ok {
				continue
			}
			for name, value := range secret.Data {
				for _, other := range m.objects {
					text, err := yaml.Marshal(other)
					if err != nil {
						t.Fatal(err)
					}
					if other != object && strings.Contains(string(text), string(value)) {
						t.Errorf("%s is readable in %s", name, other.GetObjectKind().GroupVersionKind().Kind)
					}
				}
				if strings.Contains(m.notes, string(value)) {
					t.Errorf("%s is readable in the notes", name)
				}
			}
		}
	})
}

// secretPaths finds the keys of the configuration that hold secrets.
func secretPaths(typ reflect.Type, path []string) [][]string {
	if typ == reflect.TypeFor[config.Secret]() {
		return [][]string{path}
	}
	var found [][]string
	switch typ.Kind() {
	case reflect.Pointer:
		found = secretPaths(typ.Elem(), path)
	case reflect.Slice:
		found = secretPaths(typ.Elem(), append(path[:len(path):len(path)], "[]"))
	case reflect.Map:
		found = secretPaths(typ.Elem(), append(path[:len(path):len(path)], "Authorization"))
	case reflect.Struct:
		for field := range fields(typ) {
			key := field.Tag.Get("yaml")
			found = append(found, secretPaths(field.Type, append(path[:len(path):len(path)], key))...)
		}
	}
	return found
}

// fields yields those that YAML has a key for.
func fields(typ reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() && f.Tag.Get("yaml") != "" && !yield(f) {
				return
			}
		}
	}
}

// nested makes values with a text at a path.
func nested(path []string, text string) any {
	if len(path) == 0 {
		return text
	}
	if path[0] == "[]" {
		return []any{nested(path[1:], text)}
	}
	return map[string]any{path[0]: nested(path[1:], text)}
}

func TestNoKeyOfASecretIsTakenIntoTheConfigMap(t *testing.T) {
	paths := secretPaths(reflect.TypeFor[config.Config](), nil)
	if len(paths) < 8 {
		t.Fatalf("only these keys are secret: %v", paths)
	}
	for _, path := range paths {
		secret := "hunter2"
		if path[len(path)-1] == "url" { // only some are secret by themselves
			secret = "https://hooks.slack.com/services/T0/B0/X0"
		}
		shown := strings.ReplaceAll(strings.Join(path, "."), ".[]", "[0]")
		t.Run(shown, func(t *testing.T) {
			over := chartutil.Values{"config": nested(path, secret)}
			_, err := render(t, chartutil.CoalesceTables(over, caseValues(t, "minimal")))
			if err == nil || !strings.Contains(err.Error(), "config."+shown+" would be readable in the ConfigMap") {
				t.Errorf("error: %v", err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows the secret: %v", err)
			}
			over = chartutil.Values{"config": nested(path, "Bearer ${env:SECRET}")}
			if _, err := render(t, chartutil.CoalesceTables(over, caseValues(t, "minimal"))); err != nil {
				t.Errorf("a name in its place is refused: %v", err)
			}
		})
	}
}

func TestPasswordsInAddressesAreNotTakenIntoTheConfigMap(t *testing.T) {
	for address, refused := range map[string]bool{
		"amqp://user:hunter2@rabbitmq":          true,
		"nats://user:p@ss@nats:4222":            true,
		"nats://user:${env:NATS_PASSWORD}@nats": false,
		"nats://user:$${x}@nats":                true,
		"nats://nats:4222":                      false,
	} {
		_, err := render(t, with(t, "minimal", fmt.Sprintf("{config: {publisher: {address: [%q]}}}", address)))
		if told := err != nil && strings.Contains(err.Error(), "config.publisher.address[0] would be readable"); told != refused {
			t.Errorf("%s: %v", address, err)
		}
	}
}
