package child_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/pgserver/child"
)

// asParent makes the test binary play a parent that starts a child and waits.
const asParent = "WALHERALD_CHILD_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(asParent) != "" {
		playParent()
	}
	goleak.VerifyTestMain(m)
}

// playParent starts a child that shares its standard output, says so and waits
// to be killed.
func playParent() {
	cmd := exec.Command("sleep", "600")
	cmd.Stdout = os.Stdout
	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("started")
	_ = p.Wait(context.Background())
	os.Exit(1)
}

// shell starts a shell script and returns it together with its output.
func shell(t *testing.T, script string) (*child.Process, *bufio.Reader) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout = w
	p, err := child.Start(cmd, syscall.SIGKILL)
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p, bufio.NewReader(r)
}

func expectLine(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		t.Fatalf("read %q, %v; want %q", line, err, want)
	}
}

func TestKilledParentLeavesNoChild(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(exe)
	parent.Env = append(os.Environ(), asParent+"=1")
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	expectLine(t, out, "started")
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The output ends only once the child, which shares it, has gone as well.
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Fatalf("read %q, %v after the parent was killed", rest, err)
	}
	if err := parent.Wait(); err == nil {
		t.Fatal("the killed parent ended with success")
	}
}

func TestKillReachesGrandchildren(t *testing.T) {
	p, out := shell(t, "trap '' TERM; sh -c 'echo deep; sleep 600; :' & wait; :")
	expectLine(t, out, "deep")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Fatalf("read %q, %v after everything was killed", rest, err)
	}
	if p.Running() || p.State() == nil {
		t.Fatal("killed process is still said to run")
	}
	if err := p.Kill(); err != nil {
		t.Fatalf("second Kill: %v", err)
	}
}

func TestWaitOutlastsTheChildUntilItsChildrenHaveGone(t *testing.T) {
	hold, release, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = release.Close() }()
	marker := filepath.Join(t.TempDir(), "marker")
	cmd := exec.Command("/bin/sh", "-c", `exec 5<&0; sh -c 'read line <&5; sleep 0.3; echo last > "$1"' sh "$1" & exit 0`, "sh", marker)
	cmd.Stdin = hold
	p, err := child.Start(cmd, syscall.SIGKILL)
	_ = hold.Close()
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Wait(cancelled); !errors.Is(err, context.Canceled) {
		t.Fatalf("Wait with a cancelled context: %v", err)
	}
	_ = release.Close()
	if err := p.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Fatalf("Wait returned before the child's child had done its last: %v", err)
	}
}

func TestStopKillsWhatIgnoresTheSignal(t *testing.T) {
	p, out := shell(t, "trap '' TERM; echo ready; while :; do sleep 600; done")
	expectLine(t, out, "ready")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Stop(ctx, syscall.SIGTERM); !errors.Is(err, context.Canceled) {
		t.Fatalf("Stop of a deaf process: %v", err)
	}
	if p.Running() {
		t.Fatal("deaf process survived Stop")
	}
}

func TestExitCodeComesBackFromWait(t *testing.T) {
	p, _ := shell(t, "exit 3")
	var exit *exec.ExitError
	if err := p.Wait(context.Background()); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("Wait returned %v, want exit code 3", err)
	}
}

func TestStartNamesAProgramThatIsNotThere(t *testing.T) {
	_, err := child.Start(exec.Command("/nonexistent/server"), syscall.SIGKILL)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nonexistent/server") {
		t.Fatalf("Start returned %v", err)
	}
}

func TestFreePortCanBeListenedOn(t *testing.T) {
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if port < 1024 || port >= 32768 {
		t.Fatalf("port %d is not between the privileged and the ephemeral ones", port)
	}
}
