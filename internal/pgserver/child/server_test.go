package child_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/pgserver/child"
)

// scripted makes a server of a shell script, which is ready once it has made the
// file ready in its folder.
func scripted(t *testing.T, script string) *child.Server {
	t.Helper()
	folder, err := child.NewFolder(filepath.Join(t.TempDir(), "server-*"))
	if err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(folder.Path, "ready")
	s := child.NewServer(folder, child.Program{
		Name:    "the script",
		Timeout: time.Minute,
		Command: func(context.Context) (*exec.Cmd, error) {
			_ = os.Remove(ready)
			cmd := exec.Command("/bin/sh", "-c", script)
			cmd.Dir = folder.Path
			return cmd, nil
		},
		Probe: func(context.Context) error {
			_, err := os.Stat(ready)
			return err
		},
	})
	child.EndWith(t, s)
	return s
}

func TestServerThatEndsTriesOtherPortsAndShowsItsLog(t *testing.T) {
	s := scripted(t, "echo x >> attempts; echo trouble; exit 3")
	var a, b int
	err := s.StartAnywhere(t.Context(), &a, &b)
	if !errors.Is(err, child.ErrEnded) || !strings.HasSuffix(err.Error(), "start the script: it ended: exit status 3\ntrouble\n") {
		t.Errorf("StartAnywhere returned %v", err)
	}
	if strings.Count(err.Error(), "trouble") != 1 || strings.Count(s.LogTail(), "trouble") < 2 {
		t.Errorf("the error does not show the last start alone, or the log not all: %v\n%s", err, s.LogTail())
	}
	if a == 0 || a == b {
		t.Errorf("ports are %d and %d", a, b)
	}
}

func TestRestartWaitsForItsPortToBeFree(t *testing.T) {
	s := scripted(t, `echo x >> attempts
		if [ $(wc -l < attempts) = 2 ]; then echo "bind: Address already in use"; exit 1; fi
		: > ready; exec sleep 600`)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := s.Pid()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !s.Running() || s.Pid() == pid {
		t.Errorf("process %d after the restart of %d, running: %v", s.Pid(), pid, s.Running())
	}
}

func TestRestartGivesUpOnOtherTrouble(t *testing.T) {
	s := scripted(t, `echo x >> attempts
		case $(wc -l < attempts) in
		1) echo "bind: Address already in use"; : > ready; exec sleep 600;;
		esac
		echo "no disk"; exit 1`)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What the first start wrote to the log is not taken for the second's.
	if err := s.Restart(t.Context()); !errors.Is(err, child.ErrEnded) || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("Restart returned %v", err)
	}
	attempts, err := os.ReadFile(s.Path("attempts"))
	if err != nil || strings.Count(string(attempts), "x") != 2 {
		t.Errorf("started %q, %v; want twice", attempts, err)
	}
}

func TestServerThatIsNeverReadyIsKilled(t *testing.T) {
	s := scripted(t, "exec sleep 600")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Start(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start returned %v, want the context's error and the probe's", err)
	}
	if s.Running() {
		t.Error("server runs")
	}
}

func TestClosedServerLeavesNothing(t *testing.T) {
	s := scripted(t, ": > ready; sleep 600 & wait")
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := s.Pid()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{s.Path(""), fmt.Sprintf("/proc/%d", pid)} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	if s.State() == nil {
		t.Error("a server that has ended has no state")
	}
}

func TestServerThatNeverStartedCanBeClosed(t *testing.T) {
	s := scripted(t, "exit 1")
	if err := errors.Join(s.Kill(), s.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	if s.Running() {
		t.Error("server runs")
	}
}
