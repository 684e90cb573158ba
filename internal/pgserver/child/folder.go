package child

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Folder is a temporary folder of a child. It is removed by Remove or, if this
// process is killed before, by the next NewFolder with the same pattern in
// whatever process.
type Folder struct {
	// Path is the folder's path.
	Path string
	// lock is held as long as we are alive, so that others can tell a folder in
	// use from one that was left behind.
	lock *os.File
}

// NewFolder makes a folder whose path is the pattern with its last * replaced,
// readable by us alone, and removes the folders of the same pattern whose owners
// were killed.
func NewFolder(pattern string) (*Folder, error) {
	sweep(pattern)
	path, err := os.MkdirTemp(filepath.Dir(pattern), filepath.Base(pattern))
	if err != nil {
		return nil, fmt.Errorf("make a server's folder: %w", err)
	}
	f := &Folder{Path: path}
	if err := f.take(); err != nil {
		_ = f.Remove()
		return nil, err
	}
	return f, nil
}

// take makes and locks the folder's lock file. It gets its name only once it is
// locked, so that sweep never sees it otherwise.
func (f *Folder) take() error {
	unnamed := filepath.Join(f.Path, "lock.new")
	lock, err := os.OpenFile(unnamed, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("make the folder's lock: %w", err)
	}
	f.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock a server's folder: %w", err)
	}
	if err := os.Rename(unnamed, filepath.Join(f.Path, "lock")); err != nil {
		return fmt.Errorf("name the folder's lock: %w", err)
	}
	return nil
}

// Remove deletes the folder and gives up its lock. It may be called more than once.
func (f *Folder) Remove() error {
	defer func() { _ = f.lock.Close() }()
	if err := os.RemoveAll(f.Path); err != nil {
		return fmt.Errorf("remove a server's folder: %w", err)
	}
	return nil
}

// sweep removes the folders whose owners were killed before they could. What
// belongs to another user stays.
func sweep(pattern string) {
	paths, _ := filepath.Glob(pattern)
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
