package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/pgserver/child"
)

// build builds walherald and returns its path.
func build(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "walherald")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", file, "./cmd/walherald")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build walherald: %v\n%s", err, out)
	}
	return file
}

// process is walherald as a pod of the chart would run it.
type process struct {
	*child.Process
	events string // what it has published, a file
	probe  string // the address of the readiness probe
	grace  time.Duration
}

// startPod renders the chart for a database and runs what is in its pod. Two pods
// of this machine need a port each.
func startPod(t *testing.T, binary string, s *pgserver.Server, database string) *process {
	t.Helper()
	ports, err := child.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	m := mustRenderValues(t, with(t, "minimal", fmt.Sprintf(`{config: {
		listener: {serverPort: %d, slotName: %s}, monitoring: {promAddr: "127.0.0.1:%d", address: "off"},
		database: {host: %s, port: %d, name: %s, user: %s}, publisher: {type: stdout, address: null, topic: null}}}`,
		ports[0], database, ports[1], s.Host(), s.Port(), database, s.User())))
	template, c := pod(t, m)
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "config.yml"), []byte(configText(t, m)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{
		events: filepath.Join(folder, "events"),
		probe:  fmt.Sprintf("http://127.0.0.1:%d%s", port(t, c, "probes"), c.ReadinessProbe.HTTPGet.Path),
		grace:  time.Duration(*template.Spec.TerminationGracePeriodSeconds) * time.Second,
	}
	p.Process = run(t, binary, folder, p.events, c.Args)
	return p
}

// run starts the binary with the container's arguments, where folder is what is
// mounted at /etc/walherald.
func run(t *testing.T, binary, folder, events string, args []string) *child.Process {
	t.Helper()
	cmd := exec.Command(binary)
	for _, arg := range args {
		cmd.Args = append(cmd.Args, strings.ReplaceAll(arg, "/etc/walherald", folder))
	}
	logs := filepath.Join(folder, "log")
	for name, target := range map[string]*io.Writer{events: &cmd.Stdout, logs: &cmd.Stderr} {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		*target = f
	}
	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the pod:\n%s", child.Tail(logs, 0))
		}
	})
	return p
}

// awaitStatus waits until the readiness probe succeeds with a status.
func (p *process) awaitStatus(ctx context.Context, t *testing.T, want string) {
	t.Helper()
	err := p.AwaitReady(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.probe, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		var report struct {
			Status string `json:"status"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK || report.Status != want {
			return fmt.Errorf("%s: %s", resp.Status, report.Status)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("the probe does not see %s: %v", want, err)
	}
}

// awaitEvent waits until the pod has published an event with this text.
func (p *process) awaitEvent(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	err := p.AwaitReady(ctx, func(context.Context) error {
		if published := readFile(t, p.events); !strings.Contains(published, text) {
			return fmt.Errorf("%s is not among\n%s", text, published)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStandbyTakesOverFromThePodThatEnds(t *testing.T) {
	binary := build(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := pgserver.ForTest(t, pgserver.Options{})
	const database = "shop"
	if err := s.CreateDatabase(ctx, database); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE orders (id int PRIMARY KEY, note text)")

	works := startPod(t, binary, s, database)
	works.awaitStatus(ctx, t, "ready")
	waits := startPod(t, binary, s, database)
	waits.awaitStatus(ctx, t, "standby")
	exec("INSERT INTO orders VALUES (1, 'by the first')")
	works.awaitEvent(ctx, t, "by the first")

	stop, cancelStop := context.WithTimeout(ctx, works.grace)
	defer cancelStop()
	if err := works.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO orders VALUES (2, 'while nobody reads')")
	if err := works.Wait(stop); err != nil {
		t.Fatalf("the pod does not end within its %v: %v", works.grace, err)
	}
	waits.awaitStatus(ctx, t, "ready")
	exec("INSERT INTO orders VALUES (3, 'by the second')")
	waits.awaitEvent(ctx, t, "by the second")

	first, second := readFile(t, works.events), readFile(t, waits.events)
	if n := strings.Count(first+second, "while nobody reads"); n != 1 {
		t.Errorf("a change between the two was published %d times", n)
	}
	if strings.Contains(second, "by the first") {
		t.Error("a change that was confirmed is repeated after a stop")
	}
}
