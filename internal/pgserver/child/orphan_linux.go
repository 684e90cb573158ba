package child

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// setOrphanSignal asks the kernel to send sig when the thread that starts the
// child ends (prctl(2), PR_SET_PDEATHSIG).
func setOrphanSignal(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// killHolders kills whoever holds the child's pipe: the child, its children and
// theirs, also those whose parent has gone before them.
func (p *Process) killHolders() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !p.holdsPipe(pid) {
			continue
		}
		if err := p.killHolder(pid); err != nil {
			return err
		}
	}
	return nil
}

// killHolder kills process pid. The handle is a pidfd and the check is made
// after it was opened: the signal cannot reach another process that was given
// the same number meanwhile.
func (p *Process) killHolder(pid int) error {
	handle, err := os.FindProcess(pid)
	if err != nil {
		return nil // it has exited since
	}
	defer func() { _ = handle.Release() }()
	if !p.holdsPipe(pid) {
		return nil
	}
	if err := handle.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	return nil
}

// holdsPipe reports whether process pid has the end of the pipe that children
// inherit. Its own end tells them from a process that is just being forked off
// this one and still has the other.
func (p *Process) holdsPipe(pid int) bool {
	path := fmt.Sprintf("/proc/%d/fd/%d", pid, p.pipeFd())
	link, err := os.Lstat(path)
	if err != nil || link.Mode().Perm()&0o600 != 0o200 {
		return false // not open for writing only
	}
	pipe, err := os.Stat(path)
	return err == nil && os.SameFile(pipe, p.pipe)
}
