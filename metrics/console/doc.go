// Package console serves walherald's page and its HTTP API: what it does, what holds
// it up, and the few things that can be done from there.
//
// # Use
//
// [New] makes a Console. Its [Console.Handler] is mounted at one address, and
// [Console.Run] takes a sample of the [Status] every second and keeps those of five
// minutes: figures per second and quantiles come from differences between them. All
// requests are answered from memory, but those about parked notifications, which ask
// [Parking].
//
// The endpoints are one table (routes.go). The file openapi.yaml describes them, is
// served itself, and is held against that table and against real answers by tests;
// docs/http-api.md says the same for people.
//
// # Who may do what
//
// Whoever reaches the address may look: nothing that is shown is row data or a secret.
// Whatever changes something, and the list of parked notifications, wants the token in
// the header Authorization; without a configured token there is no such request. Of
// other web sites that are open in the same browser, this holds:
//
//   - The token is in no cookie and in no URL. A browser therefore never sends it by
//     itself, and a forged request ends with 401. Requests that a browser marks as
//     another site's are refused before (net/http.CrossOriginProtection), and so is a
//     body that is not application/json, which a form cannot send.
//   - No answer allows another origin to read it, and none may be framed.
//   - A name of the attacker's that is made to point to 127.0.0.1 ("DNS rebinding")
//     is refused by the header Host: over loopback only IP addresses, localhost and
//     [Options.Host] are good names. Over any other address every name is, because
//     there it is the network that says who may look, under names that cannot be
//     known here.
//
// The page itself may run only scripts and styles of its own, and makes no markup
// from data: a table may be called <script>.
package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/metrics"
)

// Options are what a Console works with. All but Host, Token, Pprof and Parking have to
// be there.
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
	// Host is the host of the configured address, by which requests over loopback may
	// call the server in addition to localhost; empty means none.
	Host string
	// Token is what requests have to show that change something; empty means that
	// there are none.
	Token string
	// Pprof serves /debug/pprof.
	Pprof bool
	// Parking reaches parked notifications; nil if there is no parking.
	Parking Parking
	Log     *slog.Logger
}

// ErrFilter is in the errors of a Parking that are about the filter it was given.
var ErrFilter = errors.New("filter makes no sense")

// Parking reaches the notifications that could not be delivered. It is safe for
// concurrent use.
type Parking interface {
	// List returns those of the filter's destination, at most limit of them, and how many
	// there are in all.
	List(ctx context.Context, f ParkedFilter, limit int) (found []Parked, total int, err error)
	// Retry makes one attempt at each that the filter selects, Drop gives them up.
	Retry(ctx context.Context, f ParkedFilter) (ParkedResult, error)
	Drop(ctx context.Context, f ParkedFilter) (ParkedResult, error)
}

// Console is the page and the API.
type Console struct {
	o       Options
	every   time.Duration // between two samples
	guesses guesses
	status  sync.Mutex // held while o.Status is called
	history history
	streams streams
}

// New makes a Console.
func New(o Options) *Console {
	return &Console{o: o, every: time.Second, guesses: guesses{clock: time.Now}, streams: newStreams()}
}

// Handler serves page and API. It works as long as Run runs.
func (c *Console) Handler() http.Handler { return c.guard(c.mux()) }

// Run samples the status until ctx ends, and then ends the streams to pages.
func (c *Console) Run(ctx context.Context) {
	defer c.streams.end()
	c.sample()
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.sample()
		}
	}
}

// present asks for the state of this moment.
func (c *Console) present() Status {
	c.status.Lock()
	defer c.status.Unlock()
	return c.o.Status().listed()
}
