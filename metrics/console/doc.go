// Package console serves walherald's page and its HTTP API: what it does, what holds
// it up, and the few things that can be done from there.
package console

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/metrics"
)

// Options are what a Console works with.
type Options struct {
	// Status tells the present state; it is called a few times in a second, from one
	// goroutine at a time, and is cheap.
	Status func() Status
	Health *metrics.Health
	// Gatherer gives /metrics.
	Gatherer prometheus.Gatherer
	// Level is the level of the log, which the API can change; BaseLevel what the
	// configuration says, to which /debug/off returns.
	Level     *slog.LevelVar
	BaseLevel func() slog.Level
	// Token is what requests have to show that change something; empty means that
	// there are none.
	Token string
	// Pprof serves /debug/pprof.
	Pprof bool
	// Parking reaches parked notifications; nil if there is no parking.
	Parking Parking
	Log     *slog.Logger
}

// Parking reaches the notifications that could not be delivered. It is safe for
// concurrent use.
type Parking interface {
	// List returns those that the filter selects, at most limit of them, and how many
	// there are in all.
	List(ctx context.Context, f ParkedFilter, limit int) (found []Parked, total int, err error)
	// Retry makes one attempt at each that the filter selects, Drop gives them up.
	Retry(ctx context.Context, f ParkedFilter) (ParkedResult, error)
	Drop(ctx context.Context, f ParkedFilter) (ParkedResult, error)
}

// Console is the page and the API.
type Console struct {
	o Options
}

// New makes a Console.
func New(o Options) *Console { return &Console{o: o} }

// Handler serves page and API. It works as long as Run runs.
func (c *Console) Handler() http.Handler { return http.NotFoundHandler() }

// Run samples the status until ctx ends, and then ends the streams to pages.
func (c *Console) Run(ctx context.Context) { <-ctx.Done() }
