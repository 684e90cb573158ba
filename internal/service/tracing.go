package service

import (
	"context"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/metrics"
)

// traceGrace is how long a stop waits for a collector.
const traceGrace = 5 * time.Second

// newTracer makes the tracer that the configuration asks for, or nil.
func newTracer(ctx context.Context, m *config.Monitoring, o Options) (*metrics.Tracer, error) {
	return metrics.NewTracer(ctx, metrics.TracerOptions{
		Endpoint: m.Tracing.Endpoint, Ratio: m.Tracing.Ratio, Environment: m.Environment, Version: o.Version, Log: o.Log,
	})
}

// stopTracing sends what is waiting, although ctx has ended. What a collector does
// not take is no failure of the run.
func (s *service) stopTracing(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceGrace)
	defer cancel()
	if err := s.tracer.Shutdown(ctx); err != nil {
		s.log.Warn("traces of the last seconds are lost", "error", err)
	}
}

// messagingSystem is what OpenTelemetry calls a kind of output.
func messagingSystem(kind string) string {
	if kind == config.PublisherPubSub {
		return "gcp_pubsub"
	}
	return kind // the other brokers have the same name there, the rest has none
}
