package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestCompletionIsThereForEveryShell(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, stdout, stderr := of(t, "completion", shell)
		if code != exitOK || !strings.Contains(stdout, "walherald") || !strings.Contains(stdout, "__complete") || stderr != "" {
			t.Errorf("%s: exit code %d, printed %d bytes and %q", shell, code, len(stdout), stderr)
		}
	}
}

func TestBashTakesTheCompletion(t *testing.T) {
	_, stdout, _ := of(t, "completion", "bash")
	cmd := exec.CommandContext(bounded(t), "bash", "-c", "source /dev/stdin && complete -p walherald")
	cmd.Stdin = strings.NewReader(stdout)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "__start_walherald") {
		t.Errorf("bash says %s: %v", out, err)
	}
}

// completed returns what a shell is offered for the last argument.
func completed(t *testing.T, args ...string) []string {
	t.Helper()
	code, stdout, _ := of(t, append([]string{"__complete"}, args...)...)
	if code != exitOK {
		t.Fatalf("%q: exit code %d", args, code)
	}
	var offered []string
	for line := range strings.SplitSeq(strings.TrimSpace(stdout), "\n") {
		name, _, _ := strings.Cut(line, "\t")
		offered = append(offered, name)
	}
	return offered
}

func TestNamesAreCompletedFromTheConfiguration(t *testing.T) {
	inFolder(t, map[string]string{"config.yml": unreachable})
	if err := os.Rename("config.yml", "other.yml"); err != nil {
		t.Fatal(err)
	}
	const noFiles, onlyThese = ":4", ":8" // what cobra tells the shell to do beside
	for _, test := range []struct {
		args string
		want []string
	}{
		{"parked list -c other.yml --destination ", []string{"billing", "sales", "on-call", noFiles}},
		{"parked retry -c other.yml --rule ", []string{"paid", "seen", noFiles}},
		{"tail -c other.yml --publisher ", []string{"stream", noFiles}},
		{"tail -c missing.yml --publisher ", []string{noFiles}},
		{"tail --from ", []string{"start", "now", noFiles}},
		{"slot advance --to ", []string{"end", noFiles}},
		{"completion p", []string{"powershell", noFiles}},
		{"config s", []string{"schema", "show", noFiles}},
		{"--config ", []string{"yml", "yaml", onlyThese}},
	} {
		args := strings.Split(test.args, " ")
		if got := completed(t, args...); !slices.Equal(got, test.want) {
			t.Errorf("%q: offered are %q, want %q", test.args, got, test.want)
		}
	}
}
