package pubsubserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	// startTimeout bounds what the caller's context does not.
	startTimeout = time.Minute
	// pollInterval is how often a server that is coming up is asked.
	pollInterval = 20 * time.Millisecond
	// portAttempts is how many ports are tried until one can be listened on.
	portAttempts = 5
	// logTail is how many bytes of the log an error shows.
	logTail = 4 << 10
)

// Emulator is Google's emulator of Pub/Sub in a process of its own. It keeps
// nothing on disk. Its methods may be called from several goroutines.
type Emulator struct {
	script string
	folder *child.Folder

	mu      sync.Mutex // guards what follows, and keeps starts and stops apart
	port    int
	process *child.Process
}

// errEnded says that the emulator's process ended while it was starting.
var errEnded = errors.New("it ended")

// StartEmulator starts the emulator and returns once it answers, which takes
// about two seconds. Without a deadline in ctx it gives up after a minute. An
// error holds the end of the emulator's log. The emulator outlives ctx: end it
// with Close.
func StartEmulator(ctx context.Context) (*Emulator, error) {
	path := Find()
	if path == "" {
		return nil, fmt.Errorf("start the Pub/Sub emulator: there is none; install google-cloud-cli-pubsub-emulator of Google's SDK, or name its script in %s",
			EmulatorVariable)
	}
	folder, err := child.NewFolder(filepath.Join(os.TempDir(), "walherald-pubsub-*"))
	if err != nil {
		return nil, err
	}
	e := &Emulator{script: path, folder: folder}
	if err := e.startAnywhere(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// EmulatorForTest starts an emulator that ends with the test. If the test fails,
// the end of the emulator's log is shown.
func EmulatorForTest(t testing.TB) *Emulator {
	t.Helper()
	e, err := StartEmulator(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %v ends:\n%s", e, e.LogTail())
		}
		if err := e.Close(); err != nil {
			t.Errorf("close %v: %v", e, err)
		}
	})
	return e
}

// String says which server this is.
func (e *Emulator) String() string { return "the Pub/Sub emulator " + e.script }

// Addr returns the address to connect to without TLS, host:port.
func (e *Emulator) Addr() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.addr()
}

func (e *Emulator) addr() string { return net.JoinHostPort(host, strconv.Itoa(e.port)) }

// Kill ends the emulator by SIGKILL. All it held is gone.
func (e *Emulator) Kill() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.kill()
}

func (e *Emulator) kill() error {
	if e.process == nil {
		return nil
	}
	return e.process.Kill()
}

// Restart starts a killed emulator again on the same port, empty, and returns
// once it answers.
func (e *Emulator) Restart(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.start(ctx)
}

// Close ends the emulator and removes its folder. It may be called more than once.
func (e *Emulator) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return errors.Join(e.kill(), e.folder.Remove())
}

// LogTail returns the end of what the emulator has written to its log.
func (e *Emulator) LogTail() string {
	text, err := os.ReadFile(e.logPath())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

func (e *Emulator) logPath() string { return filepath.Join(e.folder.Path, "log") }

// startAnywhere starts the emulator on the first free port that it gets.
func (e *Emulator) startAnywhere(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	for range portAttempts {
		if e.port, err = child.FreePort(); err != nil {
			return err
		}
		if err = e.start(ctx); !errors.Is(err, errEnded) {
			return err
		}
	}
	return err
}

// start starts the emulator on its port and waits until it answers.
func (e *Emulator) start(ctx context.Context) error {
	log, err := os.OpenFile(e.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the emulator's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(e.script, "--host="+host, "--port="+strconv.Itoa(e.port))
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, e.folder.Path
	if e.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	if err := e.awaitReady(ctx); err != nil {
		return errors.Join(err, e.process.Kill())
	}
	return nil
}

// awaitReady polls until the emulator answers, has ended or ctx ends.
func (e *Emulator) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := e.probe(ctx)
		if err == nil {
			return nil
		}
		if !e.process.Running() {
			return fmt.Errorf("start %v: %w: %w\n%s", e, errEnded, e.process.Wait(ctx), e.LogTail())
		}
		select {
		case <-tick.C:
		case <-e.process.Done():
		case <-ctx.Done():
			return fmt.Errorf("start %v: %w; last attempt: %w\n%s", e, ctx.Err(), err, e.LogTail())
		}
	}
}

// probe asks the emulator's root page, which beside gRPC it has as well.
func (e *Emulator) probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.addr()+"/", nil)
	if err != nil {
		return err
	}
	req.Close = true // keep no connection, nor its goroutines
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("its root page answers %s", resp.Status)
	}
	return nil
}
