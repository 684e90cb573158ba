package pgserver

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCloseRemovesTheSharedMemoryOfAKilledServer(t *testing.T) {
	s := ForTest(t, Options{})
	content, err := os.ReadFile(filepath.Join(s.DataDir(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.Atoi(strings.Fields(strings.Split(string(content), "\n")[6])[1])
	if err != nil {
		t.Fatal(err)
	}
	exists := func() bool {
		var segment unix.SysvShmDesc
		_, err := unix.SysvShmCtl(id, unix.IPC_STAT, &segment)
		return err == nil
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if !exists() {
		t.Fatal("the killed server left no shared memory: this test looks at the wrong segment")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if exists() {
		t.Error("shared memory is still there after Close")
	}
}
