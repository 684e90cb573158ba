package natsserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

const command = "github.com/walherald/walherald/internal/natsserver/natsd"

// built remembers the binary once it has been built.
var built struct {
	mu   sync.Mutex
	path string
}

// build builds natsd into the checkout's bin folder, once in a process, and
// returns its path. Where it is up to date already that takes 0.1 s; test
// binaries that run side by side wait for each other.
func build(ctx context.Context) (string, error) {
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.path != "" {
		return built.path, nil
	}
	folder, err := binFolder(ctx)
	if err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(folder, ".natsd.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("open the lock for building natsd: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("wait for another build of natsd: %w", err)
	}
	path := filepath.Join(folder, "natsd")
	if out, err := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", path, command).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build natsd: %w\n%s", err, out)
	}
	built.path = path
	return path, nil
}

// binFolder returns the folder bin of the checkout that we run in.
func binFolder(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	gomod := strings.TrimSpace(string(out))
	if gomod == "" || gomod == os.DevNull {
		return "", errors.New("find the checkout: natsd can only be built inside of it, and the working folder is outside")
	}
	folder := filepath.Join(filepath.Dir(gomod), "bin")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("make the checkout's bin folder: %w", err)
	}
	return folder, nil
}
