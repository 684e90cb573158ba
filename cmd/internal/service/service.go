// Package service puts walherald together: it is the one place that knows
// every room. The command and the demo run what it makes.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// app is the label every metric carries.
const app = "walherald"

// Options are what a configuration file does not say.
type Options struct {
	// Version of the program, for metrics.
	Version string
	Log     *slog.Logger
	// Observe, if set, is told of every batch the moment it is confirmed. The
	// messages are valid until it returns.
	Observe func(batch []publisher.Message, confirmed time.Time)
	// AcceptGap is listener.Deps.AcceptGap.
	AcceptGap uint64
}

// Run runs walherald as cfg says until ctx ends, which is no error, or
// something happens that only a human can mend.
func Run(ctx context.Context, cfg *config.Config, o Options) (err error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s := &service{
		cfg: cfg, opts: o, log: o.Log,
		met: metrics.New(reg, app), health: metrics.NewHealth(time.Now),
	}
	s.met.Build(o.Version)
	for _, w := range cfg.Warnings() {
		o.Log.Warn(w)
	}

	out, err := newOutput(ctx, cfg.Publisher, s.outputHooks())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	l, err := s.listener(out)
	if err != nil {
		return err
	}
	servers, err := metrics.ListenAll(probeAddr(cfg.Listener.ServerPort), cfg.Monitoring.PromAddr, s.health, reg)
	if err != nil {
		return err
	}
	return s.run(ctx, l, servers)
}

type service struct {
	cfg    *config.Config
	opts   Options
	log    *slog.Logger
	met    *metrics.Metrics
	health *metrics.Health
}

// run runs the listener; the HTTP servers live as long as it does.
func (s *service) run(ctx context.Context, l *listener.Listener, servers []*metrics.Server) error {
	defer context.AfterFunc(ctx, func() {
		s.health.Stopping()
		s.log.Info("stopping: nothing more is read, what was read is delivered", "bound", s.cfg.Listener.DrainTimeout.String())
	})()
	serveCtx, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	var serving sync.WaitGroup
	for _, srv := range servers {
		serving.Go(func() {
			if err := srv.Serve(serveCtx); err != nil {
				s.log.Error("probes or metrics are no longer served", "error", err)
			}
		})
	}
	err := l.Run(ctx)
	stopServing()
	serving.Wait()
	return err
}

// listener makes the listener with its output.
func (s *service) listener(out *output) (*listener.Listener, error) {
	deliver := publisher.Retry(out.deliverer, s.cfg.Listener.AckTimeout, s.retryHooks(out.name))
	if s.opts.Observe != nil {
		deliver = &observed{Deliverer: deliver, observe: s.opts.Observe}
	}
	route := listener.Route{
		Database: s.cfg.Database.Name,
		Topic:    s.cfg.Publisher.Topic, TopicPrefix: s.cfg.Publisher.TopicPrefix, KeyFrom: s.cfg.Publisher.MessageKeyFrom,
		Name: out.topicName, Envelope: format.Walherald{}, Tags: s.cfg.Tags,
	}
	return listener.New(s.cfg.Listener, s.cfg.Database, route, listener.Deps{
		Log: s.log, Metrics: s.met, Health: s.health, Name: out.name, Deliverer: deliver, AcceptGap: s.opts.AcceptGap,
	})
}

// retryHooks show in log, health and metrics how delivering goes.
func (s *service) retryHooks(name string) publisher.RetryHooks {
	component, met := s.health.Component(name), s.met.Output(name)
	blocked := false
	return publisher.RetryHooks{
		Failed: func(err error, first *publisher.Message, again time.Duration) {
			lsn := ""
			if first != nil {
				lsn = listener.FormatLSN(first.ID.LSN())
			}
			blocked = true
			met.Failed()
			component.Blocked(err.Error(), lsn)
			s.log.Warn("output does not take messages, trying again", "output", name, "lsn", lsn, "again_in", again.Round(time.Millisecond).String(),
				"error", err)
		},
		Succeeded: func() {
			component.Ready()
			if blocked {
				s.log.Info("output takes messages again", "output", name)
			}
			blocked = false
		},
	}
}

// outputHooks are what a publisher itself has to tell.
func (s *service) outputHooks() hooks {
	return hooks{
		log:  s.log,
		mode: func(output, mode string) { s.met.Output(output).Mode(mode) },
		held: func(output string, n int) { s.met.Output(output).RepeatsSkipped(n) },
		skipped: func(m publisher.Message) {
			s.met.Problem(metrics.ProblemOversize)
		},
	}
}

// observed tells of each confirmed batch.
type observed struct {
	publisher.Deliverer
	observe func([]publisher.Message, time.Time)
}

// Deliver implements publisher.Deliverer.
func (o *observed) Deliver(ctx context.Context, batch []publisher.Message) error {
	if err := o.Deliverer.Deliver(ctx, batch); err != nil {
		return err
	}
	if len(batch) > 0 {
		o.observe(batch, time.Now())
	}
	return nil
}

func probeAddr(port int) string {
	if port == 0 {
		return ""
	}
	return net.JoinHostPort("", strconv.Itoa(port))
}

// unavailable is the error for a publisher this version does not have.
func unavailable(kind string) error {
	return fmt.Errorf("publisher.type: %s is not available in this version of walherald: use nats, stdout or discard", kind)
}
