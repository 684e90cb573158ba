package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/service"
	"github.com/walherald/walherald/metrics"
)

// reloadOnHangup reads the configuration again at each SIGHUP and has the service go on
// by it. stop ends that and waits for its end.
func reloadOnHangup(ctx context.Context, path string, log *slog.Logger) (reloads <-chan service.Reload, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	requests, ended := make(chan service.Reload), make(chan struct{})
	go func() {
		defer close(ended)
		defer metrics.ReportPanic()
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				reload(ctx, path, requests, log)
			}
		}
	}()
	return requests, func() {
		signal.Stop(hangup)
		cancel()
		<-ended
	}
}

func reload(ctx context.Context, path string, requests chan<- service.Reload, log *slog.Logger) {
	next, err := config.Load(path)
	if err == nil {
		for _, w := range next.Warnings() {
			log.Warn(w)
		}
	}
	done := make(chan error, 1)
	select {
	case requests <- service.Reload{Config: next, Err: err, Done: done}:
	case <-ctx.Done():
		return
	}
	select {
	case err = <-done:
	case <-ctx.Done():
		return
	}
	if err != nil {
		log.Error("configuration is not taken over, the one before holds", "config", path, "error", err)
		return
	}
	log.Info("configuration is taken over: filters, topics, masks, rules, tags and log level", "config", path)
}
