package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/pgserver/child"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(withBinary{m}) }

// binary is the path of the command, built as it is released.
var binary string

// withBinary builds the command, runs the tests and removes it.
type withBinary struct{ tests *testing.M }

// Run implements goleak.TestingM.
func (w withBinary) Run() int {
	dir, err := os.MkdirTemp("", "walherald-demo-test-")
	if err != nil {
		fmt.Println("make folder for the binary:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "demo")
	if out, err := osexec.Command("go", "build", "-buildvcs=false", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Printf("build the demo: %v\n%s", err, out)
		return 1
	}
	return w.tests.Run()
}

// patience bounds every wait.
const patience = 2 * time.Minute

// demo is the command as a child.
type demo struct {
	t              *testing.T
	proc           *child.Process
	stdout, stderr string // paths
}

// startDemo starts the demo. It keeps its files in tmp.
func startDemo(t *testing.T, tmp string, env ...string) *demo {
	t.Helper()
	dir := t.TempDir()
	d := &demo{t: t, stdout: filepath.Join(dir, "stdout"), stderr: filepath.Join(dir, "stderr")}
	cmd := osexec.Command(binary)
	cmd.Env = append(append(os.Environ(), "TMPDIR="+tmp, "DURATION=", "RATE="), env...)
	stdout, outErr := os.Create(d.stdout)
	stderr, errErr := os.Create(d.stderr)
	if err := errors.Join(outErr, errErr); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = stdout.Close(), stderr.Close() }()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	var err error
	if d.proc, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.proc.Kill(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *demo) read(path string) string {
	d.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(content)
}

// end waits until the demo has ended and returns its exit code.
func (d *demo) end() int {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	err := d.proc.Wait(ctx)
	var ended *osexec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return 0
}

var summaryLines = regexp.MustCompile(`
(\d+) transactions with (\d+) changes committed
(\d+) events confirmed, (\d+) read back from the stream
(\d+) lost, (\d+) repeated, (\d+) out of order
(\d+) rows in the tables, (\d+) differ from what the events say
commit to confirmation: p50 (\S+), p99 (\S+)
(\d+) notifications wanted: (\d+) accepted, (\d+) parked, (\d+) missing
(\d+) webhooks: (\d+) refused for a while, (\d+) repeated, (\d+) late from the parking, (\d+) out of order, (\d+) with a wrong signature
$`)

// eventLine is one confirmed change.
var eventLine = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3}  (INSERT|UPDATE|DELETE) `)

// checkSummary holds what was printed to be a good run.
func (d *demo) checkSummary() {
	d.t.Helper()
	printed := d.read(d.stdout)
	found := summaryLines.FindStringSubmatch(printed)
	if found == nil {
		d.t.Fatalf("there is no summary at the end of:\n%s", printed)
	}
	n := make([]int, len(found))
	for i := range found {
		n[i], _ = strconv.Atoi(found[i]) // what is no number is looked at below
	}
	transactions, changes, confirmed, read := n[1], n[2], n[3], n[4]
	lines := len(eventLine.FindAllString(printed, -1))
	if transactions < 2 || changes < transactions || confirmed != changes || read != changes || lines != changes {
		d.t.Errorf("%d lines for events, and the summary says%s", lines, found[0])
	}
	if n[5] != 0 || n[6] != 0 || n[7] != 0 || n[8] < 8 || n[9] != 0 {
		d.t.Errorf("the summary says%s", found[0])
	}
	p50, err50 := time.ParseDuration(found[10])
	p99, err99 := time.ParseDuration(found[11])
	if errors.Join(err50, err99) != nil || p50 <= 0 || p99 < p50 {
		d.t.Errorf("latencies are %s and %s", found[10], found[11])
	}
	d.checkNotifications(found[0], printed, n[12:])
	if strings.ContainsRune(printed, '\x1b') {
		d.t.Error("there are escape sequences in what is not for a terminal")
	}
	if stderr := d.read(d.stderr); stderr != "" {
		d.t.Errorf("standard error says:\n%s", stderr)
	}
}

// checkNotifications holds the books of the notifications to be closed, and every
// story to have been printed.
func (d *demo) checkNotifications(summary, printed string, n []int) {
	d.t.Helper()
	wanted, accepted, parked, missing, webhooks, refused := n[0], n[1], n[2], n[3], n[4], n[5]
	if wanted < len(told) || accepted+parked != wanted || missing != 0 || webhooks < accepted+refused || n[8] != 0 || n[9] != 0 {
		d.t.Errorf("the summary says%s", summary)
	}
	for story, line := range told {
		if !line.MatchString(printed) {
			d.t.Errorf("no webhook tells of %s in:\n%s", story, printed)
		}
	}
}

// told is how each story begins on the screen.
var told = map[string]*regexp.Regexp{
	orderPlaced:  webhookLine("warehouse", `order \d+: \d × \w+ for [\d.]+  204  `),
	orderShipped: webhookLine("courier", `order \d+ shipped: \d × \w+  (204|503)  `),
	planUpgraded: webhookLine("crm", `\w+ upgraded to premium \(user \d+\)  204  `),
	lowStock:     webhookLine("warehouse", `violin running low: 4 left  204  `),
	userDeleted:  webhookLine("crm", `\w+ closed the account \(user \d+\)  204  `),
}

func webhookLine(destination, rest string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3}  WEBHOOK → +` + destination + ` +` + rest)
}

func TestDemoRunsForItsDurationAndClosesTheBooks(t *testing.T) {
	tmp := t.TempDir()
	d := startDemo(t, tmp, "DURATION=3s")
	if code := d.end(); code != 0 {
		t.Errorf("exit code %d: %s", code, d.read(d.stderr))
	}
	d.checkSummary()
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestInterruptClosesTheShopAndTheBooks(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		d := startDemo(t, t.TempDir(), "RATE=100")
		d.await(told[userDeleted]) // the last one of the opening
		d.interrupt(sig)
	}
}

func TestTokenOpensTheParkingWhileTheCourierIsOutOfOrder(t *testing.T) {
	d := startDemo(t, t.TempDir(), "RATE=100")
	d.await(webhookLine("courier", `order \d+\D.*  503  attempt 2  `))
	page := d.await(regexp.MustCompile(`(?m)^The page +(http://\S+/)  token (\S+)$`))
	if status, _ := d.get(page[1], ""); status != http.StatusOK {
		t.Errorf("the page answers %d", status)
	}
	if status, _ := d.get(page[1]+"parked", ""); status != http.StatusUnauthorized {
		t.Errorf("without the token what is parked is answered with %d", status)
	}
	status, parked := d.get(page[1]+"parked", page[2])
	if status != http.StatusOK || !json.Valid(parked) {
		t.Errorf("with the token what is parked is answered with %d: %s", status, parked)
	}
	d.interrupt(syscall.SIGINT)
}

// interrupt closes the shop and holds the books to be good.
func (d *demo) interrupt(sig syscall.Signal) {
	d.t.Helper()
	if err := d.proc.Signal(sig); err != nil {
		d.t.Fatal(err)
	}
	if code := d.end(); code != 0 {
		d.t.Errorf("exit code %d after %v: %s", code, sig, d.read(d.stderr))
	}
	d.checkSummary()
}

// get asks the demo for a URL.
func (d *demo) get(url, token string) (status int, body []byte) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, body
}

// await waits until something is printed and returns it with its groups.
func (d *demo) await(line *regexp.Regexp) []string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if found := line.FindStringSubmatch(d.read(d.stdout)); found != nil {
			return found
		}
		select {
		case <-tick.C:
		case <-d.proc.Done():
			d.t.Fatalf("the demo has ended: %s", d.read(d.stderr))
		case <-ctx.Done():
			d.t.Fatalf("nothing matches %s in:\n%s", line, d.read(d.stdout))
		}
	}
}

func TestSettingsThatCannotBeMeantAreRefused(t *testing.T) {
	for variable, values := range map[string][]string{"DURATION": {"15", "-1s", "0s", "soon"}, "RATE": {"0", "-2", "fast"}} {
		for _, v := range values {
			t.Setenv(variable, v)
			if _, err := readSettings(); err == nil || !strings.Contains(err.Error(), variable+": "+strconv.Quote(v)) {
				t.Errorf("%s=%s: %v", variable, v, err)
			}
		}
		t.Setenv(variable, "")
	}
	t.Setenv("DURATION", "1m30s")
	t.Setenv("RATE", "0.5")
	if set, err := readSettings(); err != nil || set.duration != 90*time.Second || set.rate != 0.5 {
		t.Errorf("settings are %+v, %v", set, err)
	}
}

func TestWrongSettingEndsTheDemoWithOne(t *testing.T) {
	d := startDemo(t, t.TempDir(), "DURATION=soon")
	if code, stderr := d.end(), d.read(d.stderr); code != 1 || !strings.HasPrefix(stderr, "demo: DURATION") {
		t.Errorf("exit code %d, standard error says %q", code, stderr)
	}
}

// screenTo is a screen that prints to a buffer.
func screenTo(w *bytes.Buffer, colour bool) *screen { return &screen{w: w, colour: colour} }

func TestFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if newScreen(f).colour {
		t.Error("a file gets colours")
	}
	plain, coloured := screenTo(nil, false), screenTo(nil, true)
	if got := plain.paint("31", "x") + coloured.paint("31", "x"); got != "x\x1b[31mx\x1b[0m" {
		t.Errorf("painted: %q", got)
	}
	if fmt.Sprint(plain.quantiles()) != "0s 0s" {
		t.Error("there are latencies without events")
	}
}
