// Package child runs servers as children of a test, a demo or a benchmark, so
// that nothing of them is left behind, however their parent ends.
//
// A child gets a signal from the kernel when its parent dies (Linux), even by
// SIGKILL. The kernel watches the thread that started the child, not the
// process, and Go ends threads as it sees fit; so each child has a goroutine
// that keeps its thread until the child has exited. It costs one thread a child
// and is waited for by [Process.Wait].
//
// Wait also waits for the child's own children: all of them inherit one end of
// a pipe, whose other end reports when the last of them has gone.
//
// What a child needs beside the process is here as well: a [Folder] that is
// removed even if its owner was killed, and a free port ([FreePort]). [Server]
// is all of it together, for the packages of private test servers.
//
// A child has a process group of its own, so that an interrupt typed at the
// terminal reaches this process alone, which then stops its children in order.
package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a running or finished child. Its methods may be called from
// several goroutines at once.
type Process struct {
	cmd  *exec.Cmd
	pipe os.FileInfo // the pipe that all of the child's family hold
	done chan struct{}
	err  error // how the child ended, to be read once done is closed
}

// Start starts cmd as a child that gets orphanSignal if this process dies. It
// adds to cmd.SysProcAttr and cmd.ExtraFiles and owns cmd from then on.
func Start(cmd *exec.Cmd, orphanSignal syscall.Signal) (*Process, error) {
	lifeline, inherited, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	pipe, err := inherited.Stat()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, inherited)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	setOrphanSignal(cmd.SysProcAttr, orphanSignal)

	p := &Process{cmd: cmd, pipe: pipe, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.supervise(started, lifeline, inherited)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// supervise is the one goroutine of a child.
func (p *Process) supervise(started chan<- error, lifeline, inherited *os.File) {
	defer close(p.done)
	defer func() { _ = lifeline.Close() }()

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	_ = inherited.Close()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	// Nobody writes to the pipe: the copy ends when the last holder has gone.
	_, _ = io.Copy(io.Discard, lifeline)
}

// pipeFd is the number of the pipe's file descriptor in the child.
func (p *Process) pipeFd() int { return 2 + len(p.cmd.ExtraFiles) }

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the child and all its children have gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the child or one of its children may still be there.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends sig to the child alone. A child that has exited is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to process %d: %w", sig, p.Pid(), err)
	}
	return nil
}

// Wait waits until the child and all its children have gone and returns how the
// child ended: nil for exit code 0, else an [exec.ExitError]. If ctx ends first
// it returns an error that wraps ctx.Err().
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for process %d to end: %w", p.Pid(), ctx.Err())
	}
}

// Kill sends SIGKILL to the child and all its children, as a power cut does, and
// waits until they have gone. It is no error if they have already.
func (p *Process) Kill() error {
	for p.Running() {
		if err := p.Signal(syscall.SIGKILL); err != nil {
			return err
		}
		if err := p.killHolders(); err != nil {
			return err
		}
		// A child that was being made meanwhile is caught in the next round.
		select {
		case <-p.done:
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// Stop sends sig to the child and waits until it and its children have gone. If
// ctx ends first they are killed and the error says so.
func (p *Process) Stop(ctx context.Context, sig os.Signal) error {
	if err := p.Signal(sig); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stop process %d by %v, killed it instead: %w", p.Pid(), sig, ctx.Err()), p.Kill())
	}
}

// State returns what the kernel counted for the child (CPU time, memory), or
// nil as long as it runs.
func (p *Process) State() *os.ProcessState {
	if p.Running() {
		return nil
	}
	return p.cmd.ProcessState
}
