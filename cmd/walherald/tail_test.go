package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tailConfig writes a configuration of one file that holds the lines.
func tailConfig(t *testing.T, lines string) (path string) {
	t.Helper()
	folder := t.TempDir()
	events := filepath.Join(folder, "events.jsonl")
	path = filepath.Join(folder, "config.yml")
	for name, text := range map[string]string{
		events: lines,
		path: "listener: {slotName: s}\ndatabase: {host: h, name: n, user: u}\n" +
			"publishers: [{type: file, name: audit, path: " + events + "}, {type: stdout}]\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestTailPrintsWhatAnOutputHolds(t *testing.T) {
	path := tailConfig(t, "{\"n\":1}\n{\"n\":2}\n")
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{nil, []string{`events.jsonl {"n":1}`, `events.jsonl {"n":2}`}},
		{[]string{"--json"}, []string{`events.jsonl","body":{"n":1}}`, `events.jsonl","body":{"n":2}}`}},
	} {
		out := &lineWriter{lines: make(chan string, 10)}
		ended := make(chan int, 1)
		ctx, stop := context.WithCancel(bounded(t))
		go func() {
			args := append([]string{"tail", "-c", path, "--publisher", "audit", "--from", "start"}, tt.args...)
			ended <- run(ctx, args, out, t.Output())
		}()
		for _, want := range tt.want {
			select {
			case line := <-out.lines:
				if !strings.HasSuffix(line, want) {
					t.Errorf("%v: got %s, want it to end with %s", tt.args, line, want)
				}
			case code := <-ended:
				t.Fatalf("%v: ended with %d", tt.args, code)
			case <-ctx.Done():
				t.Fatalf("%v: %s was never printed", tt.args, want)
			}
		}
		stop()
		if code := <-ended; code != exitOK {
			t.Errorf("%v: ended with %d", tt.args, code)
		}
	}
}

func TestTailRefusesWhatItCannotRead(t *testing.T) {
	path := tailConfig(t, "")
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"", exitError, "choose one with --publisher: audit, stdout"},
		{"--publisher stdout", exitError, "keeps nothing that could be read back"},
		{"--publisher audit --from yesterday", exitUsage, "neither start nor now"},
	} {
		ctx, stop := context.WithCancel(bounded(t))
		var told bytes.Buffer
		code := run(ctx, append([]string{"tail", "-c", path}, strings.Fields(tt.args)...), t.Output(), &told)
		stop()
		if code != tt.code || !strings.Contains(told.String(), tt.want) {
			t.Errorf("%s: ended with %d and %s", tt.args, code, told.String())
		}
	}
}

func TestEventIsPrintedAsOneLine(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{`{"a":"ä\n"}`, `{"a":"ä\n"}`},
		{"{\"j\":{\n \"a\":1}}", `{"j":{  "a":1}}`},
		{"two\nlines", `"two\nlines"`},
		{"\xff", `"\xff"`},
	} {
		if got := onOneLine([]byte(tt.body)); string(got) != tt.want {
			t.Errorf("%q is printed as %s, want %s", tt.body, got, tt.want)
		}
	}
}

// lineWriter hands each line on as it is written.
type lineWriter struct {
	lines chan string
	rest  []byte
}

// Write implements io.Writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		w.lines <- string(line)
		w.rest = rest
	}
}
