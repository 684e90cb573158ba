package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The names of the lines of notifications.
const (
	webhookName     = "webhook"
	webhookFiveName = "webhook-five"
	webhookDeadName = "webhook-dead"
)

const (
	// endpointTakes is how long an endpoint takes for a request.
	endpointTakes = 50 * time.Millisecond
	// accounts is how many row keys the notifications have.
	accounts = 1000
	// deadCircuit is when the dead endpoint is taken for down.
	deadCircuit = "backoff: 100ms, circuit: {failures: 5, openFor: 1h}"
)

const createAccounts = "CREATE TABLE accounts (id int PRIMARY KEY, n int NOT NULL)"

// notifying is a line of notifications: every change of the accounts goes to as many
// endpoints that answer, and maybe to one that does not.
type notifying struct {
	name, title string
	endpoints   int
	concurrency int
	dead        bool
}

// notifyingLines returns them in the table's order.
func notifyingLines() []notifying {
	return []notifying{
		{webhookName, "one endpoint, concurrency 64", 1, 64, false},
		{webhookFiveName, "five endpoints, concurrency 16", 5, 16, false},
		{webhookDeadName, "five endpoints, concurrency 16, and one that is dead", 5, 16, true},
	}
}

// notification is what a line of notifications found.
type notification struct {
	Name, Title string
	Deliveries  int
	Rate        spread // deliveries a second to each endpoint that answers
	Peak        spread // MB
}

// endpoint takes webhooks of accounts and checks their order.
type endpoint struct {
	server *http.Server
	url    string
	served sync.WaitGroup

	mu    sync.Mutex
	count int
	last  map[int]int // by account
	err   error
}

func openEndpoint() (*endpoint, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start endpoint: %w", err)
	}
	e := &endpoint{url: "http://" + l.Addr().String(), last: make(map[int]int)}
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: time.Minute}
	e.served.Go(func() { _ = e.server.Serve(l) }) // it ends with close
	return e, nil
}

func (e *endpoint) close() error {
	err := e.server.Close()
	e.served.Wait()
	return err
}

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = e.take(body)
	}
	if err != nil {
		e.fail(err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	time.Sleep(endpointTakes)
}

// take counts one change and checks that it comes behind the one before of its
// account.
func (e *endpoint) take(body []byte) error {
	var change struct {
		Data struct{ ID, N int }
	}
	if err := json.Unmarshal(body, &change); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if want := e.last[change.Data.ID] + 1; change.Data.N != want {
		return fmt.Errorf("account %d gets change %d where %d is next", change.Data.ID, change.Data.N, want)
	}
	e.last[change.Data.ID]++
	e.count++
	return nil
}

func (e *endpoint) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = errors.Join(e.err, err)
}

// finish checks that all came, once and in order.
func (e *endpoint) finish(want int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil && e.count != want {
		e.err = fmt.Errorf("an endpoint got %d changes, should have got %d", e.count, want)
	}
	return e.err
}

// measureNotifications measures the lines of notifications that were asked for.
func (b *bench) measureNotifications(ctx context.Context, r *results) error {
	var wanted []notifying
	for _, n := range notifyingLines() {
		if b.wanted(n.name) && b.opts.notify > 0 {
			wanted = append(wanted, n)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	for _, sql := range []string{createAccounts, "CREATE PUBLICATION accounts FOR TABLE accounts"} {
		if err := b.src.exec(ctx, sql); err != nil {
			return err
		}
	}
	samples := make([][]sample, len(wanted))
	for run := range b.opts.runs {
		for i, n := range wanted {
			s, err := b.runNotifying(ctx, n, run)
			if err != nil {
				return fmt.Errorf("%s, run %d: %w", n.name, run+1, err)
			}
			b.say("%-24s run %d of %d: %s deliveries/s to each endpoint", n.name, run+1, b.opts.runs, thousands(s.rate()))
			samples[i] = append(samples[i], s)
		}
	}
	for i, n := range wanted {
		r.Notifications = append(r.Notifications, notification{
			Name: n.name, Title: n.title, Deliveries: b.opts.notify / accounts * accounts,
			Rate: spreadOf(samples[i], sample.rate), Peak: spreadOf(samples[i], sample.megabytes),
		})
	}
	return nil
}

// runNotifying runs a line once, over changes of its own.
func (b *bench) runNotifying(ctx context.Context, n notifying, run int) (s sample, err error) {
	slot := line{name: n.name}.slot(run)
	if err := b.src.exec(ctx, "TRUNCATE accounts"); err != nil {
		return s, err
	}
	if err := b.src.createSlot(ctx, slot); err != nil {
		return s, err
	}
	loaded, err := b.src.loadAccounts(ctx, b.opts.notify)
	if err != nil {
		return s, err
	}
	var ends []*endpoint
	defer func() {
		for _, e := range ends {
			err = errors.Join(err, e.close())
		}
	}()
	for range n.endpoints {
		e, err := openEndpoint()
		if err != nil {
			return s, err
		}
		ends = append(ends, e)
	}
	if s, err = b.runProgram(ctx, slot, n.section(ends), loaded); err != nil {
		return s, err
	}
	for _, e := range ends {
		// The last change is the marker's; accounts has it too.
		if err := e.finish(loaded.rows + 1); err != nil {
			return s, err
		}
	}
	return s, b.src.dropSlot(ctx, slot)
}

// section is the configuration of the line's destinations.
func (n notifying) section(ends []*endpoint) string {
	var b strings.Builder
	b.WriteString("notifier:\n  destinations:\n")
	names := ""
	for i, e := range ends {
		fmt.Fprintf(&b, "    - {name: hook-%d, type: webhook, url: '%s', allowPrivate: true, concurrency: %d}\n", i, e.url, n.concurrency)
		names += fmt.Sprintf("hook-%d, ", i)
	}
	if n.dead {
		fmt.Fprintf(&b, "    - {name: dead, type: webhook, url: 'http://127.0.0.1:9/', allowPrivate: true, concurrency: %d, %s}\n", n.concurrency, deadCircuit)
		names += "dead"
	}
	fmt.Fprintf(&b, "  rules: [{name: all, table: accounts, destinations: [%s]}]\n", strings.TrimSuffix(names, ", "))
	return b.String()
}

// loadAccounts changes every account as often as it takes to make as many changes,
// then the first one once more as the marker.
func (s *source) loadAccounts(ctx context.Context, changes int) (load, error) {
	insert := func(ctx context.Context, n int) error {
		if n == 1 {
			return s.exec(ctx, "UPDATE accounts SET n = n + 1 WHERE id = 1")
		}
		return s.exec(ctx, "INSERT INTO accounts SELECT i, 1 FROM generate_series(1, $1) i ON CONFLICT (id) DO UPDATE SET n = accounts.n + 1", accounts)
	}
	return s.loadBy(ctx, insert, load{publication: "accounts", rows: changes / accounts * accounts}, accounts)
}
