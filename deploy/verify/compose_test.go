package verify

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

const composeFolder = "../compose"

// exampleEnv is what .env.example sets.
func exampleEnv(t *testing.T) map[string]string {
	t.Helper()
	env, err := dotenv.Read(filepath.Join(composeFolder, ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// loadStack reads the stack as Compose does: keys it does not know, and references to
// what is not there, are errors.
func loadStack(t *testing.T, env map[string]string) (*types.Project, error) {
	t.Helper()
	file := filepath.Join(composeFolder, "compose.yml")
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: composeFolder, ConfigFiles: []types.ConfigFile{{Filename: file}}, Environment: env,
	}, func(o *loader.Options) { o.SetProjectName("walherald", true) })
}

func stack(t *testing.T) *types.Project {
	t.Helper()
	p, err := loadStack(t, exampleEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStackNamesEverySecretThatIsMissing(t *testing.T) {
	env := exampleEnv(t)
	if len(env) == 0 {
		t.Fatal(".env.example is empty")
	}
	for name := range env {
		without := make(map[string]string)
		for other, value := range env {
			if other != name {
				without[other] = value
			}
		}
		if _, err := loadStack(t, without); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestStackPublishesOnLoopbackAloneAndPinsItsImages(t *testing.T) {
	pinned := regexp.MustCompile(`^[\w./-]+:v?\d+\.\d+\.?\d*[\w.-]*$`)
	for name, s := range stack(t).Services {
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", name, port.Published, port.HostIP)
			}
		}
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s runs %s, whose version is not exact", name, s.Image)
		}
		if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
	}
}

func TestStackGivesWalheraldNoMoreThanItNeeds(t *testing.T) {
	s := stack(t).Services["walherald"]
	if !s.ReadOnly || s.User != "65532:65532" || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("read only %v, user %q, dropped %v, security %v", s.ReadOnly, s.User, s.CapDrop, s.SecurityOpt)
	}
	if len(s.Ports) != 1 || s.Ports[0].Target != 8084 {
		t.Errorf("its ports are %v", s.Ports)
	}
	if len(s.Volumes) != 1 || s.Volumes[0].Target != "/app/config.yml" || !s.Volumes[0].ReadOnly {
		t.Errorf("its volumes are %v", s.Volumes)
	}
	for _, on := range []string{"postgres", "nats"} {
		if s.DependsOn[on].Condition != types.ServiceConditionHealthy {
			t.Errorf("it starts before %s is healthy", on)
		}
	}
}

func TestStackMountsFilesThatExist(t *testing.T) {
	for name, s := range stack(t).Services {
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s is built from what is not there: %v", name, err)
			}
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
	}
}

// mounted returns the file of ours that a service sees at a path.
func mounted(t *testing.T, p *types.Project, service, path string) string {
	t.Helper()
	for _, v := range p.Services[service].Volumes {
		if rest, below := strings.CutPrefix(path, v.Target); below && v.Type == types.VolumeTypeBind {
			file, err := filepath.Abs(filepath.Join(v.Source, rest))
			if err != nil {
				t.Fatal(err)
			}
			return file
		}
	}
	t.Fatalf("%s sees nothing at %s", service, path)
	return ""
}

// strictYAML reads a file into a form that has to know all of its keys.
func strictYAML(t *testing.T, file string, into any) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestGrafanaOfTheStackFindsPrometheusAndTheDashboard(t *testing.T) {
	p := stack(t)
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool              `yaml:"isDefault"`
			JSONData                     map[string]string `yaml:"jsonData"`
		}
	}
	strictYAML(t, mounted(t, p, "grafana", "/etc/grafana/provisioning/datasources/prometheus.yml"), &sources)
	if len(sources.Datasources) != 1 || sources.Datasources[0].URL != "http://prometheus:9090" || sources.Datasources[0].Type != "prometheus" {
		t.Errorf("the data sources are %+v", sources.Datasources)
	}
	var dashboards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type     string
			AllowUIUpdates bool `yaml:"allowUiUpdates"`
			Options        struct{ Path string }
		}
	}
	strictYAML(t, mounted(t, p, "grafana", "/etc/grafana/provisioning/dashboards/walherald.yml"), &dashboards)
	for _, provider := range dashboards.Providers {
		file := mounted(t, p, "grafana", filepath.Join(provider.Options.Path, "walherald.json"))
		if same, err := filepath.Abs(dashboardFile); err != nil || file != same {
			t.Errorf("Grafana is given %s, want %s: %v", file, same, err)
		}
	}
	if len(dashboards.Providers) != 1 {
		t.Errorf("the providers are %+v", dashboards.Providers)
	}
}
