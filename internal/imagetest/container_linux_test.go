package imagetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/pgserver/child"
)

// insideEnv holds a box in the process that becomes a container.
const insideEnv = "WALHERALD_IMAGETEST_BOX"

// TestMain is an engine's runtime where it is started as one.
func TestMain(m *testing.M) {
	if text := os.Getenv(insideEnv); text != "" {
		var b box
		err := json.Unmarshal([]byte(text), &b)
		fmt.Fprintln(os.Stderr, "start container:", errors.Join(err, b.enter()))
		os.Exit(125)
	}
	os.Exit(pgserver.WithShared(m).Run())
}

// box is what an engine makes of an image: a process in the image's files, which
// it cannot change, with one file mounted over them, as the image's user. What is
// not made is namespaces of processes and networks: servers of the tests are on
// loopback.
type box struct {
	Root      string
	Mount, At string // a file of this machine and where it is inside
	Dir       string
	UID, GID  int
	Args, Env []string
	PIDFile   string // of this machine, gets the number of the process
}

// enter turns this process into the one in the box, and returns only if it cannot.
func (b box) enter() error {
	runtime.LockOSThread() // a namespace belongs to the thread that made it
	at := filepath.Join(b.Root, b.At)
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"tell the number", func() error { return os.WriteFile(b.PIDFile, []byte(strconv.Itoa(os.Getpid())), 0o644) }},
		{"leave the mounts of the machine", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
		{"keep mounts inside", func() error { return unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"make the place of the mount", func() error { return os.WriteFile(at, nil, 0o644) }},
		{"mount the image", func() error { return unix.Mount(b.Root, b.Root, "", unix.MS_BIND, "") }},
		{"make the image read-only", func() error { return unix.Mount("none", b.Root, "", readOnly, "") }},
		{"mount the file", func() error { return unix.Mount(b.Mount, at, "", unix.MS_BIND, "") }},
		{"make the file read-only", func() error { return unix.Mount("none", at, "", readOnly, "") }},
		{"enter the image", func() error { return unix.Chroot(b.Root) }},
		{"enter the folder", func() error { return unix.Chdir(b.Dir) }},
		{"leave all groups", func() error { return syscall.Setgroups(nil) }},
		{"take the group", func() error { return syscall.Setgid(b.GID) }},
		{"take the user", func() error { return syscall.Setuid(b.UID) }},
		{"start " + b.Args[0], func() error { return syscall.Exec(b.Args[0], b.Args, b.Env) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

const readOnly = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY

// command returns the command that runs args in the image with a configuration at
// /app/config.yml, as "docker run --read-only -v FILE:/app/config.yml:ro" does.
func (img *image) command(t *testing.T, configuration string, args []string, env ...string) *exec.Cmd {
	t.Helper()
	c := img.config.Config
	b := box{Root: img.root, Mount: configuration, At: "app/config.yml", Dir: c.WorkingDir, Args: args, Env: env, PIDFile: img.pidFile()}
	uid, gid, _ := strings.Cut(c.User, ":")
	var errs [2]error
	b.UID, errs[0] = strconv.Atoi(uid)
	b.GID, errs[1] = strconv.Atoi(gid)
	text, err := json.Marshal(b)
	if err := errors.Join(err, errs[0], errs[1]); err != nil {
		t.Fatal(err)
	}
	return asRoot("env", insideEnv+"="+string(text), self(t))
}

// pidFile is where the process that was started last has its number.
func (img *image) pidFile() string { return filepath.Join(filepath.Dir(img.root), "pid") }

// start starts what the image is for.
func (img *image) start(t *testing.T, configuration string, out *os.File, env ...string) *child.Process {
	t.Helper()
	cmd := img.command(t, configuration, append(img.config.Config.Entrypoint, img.config.Config.Cmd...), env...)
	cmd.Stdout, cmd.Stderr = out, out
	process, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Kill() })
	return process
}

// self returns the path of this program.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
