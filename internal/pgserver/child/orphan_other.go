//go:build !linux

package child

import "syscall"

// Other systems have no such signal: a parent that is killed leaves its
// children running there.
func setOrphanSignal(*syscall.SysProcAttr, syscall.Signal) {}

// killHolders kills nobody: the child's children are left to notice by
// themselves that their parent has gone.
func (p *Process) killHolders() error { return nil }
