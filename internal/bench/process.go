package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	// stopTimeout bounds how long a process may take to stop when asked.
	stopTimeout = 30 * time.Second
	// peakInterval is how often a process's peak memory is read. The kernel
	// keeps the peak, so only what is added in the last moment can be missed.
	peakInterval = 20 * time.Millisecond
	// logTail is how many bytes of a process's log an error shows.
	logTail = 2 << 10
)

// process is a child that is measured. CPU time is what the kernel counted for
// it once it has ended. Peak memory is not: the kernel's ru_maxrss of a child
// begins with the peak of the process that forked it, which is this one. It is
// VmHWM of /proc, read as long as the child lives.
type process struct {
	*child.Process
	started time.Time
	logPath string

	peak    int64         // bytes; of the watcher until watched is closed
	watched chan struct{} // closed when the watcher has ended
}

// startProcess starts cmd with its output going to the file logPath. The
// process must be closed.
func startProcess(cmd *exec.Cmd, logPath string) (*process, error) {
	log, err := os.Create(logPath)
	if err != nil {
		return nil, fmt.Errorf("make log of %s: %w", cmd.Path, err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	p := &process{logPath: logPath, watched: make(chan struct{}), started: time.Now()}
	if p.Process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, err
	}
	go p.watch()
	return p, nil
}

// watch reads the peak memory until the process has ended.
func (p *process) watch() {
	defer close(p.watched)
	tick := time.NewTicker(peakInterval)
	defer tick.Stop()
	for {
		if peak, err := peakMemory(p.Pid()); err == nil {
			p.peak = peak
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return
		}
	}
}

// peakMemory returns the largest resident memory process pid has had, in bytes.
func peakMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parsePeak(status)
}

// parsePeak finds VmHWM in the content of /proc/PID/status (proc(5)). A
// process that has exited has none any more.
func parsePeak(status []byte) (int64, error) {
	for line := range bytes.Lines(status) {
		value, found := bytes.CutPrefix(line, []byte("VmHWM:"))
		if !found {
			continue
		}
		kb, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
		return kb * 1024, err
	}
	return 0, errors.New("no VmHWM in process status")
}

// stop ends the process by SIGTERM and returns what it took.
func (p *process) stop(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return sample{}, err
	}
	return p.finish(ctx)
}

// finish waits until the process has ended by itself, with success, and
// returns what it took.
func (p *process) finish(ctx context.Context) (sample, error) {
	if err := p.Wait(ctx); err != nil {
		return sample{}, p.explain(err)
	}
	elapsed := time.Since(p.started)
	<-p.watched
	if p.peak == 0 {
		return sample{}, errors.New("read peak memory: this machine has no /proc with VmHWM")
	}
	state := p.State()
	return sample{elapsed: elapsed, cpu: state.UserTime() + state.SystemTime(), peak: p.peak}, nil
}

// explain adds the end of the process's log to err.
func (p *process) explain(err error) error { return explain(err, p.logPath) }

// explain adds the end of a log to err.
func explain(err error, path string) error {
	log, readErr := os.ReadFile(path)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	return fmt.Errorf("%w; its log ends:\n%s", err, log[max(0, len(log)-logTail):])
}

// close kills the process if it still runs and waits until nothing of it is
// left.
func (p *process) close() error {
	err := p.Kill()
	<-p.watched
	return err
}
