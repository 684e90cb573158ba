package main

import (
	"os"
	"runtime/debug"

	"github.com/walherald/walherald/config"
)

const (
	// baseMemory is what the process needs beside the window: read buffer, what an
	// output makes of a batch, and the garbage of it.
	baseMemory = 48 << 20
	// embeddedMemory is for a JetStream server inside the process.
	embeddedMemory = 128 << 20
)

// limitMemory sets what the garbage collector keeps the heap below as long as
// that is cheap (runtime/debug.SetMemoryLimit). Without it the heap of a flood's
// first moments, when all buffers grow, sets the peak for good: with it Kafka
// takes 90 MB in place of 100 and Pub/Sub 90 in place of 115, for a hardly
// measurable time of the CPU. A row that is larger still passes. GOMEMLIMIT in the
// environment goes before it.
func limitMemory(cfg *config.Config) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := baseMemory + int64(cfg.Listener.Window)
	if len(cfg.Notifier.Rules) > 0 {
		limit += int64(cfg.Notifier.Window)
	}
	for _, out := range cfg.Outputs() {
		if out.Embedded != nil {
			limit += embeddedMemory
		}
	}
	debug.SetMemoryLimit(limit)
}
