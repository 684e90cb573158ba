package main

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
)

// ended starts the process, which must end by itself with the exit code and
// tell of every one of the words. It returns what was printed.
func (d *daemon) ended(code int, words ...string) string {
	d.t.Helper()
	d.start()
	if got := d.exit(); got != code {
		d.t.Errorf("exit code %d, want %d", got, code)
	}
	printed := d.log()
	for _, w := range words {
		if !strings.Contains(printed, w) {
			d.t.Errorf("%q is not in what was printed:\n%s", w, printed)
		}
	}
	return printed
}

func TestWrongConfigurationExitsOneAndSaysWhereAndWhat(t *testing.T) {
	const database = "database: {host: 127.0.0.1, name: none, user: none}\nlistener: {slotName: wh}\n"
	for name, test := range map[string]struct {
		publisher string
		words     []string
	}{
		"unknown key":        {"publisher:\n  type: nats\n  topic: cdc\n  adress: a:1\n", []string{"config.yml:6: publisher.adress", `did you mean "address"?`}},
		"unknown kind":       {"publisher:\n  type: postcard\n", []string{"config.yml:4: publisher.type", "is none of"}},
		"wrong logger.fmt":   {"publisher: {type: stdout}\nlogger:\n  fmt: xml\n", []string{"config.yml:5: logger.fmt"}},
		"wrong YAML":         {"publisher: [\n", []string{"config.yml", "not valid YAML"}},
		"TLS file not there": {"publisher: {type: nats, topic: cdc, address: 'a:1', enableTLS: true, caCert: /nonexistent/ca.pem}\n", []string{"publisher.caCert", "/nonexistent/ca.pem"}},
		"key at the top":     {"publisher: {type: stdout}\nlistners: {}\n", []string{"config.yml:4: listners", "unknown key"}},
	} {
		t.Run(name, func(t *testing.T) {
			daemonOf(t, 0, database+test.publisher).ended(exitError, test.words...)
		})
	}
}

// exitOf runs the binary with arguments and returns its exit code and output.
func exitOf(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	cmd := exec.CommandContext(bounded(t), binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &out, &err
	if runErr := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(runErr)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

func TestWrongCallsExitTwoAndMissingFilesOne(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yml")
	for _, test := range []struct {
		args []string
		code int
		word string
	}{
		{[]string{"--confg", "x"}, exitUsage, "unknown flag: --confg"},
		{[]string{"--config"}, exitUsage, "flag needs an argument"},
		{[]string{"serve"}, exitUsage, `unknown command "serve"`},
		{[]string{"version", "more"}, exitUsage, "walherald --help"},
		{[]string{"-c", missing}, exitError, missing},
		{nil, exitError, "config.yml"},
	} {
		code, stdout, stderr := exitOf(t, test.args...)
		if code != test.code || !strings.Contains(stderr, test.word) || stdout != "" {
			t.Errorf("%q: exit code %d, want %d; printed %q and %q, want %q", test.args, code, test.code, stdout, stderr, test.word)
		}
	}
}

func TestHelpAndVersionExitZero(t *testing.T) {
	if code, stdout, stderr := exitOf(t, "version"); code != exitOK || !strings.HasPrefix(stdout, "walherald devel (go1.") || stderr != "" {
		t.Errorf("version: exit code %d, printed %q and %q", code, stdout, stderr)
	}
	if code, stdout, stderr := exitOf(t, "--help"); code != exitOK || !strings.Contains(stdout, "--config") || stderr != "" {
		t.Errorf("--help: exit code %d, printed %q and %q", code, stdout, stderr)
	}
}

// Nothing but a human can mend these: to try again would hide them.
func TestWhatTheServerRefusesForGoodExitsOne(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{Password: "right"})
	address := fmt.Sprintf("%s:%d", s.Host(), s.Port())
	for name, test := range map[string]struct {
		database, user, password string
		words                    []string
	}{
		"wrong password": {"postgres", s.User(), "geheim", []string{address, "user=postgres", "password authentication failed", "28P01"}},
		"no password":    {"postgres", s.User(), "", []string{address, "user=postgres"}},
		"no such role":   {"postgres", "nobody_at_all", "geheim", []string{address, "user=nobody_at_all"}},
		"no database":    {"nowhere", s.User(), "right", []string{`database \"nowhere\" does not exist`, "3D000"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t, fmt.Sprintf("database: {host: %s, port: %d, name: %s, user: %s, password: '%s'}\nlistener:\n  slotName: wh\n",
				s.Host(), s.Port(), test.database, test.user, test.password), "publisher: {type: discard}\n")
			printed := d.ended(exitError, test.words...)
			if test.password != "" && strings.Contains(printed, test.password) {
				t.Errorf("the password is in what was printed:\n%s", printed)
			}
		})
	}
}

func TestPortThatIsTakenExitsOneAndNamesItsKey(t *testing.T) {
	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	for key, settings := range map[string]string{
		"listener.serverPort": fmt.Sprintf("listener: {slotName: wh, serverPort: %d}\n", port),
		"monitoring.promAddr": fmt.Sprintf("listener: {slotName: wh}\nmonitoring: {promAddr: ':%d'}\n", port),
	} {
		t.Run(key, func(t *testing.T) {
			daemonOf(t, 0, "database: {host: 127.0.0.1, name: none, user: none}\npublisher: {type: discard}\n"+settings).
				ended(exitError, key, fmt.Sprintf(":%d", port), "address already in use")
		})
	}
}

func TestBrokerUnreachableAtStartIsWaitedFor(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	db := prepare(t, s)
	if err := broker.Kill(); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	d := newDaemon(t, source(s, db), toNATS(broker.URL()))
	d.start()
	blocked := d.awaitBlocked("nats", "connect to NATS at", strings.TrimPrefix(broker.URL(), "nats://"))
	if blocked.Since.Before(before) || blocked.Since.After(time.Now()) || blocked.LSN != "" {
		t.Errorf("/ready says %+v", blocked)
	}
	d.awaitAlive()
	if err := broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.awaitReady()
	execute(t, s.DSN(db), "INSERT INTO items VALUES (1, 1, 1, '')")
	awaitConfirmed(t, d, s.DSN(db), db)
	if n := messages(t, broker.URL()); n != 1 {
		t.Errorf("the stream holds %d messages, want 1", n)
	}
}

func TestPostgresUnreachableAtStartIsWaitedFor(t *testing.T) {
	s, broker := pgserver.ForTest(t, pgserver.Options{}), natsserver.ForTest(t, natsserver.Options{})
	db := prepare(t, s)
	if err := s.Stop(t.Context(), pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	d := newDaemon(t, source(s, db), toNATS(broker.URL()))
	d.start()
	blocked := d.awaitBlocked("postgres", fmt.Sprintf("%s:%d", s.Host(), s.Port()), "connection refused")
	if blocked.Since.Before(before) || blocked.Since.After(time.Now()) {
		t.Errorf("/ready says %+v", blocked)
	}
	d.awaitAlive()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.awaitReady()
	execute(t, s.DSN(db), "INSERT INTO items VALUES (1, 1, 1, '')")
	awaitConfirmed(t, d, s.DSN(db), db)
	if n := messages(t, broker.URL()); n != 1 {
		t.Errorf("the stream holds %d messages, want 1", n)
	}
}
