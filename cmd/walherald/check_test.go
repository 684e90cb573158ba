package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/receiver"
)

// runCheck writes a configuration and runs the command on it.
func runCheck(t *testing.T, configuration string) (code int, printed string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), []string{"check", "-c", path}, &stdout, &stderr)
	if stderr.Len() > 0 {
		t.Errorf("check wrote to standard error: %s", &stderr)
	}
	return code, stdout.String()
}

// sections returns the configuration of a server as its superuser, with the
// rest as given.
func sections(s *pgserver.Server, rest string) string {
	return fmt.Sprintf("listener: {slotName: wh}\ndatabase: {host: %s, port: %d, name: postgres, user: %s}\n", s.Host(), s.Port(), s.User()) + rest
}

// nowhere is a source that is not there, for tests of the rest.
const nowhere = "listener: {slotName: wh}\ndatabase: {host: /nonexistent, name: none, user: none}\n"

// expectLine wants a line that begins with the severity and holds all words.
func expectLine(t *testing.T, printed, severity string, words ...string) {
	t.Helper()
	for line := range strings.Lines(printed) {
		found := strings.HasPrefix(line, severity)
		for _, w := range words {
			found = found && strings.Contains(line, w)
		}
		if found {
			return
		}
	}
	t.Errorf("no line begins with %q and holds %q:\n%s", severity, words, printed)
}

func TestCheckSucceedsWhereTheServiceCouldStart(t *testing.T) {
	s, broker := pgserver.ForTest(t, pgserver.Options{}), natsserver.InProcess(t)
	code, printed := runCheck(t, sections(s, "publisher: {type: nats, topic: cdc, address: "+broker.ClientURL()+"}\n"))
	if code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	for path, what := range map[string]string{
		"config.yml": "configuration is valid", "database": "connected to PostgreSQL", "listener.slotName": "would be created",
		"publisher.address": "connected to NATS", "publisher.topic": "stream cdc does not exist and would be created",
	} {
		expectLine(t, printed, "ok", path, what)
	}
	if !strings.HasSuffix(printed, "\n0 errors, 0 warnings, 15 ok\n") {
		t.Errorf("printed:\n%s", printed)
	}
}

func TestCheckFailsOnOneErrorAndStillFindsTheOthers(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{Settings: map[string]string{"wal_level": "replica"}})
	code, printed := runCheck(t, sections(s, "publisher: {type: kafka, topic: cdc, address: ['127.0.0.1:1']}\n"))
	if code != exitError {
		t.Errorf("exit code %d, want %d", code, exitError)
	}
	expectLine(t, printed, "error", "wal_level is replica")
	expectLine(t, printed, "error", "publisher.address", "127.0.0.1:1", "connection refused")
	expectLine(t, printed, "2 errors, 0 warnings, ")
}

func TestCheckOfANotifierAloneFailsOnWhatNoTimeMends(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{})
	hook := receiver.New(t, receiver.Options{})
	notifier := func(keys string) string {
		return sections(s, "notifier: {rules: [{name: all, when: 'new.id > 3', destination: {type: webhook, url: '"+hook.URL()+"/hunter2'"+keys+"}}]}\n")
	}
	code, printed := runCheck(t, notifier(", allowPrivate: true"))
	if code != exitOK || hook.Count() > 0 {
		t.Errorf("exit code %d after %d requests, printed:\n%s", code, hook.Count(), printed)
	}
	expectLine(t, printed, "ok", "notifier.rules[0].destination", "destination all-webhook: connected to "+hook.Addr())
	expectLine(t, printed, "ok", "notifier.parking", "would be made")
	expectLine(t, printed, "0 errors, 0 warnings, ")

	code, printed = runCheck(t, notifier(""))
	if code != exitError || strings.Contains(printed, "hunter2") {
		t.Errorf("exit code %d, printed:\n%s", code, printed)
	}
	expectLine(t, printed, "error", "notifier.rules[0].destination", "127.0.0.1, which is loopback")
	expectLine(t, printed, "       ", "correct its url; or set allowPrivate: true")
}

func TestCheckDoesNotFailOnWarnings(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{})
	t.Setenv("WAL_LISTENER_SLOTNAM", "typo")
	code, printed := runCheck(t, sections(s, "publisher: {type: discard}\n"))
	if code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	expectLine(t, printed, "warning", "environment", "WAL_LISTENER_SLOTNAM")
	expectLine(t, printed, "0 errors, 1 warning, ")
}

func TestCheckNeverShowsASecret(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{Password: "right"})
	broker := natsserver.InProcess(t)
	t.Setenv("WAL_LISTENER_DB_PASSWORD", "geheim")
	code, printed := runCheck(t, sections(s, "publisher: {type: nats, topic: cdc, address: nats://u:geheim%zz@"+broker.Addr().String()+"}\n"+
		"monitoring: {sentryDSN: https://geheim@example.invalid/1}\n"))
	if code != exitError || strings.Contains(printed, "geheim") {
		t.Errorf("exit code %d, printed:\n%s", code, printed)
	}
	expectLine(t, printed, "error", "database.password")
	expectLine(t, printed, "error", "publisher.address")
}

func TestCheckPrintsConfigurationProblemsWithTheirLines(t *testing.T) {
	code, printed := runCheck(t, "listener:\n  slotNam: x\ndatabase: {host: h, name: n, user: u}\npublisher:\n  type: postcard\n")
	if code != exitError {
		t.Errorf("exit code %d, want %d", code, exitError)
	}
	expectLine(t, printed, "error", "config.yml:2: listener.slotNam ", "unknown key")
	expectLine(t, printed, "error", "config.yml:5: publisher.type ", "is none of")
	expectLine(t, printed, "3 errors, 0 warnings, 0 ok")

	code, printed = runCheck(t, "listener: [\n")
	if code != exitError {
		t.Errorf("exit code %d, want %d", code, exitError)
	}
	expectLine(t, printed, "error", "config.yml", "not valid YAML")
}

func TestCheckNamesAMissingFile(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"check", "-c", "/nonexistent/walherald.yml"}, &stdout, &stderr)
	if code != exitError {
		t.Errorf("exit code %d, want %d", code, exitError)
	}
	expectLine(t, stdout.String(), "error", "/nonexistent/walherald.yml", "no such file")
	expectLine(t, stdout.String(), "       name the file")
}

func TestCheckTakesNoArguments(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"check", "config.yml"}, &stdout, &stderr); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
}

func TestCheckKnowsTheSubjectsOfTheConfiguration(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "cdc", Subjects: []string{"cdc.*"}}); err != nil {
		t.Fatal(err)
	}
	for settings, want := range map[string][]string{
		"topicPrefix: pre_": {"ok", "takes the subjects of all tables"},
		"topicPrefix: pre.": {"error", "takes nothing of cdc.pre.*"},
		"topicPrefix: a.pre_}\nlistener: {slotName: wh, topicsMap: {public_users: x}":              {"error", "takes nothing of cdc.a.*, cdc.a.pre_x"},
		"topic: cdc}\nlistener: {slotName: wh, topicsMap: {'/^public_(.*)_(.*)$/': 'pub.${1}_$2'}": {"warning", "not take all of cdc.pub.*"},
		"topic: cdc}\nlistener: {slotName: wh, topicsMap: {public_users: users}":                   {"ok", "takes the subjects of all tables"},
	} {
		if !strings.Contains(settings, "topic:") {
			settings = "topic: cdc, " + settings
		}
		if !strings.Contains(settings, "listener:") {
			settings += "}\nlistener: {slotName: wh"
		}
		_, printed := runCheck(t, "database: {host: /nonexistent, name: none, user: none}\npublisher: {type: nats, address: "+url+", "+settings+"}\n")
		expectLine(t, printed, want[0], "publisher.topic", want[1])
	}
}

func TestCheckTriesWhatTheEmbeddedServerNeeds(t *testing.T) {
	store := t.TempDir()
	embedded := func(listen, dir string) string {
		return nowhere + "publisher: {type: nats, topic: cdc, embedded: {listen: '" + listen + "', storeDir: '" + dir + "'}}\n"
	}
	_, printed := runCheck(t, embedded("127.0.0.1:0", filepath.Join(store, "deep", "down")))
	expectLine(t, printed, "ok", "publisher.embedded.listen", "can listen on 127.0.0.1:0")
	expectLine(t, printed, "ok", "publisher.embedded.storeDir", "can write to "+store)
	if left, err := os.ReadDir(store); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	file := filepath.Join(store, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, printed = runCheck(t, embedded(taken.Addr().String(), file))
	expectLine(t, printed, "error", "publisher.embedded.listen", "cannot listen on "+taken.Addr().String(), "address already in use")
	expectLine(t, printed, "error", "publisher.embedded.storeDir", "cannot write to "+file)
	// A folder that not even root can write to.
	_, printed = runCheck(t, embedded("127.0.0.1:0", "/proc/walherald"))
	expectLine(t, printed, "error", "publisher.embedded.storeDir", "cannot write to /proc/walherald")
}

func TestCheckNamesPortsOfItsOwnThatAreTaken(t *testing.T) {
	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	_, printed := runCheck(t, fmt.Sprintf("listener: {slotName: wh, serverPort: %d}\ndatabase: {host: /nonexistent, name: none, user: none}\n"+
		"publisher: {type: stdout}\nmonitoring: {promAddr: ':%d'}\n", port, port))
	for _, path := range []string{"listener.serverPort", "monitoring.promAddr"} {
		expectLine(t, printed, "error", path, fmt.Sprintf("cannot listen on :%d", port), "address already in use")
	}
	expectLine(t, printed, "ok", "publisher.type", "output is stdout")
}

func TestCheckNamesTLSFilesThatCannotBeUsed(t *testing.T) {
	_, printed := runCheck(t, nowhere+"publisher: {type: nats, topic: cdc, address: 'a:1', enableTLS: true, caCert: /nonexistent/ca.pem}\n")
	expectLine(t, printed, "error", "publisher.caCert", "open /nonexistent/ca.pem: no such file")
	expectLine(t, printed, "       name a PEM file that this user can read")
}

func TestReportAlignsFindingsAndKeepsEachInItsLine(t *testing.T) {
	found := []config.Finding{
		{Path: "listener.slotName", What: "fine"},
		{Severity: config.FindingWarning, Path: "né", What: "odd\nin two\x1b[2J lines", Remedy: "look\tat it"},
	}
	const plain = "ok       listener.slotName  fine\n" +
		"warning  né                 odd in two [2J lines\n" +
		"         look at it\n" +
		"0 errors, 1 warning, 1 ok\n"
	var b bytes.Buffer
	if errs, err := report(&b, found, false); errs != 0 || err != nil || b.String() != plain {
		t.Errorf("%d errors, %v, printed:\n%s", errs, err, &b)
	}
	b.Reset()
	found = append(found, config.Finding{Severity: config.FindingError, Path: "x", What: "bad"})
	errs, err := report(&b, found, true)
	if errs != 1 || err != nil {
		t.Errorf("%d errors, %v", errs, err)
	}
	coloured := "\x1b[32mok     \x1b[0m  listener.slotName  fine\n" +
		"\x1b[33mwarning\x1b[0m  né                 odd in two [2J lines\n" +
		"         look at it\n" +
		"\x1b[31merror  \x1b[0m  x                  bad\n" +
		"1 error, 1 warning, 1 ok\n"
	if b.String() != coloured {
		t.Errorf("printed:\n%q\nwant\n%q", b.String(), coloured)
	}
}

func TestCheckFailsWhenItCannotPrint(t *testing.T) {
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"check", "-c", "/nonexistent/walherald.yml"}, brokenWriter{}, &stderr); code != exitError {
		t.Errorf("exit code %d, want %d", code, exitError)
	}
	if !strings.Contains(stderr.String(), errBroken.Error()) {
		t.Errorf("standard error says %q", &stderr)
	}
}

var errBroken = errors.New("pipe is broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestColoursAreForTerminals(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if colourful(f) || colourful(&bytes.Buffer{}) {
		t.Error("a file or a buffer gets colours")
	}
}
