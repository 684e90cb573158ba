package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/metrics/console"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

// listen opens the addresses at which walherald is watched: that of the probes, that
// of the metrics, and that of the page and the API.
func (s *service) listen(reg prometheus.Gatherer) ([]*metrics.Server, error) {
	gatherer := s.met.Gatherer(reg)
	endpoints := []metrics.Endpoint{
		{Key: "listener.serverPort", Addr: probeAddr(s.cfg.Listener.ServerPort), Handler: metrics.ProbeHandler(s.health)},
		{Key: "monitoring.promAddr", Addr: s.cfg.Monitoring.PromAddr, Path: "/metrics", Handler: metrics.MetricsHandler(gatherer)},
	}
	if addr := operationsAddr(s.cfg.Monitoring.Address); addr != "" {
		page := console.New(s.consoleOptions(gatherer, addr))
		s.beside = append(s.beside, page.Run)
		endpoints = append(endpoints, metrics.Endpoint{
			Key: "monitoring.address", Addr: addr, Handler: page.Handler(), All: true, GivesWay: addr == config.DefaultAddress,
		})
	}
	servers, err := metrics.ListenAll(endpoints, func(e metrics.Endpoint, err error) {
		s.log.Warn("page and API are not served: their address, a default, is taken; give "+e.Key+" another one, or \"off\"", "error", err)
	})
	for _, srv := range servers {
		s.log.Debug("listening", "address", srv.Addr().String())
	}
	return servers, s.explainTaken(err)
}

// explainTaken says more of an address of the page that is taken, where it was this
// process that took the port on all interfaces: to whoever wrote ":8080" twice both look
// the same.
func (s *service) explainTaken(err error) error {
	host, port, split := net.SplitHostPort(s.cfg.Monitoring.Address)
	if !errors.Is(err, syscall.EADDRINUSE) || split != nil || host != "" {
		return err
	}
	for key, addr := range map[string]string{"listener.serverPort": probeAddr(s.cfg.Listener.ServerPort), "monitoring.promAddr": s.cfg.Monitoring.PromAddr} {
		if h, p, split := net.SplitHostPort(addr); split == nil && h == "" && p == port {
			return fmt.Errorf("%w: %s has the port on all interfaces, and monitoring.address is loopback alone; "+
				"give it another port, or write 0.0.0.0:%s to serve page and API on all interfaces as well", err, key, port)
		}
	}
	return err
}

// operationsAddr returns where page and API are served, or nothing. An address without
// a host is on loopback.
func operationsAddr(addr string) string {
	if addr == config.AddressOff || addr == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr // which Listen refuses
	}
	return net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port)
}

func (s *service) consoleOptions(g prometheus.Gatherer, addr string) console.Options {
	o := console.Options{
		Status: s.status, Health: s.health, Gatherer: g, Level: s.level, BaseLevel: s.baseLevel, Host: host(addr),
		Token: s.cfg.Monitoring.Token.Reveal(), Pprof: s.cfg.Monitoring.Pprof, Log: s.log,
	}
	if anyParks(s.cfg.Notifications()) {
		o.Parking = &parkingLot{s}
	}
	return o
}

// host returns the host of an address.
func host(addr string) string {
	h, _, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	return h
}

// baseLevel is the level of the log that the configuration asks for.
func (s *service) baseLevel() slog.Level {
	level, err := metrics.ParseLevel(s.current.Load().Logger.Level)
	if err != nil {
		return slog.LevelInfo // a valid configuration has none such
	}
	return level
}

// parkingLot is how page and API reach what is parked.
type parkingLot struct{ s *service }

// topicWait is for how long nothing must come from a topic until it counts as read.
const topicWait = 2 * time.Second

func (p *parkingLot) options() ParkedOptions { return ParkedOptions{Log: p.s.log, Wait: topicWait} }

// List implements console.Parking.
func (p *parkingLot) List(ctx context.Context, f console.ParkedFilter, limit int) (found []console.Parked, total int, err error) {
	if len(f.IDs) > 0 {
		return nil, 0, errors.New("parked notifications are listed by destination, not by ids")
	}
	some, total, err := ListSomeParked(ctx, p.s.current.Load(), f.Destination, limit, p.options())
	if err != nil {
		return nil, 0, err
	}
	for i := range some {
		found = append(found, parkedStatus(&some[i]))
	}
	return found, total, nil
}

// Retry implements console.Parking.
func (p *parkingLot) Retry(ctx context.Context, f console.ParkedFilter) (r console.ParkedResult, err error) {
	defer p.s.countAgain()
	filter, err := parkingFilter(f)
	if err != nil {
		return r, err
	}
	err = RetryParked(ctx, p.s.current.Load(), filter, p.options(), func(_ notifier.Parked, err error) {
		if err == nil {
			r.Done++
			return
		}
		r.Failed++
		r.Error = err.Error()
	})
	return r, err
}

// Drop implements console.Parking.
func (p *parkingLot) Drop(ctx context.Context, f console.ParkedFilter) (r console.ParkedResult, err error) {
	defer p.s.countAgain()
	filter, err := parkingFilter(f)
	if err != nil {
		return r, err
	}
	r.Done, err = DropParked(ctx, p.s.current.Load(), filter)
	return r, err
}

func parkingFilter(f console.ParkedFilter) (parking.Filter, error) {
	filter := parking.Filter{Destination: f.Destination}
	for _, text := range f.IDs {
		id, err := publisher.ParseID(text)
		if err != nil {
			return filter, fmt.Errorf("%w: ids: %w", console.ErrFilter, err)
		}
		filter.IDs = append(filter.IDs, id)
	}
	return filter, nil
}

func parkedStatus(e *parking.Entry) console.Parked {
	p := console.Parked{
		ID: e.ID.String(), Destination: e.Destination, Rule: e.Rule, Table: e.Table, Action: e.Action.String(),
		LSN: position(e.ID.LSN()), Committed: time.UnixMicro(e.CommitTime).UTC(), ParkedAt: e.ParkedAt.UTC(),
		Attempts: e.Attempts, Reason: e.Reason, Bytes: e.Size,
	}
	if !e.Next.IsZero() {
		next := e.Next.UTC()
		p.Next = &next
	}
	return p
}
