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
	"testing"
	"time"

	"github.com/walherald/walherald/internal/pgserver/child"
)

// startTimeout bounds what the caller's context does not.
const startTimeout = time.Minute

// Emulator is Google's emulator of Pub/Sub in a process of its own. It keeps
// nothing on disk: after Restart it is empty. Its methods may be called from
// several goroutines.
type Emulator struct {
	*child.Server

	script string
	port   int
}

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
	e := &Emulator{script: path}
	e.Server = child.NewServer(folder, child.Program{
		Name: "the Pub/Sub emulator " + path, Timeout: startTimeout, Command: e.command, Probe: e.probe,
	})
	if err := e.StartAnywhere(ctx, &e.port); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// EmulatorForTest starts an emulator that ends with the test. If the test fails,
// the end of the emulator's log is shown.
func EmulatorForTest(t testing.TB) *Emulator {
	t.Helper()
	return child.ForTest(t, StartEmulator)
}

// Addr returns the address to connect to without TLS, host:port.
func (e *Emulator) Addr() string { return net.JoinHostPort(host, strconv.Itoa(e.port)) }

func (e *Emulator) command(context.Context) (*exec.Cmd, error) {
	cmd := exec.Command(e.script, "--host="+host, "--port="+strconv.Itoa(e.port))
	cmd.Dir = e.Path("")
	return cmd, nil
}

// probe asks the emulator's root page, which beside gRPC it has as well.
func (e *Emulator) probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.Addr()+"/", nil)
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
