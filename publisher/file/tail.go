package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/walherald/walherald/publisher"
)

// tailInterval is how often Tail looks for more.
const tailInterval = 50 * time.Millisecond

// Tail hands each line to emit as it comes, until ctx ends, which is no error, or
// emit fails. It waits for a file that is missing and goes on in the new one when
// the file is rotated. A line can be one of a batch that is not confirmed yet.
func Tail(ctx context.Context, cfg Config, from publisher.Start, emit func(publisher.Received) error) error {
	t := &tail{path: cfg.Path, emit: emit}
	defer t.close()
	if err := t.begin(from); err != nil {
		return err
	}
	tick := time.NewTicker(tailInterval)
	defer tick.Stop()
	for {
		if err := t.read(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type tail struct {
	path string
	emit func(publisher.Received) error
	f    *os.File // nil if there is none at the path
	at   int64    // where the next line begins
	buf  []byte
}

func (t *tail) close() {
	if t.f != nil {
		_ = t.f.Close() // it was only read
		t.f = nil
	}
}

// open opens what is at the path, if there is anything.
func (t *tail) open() error {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return publisher.Permanent(fmt.Errorf("read events: %w", err))
	}
	t.f, t.at = f, 0
	return nil
}

func (t *tail) begin(from publisher.Start) error {
	if err := t.open(); err != nil || t.f == nil || from == publisher.StartOldest {
		return err
	}
	info, err := t.f.Stat()
	if err != nil {
		return err
	}
	t.at, err = wholeLines(t.f, info.Size())
	return err
}

// read emits the whole lines that have come. Once a file is at its end it is left
// for the one that has taken its place.
func (t *tail) read(ctx context.Context) error {
	for {
		if t.f == nil {
			if err := t.open(); err != nil || t.f == nil {
				return err
			}
		}
		moved, err := t.moved() // before the last read, so that nothing comes after it
		if err != nil {
			return err
		}
		if err := t.lines(ctx); err != nil || !moved || ctx.Err() != nil {
			return err
		}
		t.close()
	}
}

// moved reports whether the open file is no longer the one at the path, and goes
// back in one that was made shorter.
func (t *tail) moved() (bool, error) {
	open, err := t.f.Stat()
	if err != nil {
		return false, err
	}
	t.at = min(t.at, open.Size())
	at, err := os.Stat(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !os.SameFile(open, at), err
}

// lines emits all whole lines of the open file.
func (t *tail) lines(ctx context.Context) error {
	if t.buf == nil {
		t.buf = make([]byte, 64<<10)
	}
	for ctx.Err() == nil {
		n, err := t.f.ReadAt(t.buf, t.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read events: %w", err)
		}
		part := t.buf[:n]
		end := bytes.LastIndexByte(part, '\n') + 1
		for line := range bytes.Lines(part[:end]) {
			if err := t.emit(publisher.Received{Topic: t.path, Body: line[:len(line)-1]}); err != nil {
				return err
			}
		}
		t.at += int64(end)
		switch {
		case err != nil: // the end
			return nil
		case end == 0: // a line longer than the buffer
			t.buf = make([]byte, 2*len(t.buf))
		}
	}
	return nil
}
