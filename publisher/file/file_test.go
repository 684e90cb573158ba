package file

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestFileThatIsMissingIsMade(t *testing.T) {
	path := inFolder(t)
	f, _ := open(t, path)
	publishertest.Deliver(t, f, lines(0, 3))
	expectFile(t, path, text(3))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others may look into it: %v", info.Mode())
	}
}

func TestFileThatIsThereIsAppendedTo(t *testing.T) {
	path := inFolder(t)
	write(t, path, text(2))
	f, log := open(t, path)
	publishertest.Deliver(t, f, lines(2, 3))
	publishertest.Deliver(t, f, lines(5, 1))
	expectFile(t, path, text(6))
	if strings.Contains(log.String(), "WARN") {
		t.Errorf("logged is %s", log)
	}
}

func TestTornLastLineIsCutOffAndLogged(t *testing.T) {
	for name, c := range map[string]struct{ before, want string }{
		"after whole lines": {text(2) + `{"n":2`, text(2)},
		"alone":             {`{"n":0`, ""},
		"long":              {text(2) + strings.Repeat("x", 200<<10), text(2)},
	} {
		t.Run(name, func(t *testing.T) {
			path := inFolder(t)
			write(t, path, c.before)
			f, log := open(t, path)
			publishertest.Deliver(t, f, nil)
			expectFile(t, path, c.want)
			if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), path) {
				t.Errorf("logged is %s", log)
			}
			publishertest.Deliver(t, f, lines(7, 1))
			expectFile(t, path, c.want+string(line(7))+"\n")
		})
	}
}

// The disk is full at each byte of a batch once.
func TestFullDiskLeavesNothingTornAndNothingTwice(t *testing.T) {
	path := padded(t)
	f, _ := open(t, path)
	publishertest.Deliver(t, f, lines(0, 2))
	batch := lines(2, 4)
	end := int64(pad + len(text(2)))
	for room := range int64(len(text(6)) - len(text(2))) {
		unlimit := limitFiles(t, end+room)
		err := f.Deliver(t.Context(), batch)
		unlimit()
		if !errors.Is(err, syscall.EFBIG) || publisher.IsPermanent(err) || !strings.Contains(err.Error(), path) {
			t.Fatalf("with room for %d bytes: %v", room, err)
		}
		expectPadded(t, path, text(2))
	}
	publishertest.Deliver(t, f, batch)
	expectPadded(t, path, text(6))
}

// More than the buffer, so that whole lines are in the file when the error comes.
func TestLargeBatchThatFailsIsTakenBack(t *testing.T) {
	path := padded(t)
	f, _ := open(t, path)
	publishertest.Deliver(t, f, lines(0, 10))
	unlimit := limitFiles(t, pad+writeBuffer+1000)
	err := f.Deliver(t.Context(), lines(10, 100_000))
	unlimit()
	if err == nil {
		t.Fatal("a batch that has no room is delivered")
	}
	expectPadded(t, path, text(10))
	publishertest.Deliver(t, f, lines(10, 100_000))
	expectPadded(t, path, text(100_010))
}

// endsAfter is a context that ends when it has been asked n times.
type endsAfter struct {
	context.Context
	n int
}

func (c *endsAfter) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestBatchCancelledInTheMiddleIsTakenBack(t *testing.T) {
	path := inFolder(t)
	f, _ := open(t, path)
	publishertest.Deliver(t, f, lines(0, 10))
	batch := lines(10, 100_000)
	err := f.Deliver(&endsAfter{t.Context(), 200}, batch)
	if !errors.Is(err, context.Canceled) || publisher.IsPermanent(err) {
		t.Fatalf("got %v", err)
	}
	expectFile(t, path, text(10))
	publishertest.Deliver(t, f, batch)
	expectFile(t, path, text(100_010))
}

func TestRotatedFileIsFollowedByANewOne(t *testing.T) {
	path := inFolder(t)
	f, log := open(t, path)
	publishertest.Deliver(t, f, lines(0, 3))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	publishertest.Deliver(t, f, lines(3, 2))
	expectFile(t, path+".1", text(3))
	expectFile(t, path, strings.TrimPrefix(text(5), text(3)))
	if !strings.Contains(log.String(), "moved or removed") {
		t.Errorf("logged is %s", log)
	}
	// As logrotate's "create" does it.
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	write(t, path, "")
	publishertest.Deliver(t, f, lines(5, 1))
	expectFile(t, path, string(line(5))+"\n")
}

func TestRemovedFileIsMadeAgain(t *testing.T) {
	path := inFolder(t)
	f, _ := open(t, path)
	publishertest.Deliver(t, f, lines(0, 3))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	publishertest.Deliver(t, f, lines(0, 2))
	expectFile(t, path, text(2))
}

func TestFileEmptiedInPlaceIsGoneOnWithFromItsStart(t *testing.T) {
	path := inFolder(t)
	f, _ := open(t, path)
	publishertest.Deliver(t, f, lines(0, 3))
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	publishertest.Deliver(t, f, lines(0, 2))
	expectFile(t, path, text(2))
}

func TestWhatAnotherProgramAppendsIsNotWrittenOver(t *testing.T) {
	path := inFolder(t)
	f, log := open(t, path)
	publishertest.Deliver(t, f, lines(0, 1))
	write(t, path, text(2)) // without asking for the lock
	publishertest.Deliver(t, f, lines(2, 1))
	expectFile(t, path, text(3))
	if !strings.Contains(log.String(), "another program") {
		t.Errorf("logged is %s", log)
	}
}

func TestFolderThatIsMissingIsAPermanentError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "events.jsonl")
	f, _ := open(t, path)
	publishertest.ExpectPermanent(t, f.Deliver(t.Context(), lines(0, 1)), path, "publisher.path")
}

func TestPathThatIsNoFileIsAPermanentError(t *testing.T) {
	folder := t.TempDir()
	f, _ := open(t, folder)
	publishertest.ExpectPermanent(t, f.Deliver(t.Context(), lines(0, 1)), folder, "publisher.path")
	device, _ := open(t, os.DevNull)
	publishertest.ExpectPermanent(t, device.Deliver(t.Context(), lines(0, 1)), os.DevNull, "publisher.path")
}

func TestSecondWriterIsAPermanentError(t *testing.T) {
	path := inFolder(t)
	first, _ := open(t, path)
	publishertest.Deliver(t, first, lines(0, 1))
	second, _ := open(t, path)
	publishertest.ExpectPermanent(t, second.Deliver(t.Context(), lines(0, 1)), path, "another process", "publisher.path")
	expectFile(t, path, text(1))
	publishertest.Deliver(t, first, lines(1, 1))
}

func TestEmptyBatchFindsWhatWouldKeepTheNextOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "events.jsonl")
	f, _ := open(t, path)
	if err := f.Deliver(t.Context(), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	publishertest.Deliver(t, f, nil)
	expectFile(t, path, "")
}

func TestBodiesThatAreNoLinesAreRefusedAtTheStart(t *testing.T) {
	for key, cfg := range map[string]Config{
		"publisher.path":            {},
		"publisher.bodyCompression": {Path: "x", Content: publisher.Content{Encoding: "gzip"}},
		"publisher.cloudEvents":     {Path: "x", Content: publisher.Content{CloudEvents: &publisher.CloudEvents{}}},
	} {
		if _, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// The killed process tells what was confirmed in files that have its number.
func TestKilledInTheMiddleOfABatchLosesNothingConfirmed(t *testing.T) {
	const kills = 10
	path := inFolder(t)
	next := 0
	for range kills {
		w := startWriter(t, path, next)
		for range 2 + rand.IntN(3) {
			w.confirmed(t)
		}
		moment := time.NewTimer(time.Duration(rand.IntN(3000)) * time.Microsecond)
		<-moment.C
		next = w.kill(t)

		f, _ := open(t, path)
		publishertest.Deliver(t, f, nil)
		expectLines(t, path, next)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
