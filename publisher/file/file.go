// Package file appends messages to a file, one body a line.
//
// # What is in the file when Deliver has returned
//
// Every line of the batch, forced to disk (fsync). The file always ends where a
// batch that was confirmed ends, but for three moments:
//
//   - While a batch is written, part of it is there.
//   - After a write that failed (a full disk), until the next attempt: what was
//     written is cut off again at once, and if that fails too before the next
//     batch. The attempt that succeeds leaves no line twice and none torn.
//   - After a crash. A last line without its end is cut off when the file is
//     opened, and logged. Whole lines of the batch that was not confirmed stay;
//     they come again, with the same ids, when walherald delivers that batch again.
//
// # Rotation
//
// Before each batch the file that is open is compared with what is at the path:
// after a rename, as logrotate does it by default, or a removal, a new file is
// made. A file that was emptied in place (copytruncate) is gone on with from its
// start; lines written between the copy and the emptying are lost, as everywhere.
//
// # Other processes
//
// The file is locked (flock), so a second walherald with the same path ends
// with an error. A program that does not ask for the lock is not kept from
// writing.
package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/walherald/walherald/publisher"
)

// Config says which file.
type Config struct {
	// Path of the file. It is made if it is missing; its folder has to be there.
	Path string
	// Content is what the bodies are. They have to be text that describes itself:
	// neither compressed nor with attributes beside the body.
	Content publisher.Content
}

// mode is that of a file that is made: rows are nobody else's business.
const mode = 0o600

// writeBuffer is how much goes to the file at once, in bytes.
const writeBuffer = 256 << 10

// File is a publisher.Deliverer.
type File struct {
	cfg Config
	log *slog.Logger
	out *bufio.Writer

	f   *os.File // nil if none is open
	end int64    // of what is confirmed, or was there
	// dirty says that behind end there may be more, of a batch that failed.
	dirty bool
}

// New returns a File. It is opened at the first Deliver. Bodies that a line
// cannot hold are an error.
func New(cfg Config, log *slog.Logger) (*File, error) {
	switch {
	case cfg.Path == "":
		return nil, errors.New("publisher.path: is missing: name the file to append to")
	case cfg.Content.Encoding != "":
		return nil, fmt.Errorf("publisher.bodyCompression: %s makes bodies that are no lines of text: set it to none and compress the file when it is rotated",
			cfg.Content.Encoding)
	case cfg.Content.CloudEvents != nil:
		return nil, errors.New("publisher.cloudEvents: binary puts attributes beside the body, where a file has no place: set it to structured")
	}
	return &File{cfg: cfg, log: log, out: bufio.NewWriterSize(nil, writeBuffer)}, nil
}

// Deliver implements publisher.Deliverer. Not for concurrent use.
func (f *File) Deliver(ctx context.Context, batch []publisher.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.ready(); err != nil {
		return permanent(err)
	}
	if len(batch) == 0 {
		return nil
	}
	f.dirty = true
	written, err := f.write(ctx, batch)
	if err != nil {
		// If it cannot be cut off now, ready tries again.
		return permanent(errors.Join(fmt.Errorf("write events: %w", err), f.cutBack()))
	}
	f.end += written
	f.dirty = false
	return nil
}

// Close implements publisher.Deliverer.
func (f *File) Close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

// write writes the lines behind the end and forces them to disk. Where a force
// to disk fails nobody knows which pages the kernel has given up; they are cut
// off and written again.
func (f *File) write(ctx context.Context, batch []publisher.Message) (written int64, err error) {
	f.out.Reset(io.NewOffsetWriter(f.f, f.end))
	for i := range batch {
		if i%256 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		publisher.WriteLine(f.out, batch[i].Body)
		written += int64(len(batch[i].Body)) + 1
	}
	if err := f.out.Flush(); err != nil {
		return 0, err
	}
	return written, f.f.Sync()
}

// cutBack cuts off what a batch that failed has left.
func (f *File) cutBack() error {
	if err := f.f.Truncate(f.end); err != nil {
		return fmt.Errorf("cut off what is not confirmed: %w", err)
	}
	f.dirty = false
	return nil
}

// ready leaves the file at the path open, with nothing behind its end.
func (f *File) ready() error {
	if f.f != nil {
		same, err := f.isAtPath()
		if err != nil {
			return err
		}
		if !same {
			f.log.Info("file was moved or removed; another is begun", "path", f.cfg.Path)
			if err := errors.Join(f.settle(), f.Close()); err != nil {
				return err
			}
		}
	}
	if f.f == nil {
		return f.open()
	}
	return f.settle()
}

// isAtPath reports whether the open file is the one at the path.
func (f *File) isAtPath() (bool, error) {
	open, err := f.f.Stat()
	if err != nil {
		return false, err
	}
	at, err := os.Stat(f.cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(open, at), err
}

// settle brings the end of the open file to where it was left.
func (f *File) settle() error {
	info, err := f.f.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() < f.end: // emptied in place
		f.log.Info("file was made shorter; it is gone on with", "path", f.cfg.Path, "bytes", info.Size())
		return f.findEnd()
	case f.dirty:
		return f.cutBack()
	case info.Size() > f.end:
		f.log.Warn("another program has written to the file", "path", f.cfg.Path, "bytes", info.Size()-f.end)
		return f.findEnd()
	}
	return nil
}

// open opens and locks the file and finds its end.
func (f *File) open() error {
	_, err := os.Stat(f.cfg.Path)
	made := errors.Is(err, fs.ErrNotExist)
	opened, err := os.OpenFile(f.cfg.Path, os.O_RDWR|os.O_CREATE, mode)
	if err != nil {
		return err
	}
	f.f = opened
	if err = lock(opened); err == nil {
		err = f.findEnd()
	}
	if err == nil && made {
		err = syncFolder(filepath.Dir(f.cfg.Path)) // else a power failure takes the name
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	f.log.Info("file opened", "path", f.cfg.Path, "bytes", f.end)
	return nil
}

// errLocked says that the file is another process's.
var errLocked = errors.New("another process writes to it: give each its own publisher.path")

func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// findEnd takes the end from the file, without a line that was torn.
func (f *File) findEnd() error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return publisher.Permanent(fmt.Errorf("%s is no regular file: set publisher.path to one", f.cfg.Path))
	}
	if f.end, err = wholeLines(f.f, info.Size()); err != nil {
		return err
	}
	f.dirty = false
	if torn := info.Size() - f.end; torn > 0 {
		f.log.Warn("last line has no end and is cut off; it is delivered again", "path", f.cfg.Path, "bytes", torn)
		return f.cutBack()
	}
	return nil
}

// wholeLines returns where the last whole line of the first size bytes ends.
func wholeLines(r io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, min(size, 64<<10))
	for at := size; at > 0; {
		part := buf[:min(at, int64(len(buf)))]
		at -= int64(len(part))
		if _, err := r.ReadAt(part, at); err != nil {
			return 0, fmt.Errorf("look for the last line: %w", err)
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] == '\n' {
				return at + int64(i) + 1, nil
			}
		}
	}
	return 0, nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// permanent marks the errors that only another configuration mends.
func permanent(err error) error {
	for _, e := range []error{errLocked, fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, syscall.EISDIR, syscall.EROFS} {
		if errors.Is(err, e) {
			return publisher.Permanent(fmt.Errorf("%w: correct publisher.path, or the folder it names", err))
		}
	}
	return err
}
