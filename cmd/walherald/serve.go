package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/service"
	"github.com/walherald/walherald/metrics"
)

// sentryFlush is how long the end waits for reports that are still to be sent.
const sentryFlush = 2 * time.Second

// serve runs the service until ctx ends.
func serve(ctx context.Context, path string, gap uint64, logs io.Writer) error {
	cfg, err := config.Load(path)
	if err != nil {
		return &runError{err: err}
	}
	log, flush, err := newLogger(cfg, logs)
	if err != nil {
		return &runError{err: err}
	}
	defer flush(sentryFlush)
	limitMemory(cfg)
	log.Info("walherald starts", "version", version, "config", path)
	if err := service.Run(ctx, cfg, service.Options{Version: version, Log: log, AcceptGap: gap}); err != nil {
		log.Error("walherald stops because of an error", "error", err)
		return &runError{err: err, told: true}
	}
	log.Info("walherald stopped")
	return nil
}

// newLogger makes the logger the configuration asks for.
func newLogger(cfg *config.Config, w io.Writer) (log *slog.Logger, flush func(time.Duration) bool, err error) {
	level, err := metrics.ParseLevel(cfg.Logger.Level)
	if err != nil {
		return nil, nil, err
	}
	handler, err := metrics.NewHandler(w, level, cfg.Logger.Fmt)
	if err != nil {
		return nil, nil, err
	}
	handler, flush, err = metrics.NewSentryHandler(handler, cfg.Monitoring.SentryDSN.Reveal(), version)
	if err != nil {
		return nil, nil, err
	}
	return slog.New(handler), flush, nil
}
