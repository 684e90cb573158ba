package child

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestNewFolderRemovesOnlyWhatNobodyOwnsAnyMore(t *testing.T) {
	pattern := filepath.Join(t.TempDir(), "server-*")
	newFolder := func() *Folder {
		t.Helper()
		f, err := NewFolder(pattern)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	owned, orphaned := newFolder(), newFolder()
	// The kernel closes the files of a killed process: its lock goes.
	if err := orphaned.lock.Close(); err != nil {
		t.Fatal(err)
	}
	another := newFolder()
	if _, err := os.Stat(owned.Path); err != nil {
		t.Errorf("folder in use: %v", err)
	}
	if _, err := os.Stat(orphaned.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder left behind: %v", err)
	}
	for _, f := range []*Folder{owned, another, another} {
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(pattern); len(left) > 0 {
		t.Errorf("%v is left after Remove", left)
	}
}
