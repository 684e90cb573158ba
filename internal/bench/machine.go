package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machine is what the figures were measured on.
type machine struct {
	CPU, Kernel    string
	Cores          int
	MemoryGB       float64
	Load           string // averages before the first line
	Go, PostgreSQL string
	Brokers        []string // that were started
}

// describeMachine looks at the machine and asks the servers for their versions.
func (b *bench) describeMachine(ctx context.Context) (machine, error) {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	for _, known := range brokers {
		if running := b.brokers[known.name]; running != nil {
			m.Brokers = append(m.Brokers, running.version)
		}
	}
	var err error
	if m.PostgreSQL, err = b.src.text(ctx, "SHOW server_version"); err != nil {
		return m, err
	}
	files := make(map[string]string)
	for _, path := range []string{"/proc/cpuinfo", "/proc/meminfo", "/proc/sys/kernel/osrelease", "/proc/loadavg"} {
		content, err := os.ReadFile(path)
		if err != nil {
			return m, fmt.Errorf("describe the machine: %w", err)
		}
		files[path] = strings.TrimSpace(string(content))
	}
	m.CPU = field(files["/proc/cpuinfo"], "model name")
	m.Kernel = files["/proc/sys/kernel/osrelease"]
	if averages := strings.Fields(files["/proc/loadavg"]); len(averages) >= 3 {
		m.Load = strings.Join(averages[:3], ", ")
	}
	kb, err := strconv.ParseFloat(strings.TrimSuffix(field(files["/proc/meminfo"], "MemTotal"), " kB"), 64)
	if err != nil {
		return m, fmt.Errorf("read memory size: %w", err)
	}
	m.MemoryGB = kb * 1024 / 1e9
	return m, nil
}

// field returns what stands behind "name:" in the first line of text that
// begins so, or "unknown".
func field(text, name string) string {
	for line := range strings.Lines(text) {
		key, value, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
