package metrics

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/getsentry/sentry-go"
)

// SentryOptions say where errors and panics are reported and as whose.
type SentryOptions struct {
	// DSN is the address of a project, https://<key>@<host>/<project>; empty means
	// that nothing is reported.
	DSN string
	// Version of the program; the release is "walherald@" and it.
	Version string
	// Environment is what Sentry calls this installation; empty means production,
	// as Sentry itself has it.
	Environment string
	// Tags stand on every event. They are names from the configuration, of which 200
	// characters are kept.
	Tags map[string]string
}

// NewSentryHandler returns a handler that passes every record on to next and
// sends those of level error and above to Sentry too: the message as the event,
// the attributes as its context, output and table as its tags. The same message
// about the same output is sent once a minute; the next one says how many were
// not. Sending never blocks and never fails the caller; if Sentry cannot keep up,
// events are dropped. With an empty DSN, h is next itself.
//
// From then on [ReportPanic] sends the panics of the process there as well.
//
// flush waits for what is still to be sent, for at most the given time, says
// whether all of it went out, and ends the goroutines that sent it. It is for
// the end of the process: later records go to next only.
//
// Nothing is sent but what the log says, the stacks of panics, and the names of
// this host, its system and its processor. No error holds any part of the DSN.
func NewSentryHandler(next slog.Handler, o SentryOptions) (h slog.Handler, flush func(time.Duration) bool, err error) {
	if o.DSN == "" { // otherwise the client would look for one in the environment
		return next, func(time.Duration) bool { return true }, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	transport := &cuttableTransport{ctx: ctx, base: &http.Transport{Proxy: http.ProxyFromEnvironment}}
	client, err := sentry.NewClient(o.client(transport))
	if err != nil {
		cancel()
		// Not wrapped: the client's error can quote the DSN.
		return nil, nil, errors.New("read monitoring.sentryDSN: it is not of the form https://<key>@<host>/<project>")
	}
	tags := maps.Clone(o.Tags)
	for name, value := range tags {
		tags[name] = tagValue(value)
	}
	reporter := &panicReporter{client: client, tags: tags}
	panics.Store(reporter)
	end := sync.OnceFunc(func() {
		panics.CompareAndSwap(reporter, nil)
		cancel() // what hangs would hold Close up for half a minute
		client.Close()
		transport.base.CloseIdleConnections()
	})
	flush = func(limit time.Duration) bool {
		defer end()
		return client.Flush(limit)
	}
	return newSentryHandler(next, client, tags), flush, nil
}

// client returns what the Sentry client is made of. What it would look for in the
// environment, in Git or in files of source code is set or switched off: the
// configuration alone decides.
func (o SentryOptions) client(transport http.RoundTripper) sentry.ClientOptions {
	return sentry.ClientOptions{
		Dsn:           o.DSN,
		Release:       "walherald@" + cmp.Or(o.Version, "unknown"),
		Environment:   cmp.Or(o.Environment, "production"),
		HTTPTransport: transport,
		Integrations: func(all []sentry.Integration) []sentry.Integration {
			var kept []sentry.Integration
			for _, i := range all {
				if i.Name() == "Environment" { // system, processor and version of Go
					kept = append(kept, i)
				}
			}
			return kept
		},
	}
}

// cuttableTransport is an HTTP transport whose requests, present and future,
// all fail once ctx ends.
type cuttableTransport struct {
	ctx  context.Context
	base *http.Transport
}

func (t *cuttableTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(t.ctx, cancel)
	// The body of the response is read after this returns, so the request's own
	// context says when the two can be parted.
	context.AfterFunc(ctx, func() { stop() })
	return t.base.RoundTrip(r.WithContext(ctx))
}
