package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startShell starts a shell script that is measured.
func startShell(t *testing.T, script string) *process {
	t.Helper()
	p, err := startProcess(exec.Command("/bin/sh", "-c", script), filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestFinishedProcessIsCounted(t *testing.T) {
	s, err := startShell(t, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done").finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if s.cpu <= 0 || s.elapsed <= 0 || s.peak <= 0 {
		t.Errorf("got %+v, want CPU time, time and memory", s)
	}
}

func TestFailedProcessShowsItsLog(t *testing.T) {
	_, err := startShell(t, "echo what went wrong; exit 3").finish(context.Background())
	if err == nil || !strings.Contains(err.Error(), "what went wrong") {
		t.Errorf("error is %v, want the log in it", err)
	}
}

func TestProcessThatFailsWhenStoppedIsAnError(t *testing.T) {
	p := startShell(t, "trap 'echo no; exit 1' TERM; echo ready; while :; do sleep 0.01; done")
	awaitLog(t, p, "ready")
	if _, err := p.stop(context.Background()); err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("error is %v, want the log in it", err)
	}
}

func TestPeakMemoryIsReadFromProcessStatus(t *testing.T) {
	got, err := parsePeak([]byte("Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t    12345 kB\nVmRSS:\t  1 kB\n"))
	if err != nil || got != 12345*1024 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, bad := range []string{"", "Name:\tx\nState:\tZ (zombie)\n", "VmHWM:\tmuch kB\n"} {
		if got, err := parsePeak([]byte(bad)); err == nil {
			t.Errorf("%q: got %d and no error", bad, got)
		}
	}
}
