package file

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// open makes a File that ends with the test, and what it logs.
func open(t *testing.T, path string) (*File, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	f, err := New(Config{Path: path}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return publishertest.Closed(t, f), &log
}

// inFolder is a path in a folder of the test.
func inFolder(t *testing.T) string { return filepath.Join(t.TempDir(), "events.jsonl") }

// pad is how much padded files begin with, in bytes: more than the other files
// hold that a test process writes, so that limitFiles meets ours alone.
const pad = 4 << 20

// padded is the path of a file with one line of pad bytes in it.
func padded(t *testing.T) string {
	t.Helper()
	path := inFolder(t)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("\n"), pad-1); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// expectPadded wants a padded file to hold this behind its first line.
func expectPadded(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got[pad:]) != want {
		t.Errorf("%s holds %d bytes %.200q, want %d bytes %.200q", path, len(got)-pad, got[pad:], len(want), want)
	}
}

// lines makes messages with the bodies {"n":first} and so on.
func lines(first, count int) []publisher.Message {
	batch := make([]publisher.Message, count)
	for i := range batch {
		batch[i] = publisher.Message{Table: "public.t", Body: line(first + i)}
	}
	return batch
}

func line(n int) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }

// text is what a file with the lines below count holds.
func text(count int) string {
	var b strings.Builder
	for n := range count {
		b.Write(line(n))
		b.WriteByte('\n')
	}
	return b.String()
}

// expectFile wants a file to hold this.
func expectFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s holds %d bytes %.200q, want %d bytes %.200q", path, len(got), got, len(want), want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// limitFiles keeps the files of this process from growing over so many bytes, as
// a full disk would, until end is called.
func limitFiles(t *testing.T, bytes int64) (end func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	limited := was
	limited.Cur = uint64(bytes)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Error(err)
		}
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
