package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/service"
	"github.com/walherald/walherald/publisher"
)

// observer is told of every batch the moment it is confirmed. The messages are
// valid until it returns. With one output it has one caller.
type observer func(batch []publisher.Message, confirmed time.Time)

// here is walherald running in this process.
type here struct {
	cancel  context.CancelFunc
	logPath string
	ended   chan struct{}
	err     error // to be read once ended is closed
}

// startHere starts walherald on a slot of its own and a publication; output says
// where events go. It must be stopped.
func (b *bench) startHere(ctx context.Context, slot, publication, output string, observe observer) (*here, error) {
	path, err := b.configFile(slot, publication, output)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return nil, fmt.Errorf("load the configuration of slot %s: %w", slot, err)
	}
	log, err := os.Create(b.path(slot + ".log"))
	if err != nil {
		return nil, fmt.Errorf("make log of slot %s: %w", slot, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	h := &here{cancel: cancel, logPath: log.Name(), ended: make(chan struct{})}
	go func() {
		defer close(h.ended)
		h.err = service.Run(ctx, cfg, service.Options{Version: "bench", Log: slog.New(slog.NewTextHandler(log, nil)), Observe: observe})
		h.err = errors.Join(h.err, log.Close())
	}()
	return h, nil
}

// stop ends walherald, if it still runs, and returns how it ended.
func (h *here) stop() error {
	h.cancel()
	<-h.ended
	if h.err != nil {
		return explain(h.err, h.logPath)
	}
	return nil
}
