// Package imagetest holds what is shipped to what docs/container.md and
// docs/release.md say of it: the container image, the release, and what makes both.
// It builds the image from the Dockerfile as it stands and runs it as an engine
// would, though without one.
package imagetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const root = "../.."

// workflow is what is looked at of a workflow of GitHub's
// (https://docs.github.com/actions/reference/workflow-syntax-for-github-actions).
type workflow struct {
	Name        string
	On          map[string]any
	Permissions map[string]string
	Jobs        map[string]job
}

type job struct {
	RunsOn  string `yaml:"runs-on"`
	Timeout int    `yaml:"timeout-minutes"`
	Needs   string
	Steps   []struct{ Uses, Run string }
}

// runs returns all that a job runs.
func (j job) runs() string {
	var all strings.Builder
	for _, step := range j.Steps {
		all.WriteString(step.Run + "\n")
	}
	return all.String()
}

func workflows(t *testing.T) map[string]workflow {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, ".github/workflows/*"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]workflow)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		if err := yaml.Unmarshal(text, &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = w
	}
	return all
}

// pinned is an action of an exact version.
var pinned = regexp.MustCompile(`^[\w-]+/[\w-]+@v\d+\.\d+\.\d+$`)

func TestWorkflowsAreBoundedAndPinned(t *testing.T) {
	for file, w := range workflows(t) {
		if w.Permissions["contents"] != "read" || len(w.Permissions) != 1 || len(w.Jobs) == 0 {
			t.Errorf("%s: %d jobs with the permissions %v, want jobs that may read only unless they say so", file, len(w.Jobs), w.Permissions)
		}
		for name, j := range w.Jobs {
			if j.RunsOn == "" || strings.HasSuffix(j.RunsOn, "-latest") || j.Timeout == 0 || len(j.Steps) == 0 {
				t.Errorf("%s: job %s runs on %q for %d minutes, %d steps", file, name, j.RunsOn, j.Timeout, len(j.Steps))
			}
			for _, step := range j.Steps {
				if (step.Uses == "") == (step.Run == "") || (step.Uses != "" && !pinned.MatchString(step.Uses)) {
					t.Errorf("%s: job %s: step %+v has no exact version", file, name, step)
				}
			}
			check := exec.CommandContext(t.Context(), "bash", "-n")
			check.Stdin = strings.NewReader(j.runs())
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: job %s runs what is no shell: %v\n%s", file, name, err, out)
			}
		}
	}
}

func TestEveryChangeAndEveryReleaseRunsWhatAChangeMustPass(t *testing.T) {
	all := workflows(t)
	ci, release := all["ci.yml"], all["release.yml"]
	for _, event := range []string{"push", "pull_request"} {
		if _, there := ci.On[event]; !there {
			t.Errorf("ci.yml is not run on %s", event)
		}
	}
	for name, w := range map[string]workflow{"ci.yml": ci, "release.yml": release} {
		if got := strings.TrimSpace(w.Jobs["test"].runs()); got != ".ci/run" {
			t.Errorf("%s: job test runs %q", name, got)
		}
	}
	if info, err := os.Stat(filepath.Join(root, ".ci/run")); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf(".ci/run cannot be run: %v", err)
	}
	if j := release.Jobs["release"]; j.Needs != "test" || !strings.Contains(j.runs(), "make release") || !strings.Contains(j.runs(), "linux/amd64,linux/arm64") {
		t.Errorf("release.yml: job release needs %q and runs %q", j.Needs, j.runs())
	}
	if on, _ := release.On["push"].(map[string]any); on["tags"] == nil || len(release.On) != 1 {
		t.Errorf("release.yml is run on %v, want tags only", release.On)
	}
}
