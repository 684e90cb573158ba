package file

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// The variables that make the test binary a writer: its path and first number.
const (
	envPath  = "WALHERALD_TEST_FILE"
	envFirst = "WALHERALD_TEST_FIRST"
)

// writerBatch is how many lines a writer delivers at once: several buffers full.
const writerBatch = 50_000

// TestWriter is the process that TestKilledInTheMiddleOfABatchLosesNothingConfirmed
// kills: it delivers batch after batch and says after each how far it is.
func TestWriter(t *testing.T) {
	path := os.Getenv(envPath)
	if path == "" {
		t.Log("is run in a process of its own")
		return
	}
	first, err := strconv.Atoi(os.Getenv(envFirst))
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Config{Path: path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for {
		if err := f.Deliver(context.Background(), lines(first, writerBatch)); err != nil {
			t.Fatal(err)
		}
		first += writerBatch
		fmt.Println(first)
	}
}

// writer is a process that writes.
type writer struct {
	cmd  *exec.Cmd
	out  *bufio.Scanner
	next int // after what is confirmed
}

func startWriter(t *testing.T, path string, first int) *writer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriter$")
	cmd.Env = append(os.Environ(), envPath+"="+path, envFirst+"="+strconv.Itoa(first))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &writer{cmd: cmd, out: bufio.NewScanner(out), next: first}
}

// confirmed waits for the next confirmation.
func (w *writer) confirmed(t *testing.T) {
	t.Helper()
	if !w.scan() {
		t.Fatalf("the writer has ended: %v", w.out.Err())
	}
}

func (w *writer) scan() bool {
	if !w.out.Scan() {
		return false
	}
	next, err := strconv.Atoi(w.out.Text())
	if err != nil {
		return false
	}
	w.next = next
	return true
}

// kill kills the writer and returns the number after the last it has confirmed.
func (w *writer) kill(t *testing.T) int {
	t.Helper()
	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for w.scan() {
	}
	if err := w.cmd.Wait(); err == nil {
		t.Fatal("the writer has ended by itself")
	}
	return w.next
}

// expectLines wants whole lines, all below confirmed among them, the first
// occurrences in order. Of an unconfirmed batch there may be a part.
func expectLines(t *testing.T, path string, confirmed int) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for l := range bytes.Lines(content) {
		switch {
		case bytes.Equal(l, append(line(next), '\n')):
			next++
		case next > 0 && bytes.Compare(l, []byte{'{'}) > 0 && l[len(l)-1] == '\n' && number(t, l) < next: // again
		default:
			t.Fatalf("line %q where %d is next", l, next)
		}
	}
	if next < confirmed {
		t.Fatalf("the file ends with %d, and %d are confirmed", next, confirmed)
	}
}

func number(t *testing.T, line []byte) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(string(line), `{"n":%d}`, &n); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	return n
}
