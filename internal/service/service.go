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
	"sync/atomic"
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
	// Level is the level of Log, which can be changed; nil if it cannot.
	Level *slog.LevelVar
	// Observe, if set, is told of every batch the moment it is confirmed. The
	// messages are valid until it returns. Each output calls it from a goroutine of
	// its own.
	Observe func(batch []publisher.Message, confirmed time.Time)
	// AcceptGap is listener.Deps.AcceptGap.
	AcceptGap uint64
	// Reloads, if set, brings other configurations for the running service.
	Reloads <-chan Reload
}

// Run runs walherald as cfg says until ctx ends, which is no error, or
// something happens that only a human can mend.
func Run(ctx context.Context, cfg *config.Config, o Options) (err error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s := newService(cfg, o, reg)
	for _, w := range cfg.Warnings() {
		o.Log.Warn(w)
	}

	if s.tracer, err = newTracer(ctx, &cfg.Monitoring, o); err != nil {
		return err
	}
	defer s.stopTracing(ctx)
	defer func() { err = errors.Join(err, s.close()) }()
	// Before the outputs: an embedded server can take its time to read its store, and a
	// process that answers nobody meanwhile would be taken for dead.
	servers, err := s.listen(reg)
	if err != nil {
		return err
	}
	serve := s.serve(ctx, servers)
	defer serve.stop()
	l, err := s.listener(ctx)
	if err != nil {
		return err
	}
	if o.Reloads != nil {
		s.beside = append(s.beside, func(ctx context.Context) { s.reloads(ctx, l) })
	}
	return s.run(ctx, l, serve)
}

// newService makes a service without outputs.
func newService(cfg *config.Config, o Options, reg prometheus.Registerer) *service {
	s := &service{
		cfg: cfg, opts: o, log: o.Log, level: o.Level, started: time.Now(),
		met: metrics.New(reg, app), health: metrics.NewHealth(time.Now), recent: metrics.NewRecent(),
		recount: make(chan struct{}, 1),
	}
	if s.level == nil {
		s.level = new(slog.LevelVar)
	}
	s.current.Store(cfg)
	s.met.Build(o.Version)
	s.met.MaxSeries(cfg.Monitoring.MaxSeries)
	s.met.ShowHealth(s.health, listener.SourceName)
	s.beside = append(s.beside, s.recent.Run)
	return s
}

type service struct {
	cfg *config.Config // at the start
	// current is the configuration that holds after reloads.
	current atomic.Pointer[config.Config]
	opts    Options
	log     *slog.Logger
	level   *slog.LevelVar
	started time.Time
	met     *metrics.Metrics
	health  *metrics.Health
	recent  *metrics.Recent
	sight   sight
	tracer  *metrics.Tracer // nil if nothing is traced
	open    []*output
	// outs are the publishers and destined the destinations, in the order of the
	// listener's outputs. While they are made, whoever looks needs made.
	made     sync.Mutex
	outs     []runningOutput
	destined []*destined
	// recount asks for what is parked to be counted at once.
	recount chan struct{}
	// beside is what runs as long as the listener does.
	beside []func(context.Context)
	// blinded holds rule, table and column of what blind has told.
	blinded sync.Map
}

// close closes the outputs.
func (s *service) close() error {
	var errs []error
	for _, out := range s.open {
		errs = append(errs, out.close())
	}
	return errors.Join(errs...)
}

// serving is what runs until it is stopped.
type serving struct {
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (s *serving) stop() {
	s.cancel()
	s.running.Wait()
}

func (s *serving) run(do func(context.Context)) {
	s.running.Go(func() {
		defer metrics.ReportPanic()
		do(s.ctx)
	})
}

// serve lets the HTTP servers answer. They go on after ctx has ended, until they are
// stopped.
func (s *service) serve(ctx context.Context, servers []*metrics.Server) *serving {
	all := new(serving)
	all.ctx, all.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, srv := range servers {
		all.run(func(ctx context.Context) {
			if err := srv.Serve(ctx); err != nil {
				s.log.Error("probes or metrics are no longer served", "error", err)
			}
		})
	}
	return all
}

// run runs the listener and what is beside it; the HTTP servers live as long as they do.
func (s *service) run(ctx context.Context, l *listener.Listener, beside *serving) error {
	defer context.AfterFunc(ctx, func() {
		s.health.Stopping()
		s.log.Info("stopping: nothing more is read, what was read is delivered", "bound", s.cfg.Listener.DrainTimeout.String())
	})()
	for _, run := range s.beside {
		beside.run(run)
	}
	err := l.Run(ctx)
	beside.stop()
	return err
}

// listener makes the listener with its outputs.
func (s *service) listener(ctx context.Context) (*listener.Listener, error) {
	deps := listener.Deps{Log: s.log, Metrics: s.met, Health: s.health, Recent: s.recent, AcceptGap: s.opts.AcceptGap}
	for _, cfg := range s.cfg.Outputs() {
		out, err := s.output(ctx, cfg)
		if err != nil {
			return nil, err
		}
		deps.Outputs = append(deps.Outputs, out)
	}
	notified, err := s.destinations(ctx)
	if err != nil {
		return nil, err
	}
	deps.Outputs = append(deps.Outputs, notified...)
	return listener.New(s.cfg.Listener, s.cfg.Database, deps)
}

// output makes one output, which close closes.
func (s *service) output(ctx context.Context, cfg config.Output) (listener.Output, error) {
	_, content, err := newEnvelope(s.cfg, cfg)
	if err != nil {
		return listener.Output{}, err
	}
	out, err := newOutput(ctx, cfg, content, s.outputHooks(cfg.Name))
	if err != nil {
		return listener.Output{}, err
	}
	s.open = append(s.open, out)
	running := runningOutput{config: cfg, topicName: out.topicName}
	s.made.Lock()
	s.outs = append(s.outs, running)
	s.made.Unlock()
	r, err := running.route(s.cfg, cfg)
	if err != nil {
		return listener.Output{}, err
	}
	deliver := publisher.Retry(out.deliverer, s.cfg.Listener.AckTimeout, s.retryHooks(cfg.Name))
	deliver = publisher.Trace(deliver, s.tracer, cfg.Name, messagingSystem(cfg.Type))
	if s.opts.Observe != nil {
		deliver = &observed{Deliverer: deliver, observe: s.opts.Observe}
	}
	return listener.Output{Name: cfg.Name, Route: r, Deliverer: deliver}, nil
}

// runningOutput is a publisher and what is needed to route its events otherwise.
type runningOutput struct {
	config    config.Output
	topicName func(string) string // or nil
}

// route is what a configuration says of the output's events.
func (o *runningOutput) route(cfg *config.Config, out config.Output) (listener.Route, error) {
	envelope, _, err := newEnvelope(cfg, out)
	if err != nil {
		return listener.Route{}, err
	}
	r := route(cfg, out)
	r.Envelope, r.Name = envelope, o.topicName
	return r, nil
}

// route is what the configuration says of an output's events.
func route(cfg *config.Config, out config.Output) listener.Route {
	return listener.Route{
		Section: out.Section, Filter: out.Filter, Rules: out.TopicRules(&cfg.Listener),
		Database: cfg.Database.Name, Topic: out.Topic, TopicPrefix: out.TopicPrefix, KeyFrom: out.MessageKeyFrom, Tags: cfg.Tags,
	}
}

// newEnvelope makes the envelope of an output and says what its bodies are.
func newEnvelope(cfg *config.Config, out config.Output) (format.Envelope, publisher.Content, error) {
	e, content, err := format.New(format.Options{
		Envelope: out.Envelope, CloudEvents: out.CloudEvents, Compression: out.BodyCompression,
		Source: sourceOf(cfg),
	})
	if err != nil {
		return nil, content, fmt.Errorf("%s: %w", out.Section, err)
	}
	return e, content, nil
}

// sourceOf is what envelopes say of where changes come from.
func sourceOf(cfg *config.Config) format.Source {
	return format.Source{Host: cfg.Database.Host, Database: cfg.Database.Name, Slot: cfg.Listener.SlotName}
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
			s.met.Problem(metrics.ProblemPublish)
			s.sight.failed(name, err.Error())
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
func (s *service) outputHooks(name string) hooks {
	met := s.met.Output(name)
	return hooks{
		log: s.log.With("output", name), mode: met.Mode, held: met.RepeatsSkipped,
		skipped: func(m publisher.Message) {
			s.met.Problem(metrics.ProblemOversize)
			met.Skip(m.Topic, m.Table)
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
