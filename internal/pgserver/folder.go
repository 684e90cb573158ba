package pgserver

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// folderPattern is below /tmp, not below TMPDIR or the home folder: the server's
// user must be able to enter every folder above, and the path of a Unix socket
// is limited to about 100 bytes.
const folderPattern = "/tmp/walherald-pg-*"

// folder is the place of one server: its data, its socket and its log.
type folder struct {
	path string
	// lock is held as long as we are alive, so that others can tell a folder in
	// use from one that was left behind.
	lock *os.File
}

// newFolder makes a folder that belongs to the account.
func newFolder(owner *account) (*folder, error) {
	path, err := os.MkdirTemp(filepath.Dir(folderPattern), filepath.Base(folderPattern))
	if err != nil {
		return nil, fmt.Errorf("make the server's folder: %w", err)
	}
	f := &folder{path: path}
	if err := f.take(); err != nil {
		_ = f.remove()
		return nil, err
	}
	if err := owner.own(path); err != nil {
		_ = f.remove()
		return nil, err
	}
	return f, nil
}

// take makes and locks the folder's lock file. It gets its name only once it is
// locked, so that sweep never sees it otherwise.
func (f *folder) take() error {
	unnamed := filepath.Join(f.path, "lock.new")
	lock, err := os.OpenFile(unnamed, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("make the folder's lock: %w", err)
	}
	f.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock the server's folder: %w", err)
	}
	if err := os.Rename(unnamed, filepath.Join(f.path, "lock")); err != nil {
		return fmt.Errorf("name the folder's lock: %w", err)
	}
	return nil
}

func (f *folder) data() string { return filepath.Join(f.path, "data") }
func (f *folder) log() string  { return filepath.Join(f.path, "log") }

// remove deletes the folder and gives up its lock.
func (f *folder) remove() error {
	if f.lock != nil {
		defer func() { _ = f.lock.Close() }()
	}
	if err := os.RemoveAll(f.path); err != nil {
		return fmt.Errorf("remove the server's folder: %w", err)
	}
	return nil
}

// sweep removes the folders whose owners were killed before they could. What
// belongs to another user stays.
func sweep() {
	paths, _ := filepath.Glob(folderPattern)
	for _, path := range paths {
		lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(path)
		}
		_ = lock.Close()
	}
}
