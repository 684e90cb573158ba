package main

import (
	"cmp"
	"log/slog"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/metrics"
)

// sentryOptions are what the configuration says of Sentry.
func sentryOptions(cfg *config.Config) metrics.SentryOptions {
	var kinds []string
	for _, out := range cfg.Outputs() {
		kinds = append(kinds, out.Type)
	}
	slices.Sort(kinds)
	return metrics.SentryOptions{
		DSN: cfg.Monitoring.SentryDSN.Reveal(), Version: version, Environment: cfg.Monitoring.Environment,
		Tags: map[string]string{
			"slot": cfg.Listener.SlotName, "database": cfg.Database.Name, "publishers": strings.Join(slices.Compact(kinds), ","),
		},
	}
}

// reportBroken reports a configuration that cannot be used, as far as it says
// where to. The error goes to stderr as well, by itself.
func reportBroken(path string, broken error) {
	handler, flush, err := metrics.NewSentryHandler(slog.DiscardHandler, brokenOptions(path))
	if err != nil {
		return
	}
	defer flush(sentryFlush)
	slog.New(handler).Error("walherald does not start because of its configuration", "error", broken)
}

// brokenOptions looks in a configuration that cannot be used for what is said of
// Sentry. What stands for a secret ("${name}") it cannot tell.
func brokenOptions(path string) metrics.SentryOptions {
	var file struct {
		Monitoring struct {
			SentryDSN   string `yaml:"sentryDSN"`
			Environment string `yaml:"environment"`
		} `yaml:"monitoring"`
	}
	if text, err := os.ReadFile(path); err == nil {
		_ = yaml.Unmarshal(text, &file) // that it is broken is why this is read
	}
	dsn := cmp.Or(os.Getenv("WAL_MONITORING_SENTRYDSN"), file.Monitoring.SentryDSN)
	if strings.Contains(dsn, "${") {
		dsn = ""
	}
	return metrics.SentryOptions{
		DSN: dsn, Version: version, Environment: cmp.Or(os.Getenv("WAL_MONITORING_ENVIRONMENT"), file.Monitoring.Environment),
	}
}
