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
		reportBroken(path, err)
		return &runError{err: err}
	}
	level := new(slog.LevelVar)
	log, flush, err := newLogger(cfg, level, logs)
	if err != nil {
		return &runError{err: err}
	}
	defer flush(sentryFlush)
	defer metrics.ReportPanic()
	limitMemory(cfg)
	log.Info("walherald starts", "version", version, "config", path)
	reloads, stop := reloadOnHangup(ctx, path, log)
	defer stop()
	options := service.Options{Version: version, Log: log, Level: level, AcceptGap: gap, Reloads: reloads}
	if err := service.Run(ctx, cfg, options); err != nil {
		log.Error("walherald stops because of an error", "error", err)
		return &runError{err: err, told: true}
	}
	log.Info("walherald stopped")
	return nil
}

// newLogger makes the logger the configuration asks for, whose level is level's
// from then on.
func newLogger(cfg *config.Config, level *slog.LevelVar, w io.Writer) (log *slog.Logger, flush func(time.Duration) bool, err error) {
	least, err := metrics.ParseLevel(cfg.Logger.Level)
	if err != nil {
		return nil, nil, err
	}
	level.Set(least)
	handler, err := metrics.NewHandler(w, level, cfg.Logger.Fmt)
	if err != nil {
		return nil, nil, err
	}
	handler, flush, err = metrics.NewSentryHandler(handler, sentryOptions(cfg))
	if err != nil {
		return nil, nil, err
	}
	return slog.New(handler), flush, nil
}
