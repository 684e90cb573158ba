package listener

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/faultproxy"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// pgTestTimeout bounds a whole test; none is expected to come near it.
const pgTestTimeout = 60 * time.Second

// pgSource is a database to read from, with the configuration to do it.
type pgSource struct {
	t      testing.TB
	ctx    context.Context
	server *pgserver.Server
	conn   *pgx.Conn
	cfg    config.Listener
	db     config.Database
	route  Route
	// acceptGap is Deps.AcceptGap of the listeners.
	acceptGap uint64
}

// pgShared returns a new database of the shared server.
func pgShared(t testing.TB) *pgSource {
	t.Helper()
	server := pgserver.Shared(t)
	return newPGSource(t, server, server.TestDatabase(t))
}

// pgOwn returns a database of a server of its own.
func pgOwn(t testing.TB, opts pgserver.Options) *pgSource {
	t.Helper()
	return newPGSource(t, pgserver.ForTest(t, opts), "postgres")
}

// newPGSource also wants that nothing the test starts is still running when
// everything has been stopped.
func newPGSource(t testing.TB, server *pgserver.Server, database string) *pgSource {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/walherald/walherald/internal/pgserver/child.(*Process).supervise"))
	})
	ctx, cancel := context.WithTimeout(t.Context(), pgTestTimeout)
	t.Cleanup(cancel)
	cfg := config.Default().Listener
	// The name of a slot is unique in the whole server.
	cfg.SlotName, cfg.HeartbeatInterval = "slot_"+database, time.Second
	s := &pgSource{
		t: t, ctx: ctx, server: server, cfg: cfg,
		db:    config.Database{Host: server.Host(), Port: server.Port(), Name: database, User: server.User()},
		route: Route{Database: database, Envelope: format.Walherald{}},
	}
	s.conn = s.connect()
	return s
}

// connect makes another connection, which ends with the test.
func (s *pgSource) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.ctx, s.server.DSN(s.db.Name))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// exec executes statements, each in a transaction of its own.
func (s *pgSource) exec(statements ...string) {
	s.t.Helper()
	for _, sql := range statements {
		if _, err := s.conn.Exec(s.ctx, sql); err != nil {
			s.t.Fatalf("%s: %v", sql, err)
		}
	}
}

// transaction executes statements in one transaction.
func (s *pgSource) transaction(statements ...string) {
	s.t.Helper()
	s.exec("BEGIN")
	s.exec(statements...)
	s.exec("COMMIT")
}

// value returns the only value of a query as text; NULL is "".
func (s *pgSource) value(sql string) string {
	s.t.Helper()
	var value *string
	if err := s.conn.QueryRow(s.ctx, "SELECT ("+sql+")::text").Scan(&value); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	if value == nil {
		return ""
	}
	return *value
}

func (s *pgSource) lsn(sql string) pgoutput.LSN {
	s.t.Helper()
	lsn, err := pgoutput.ParseLSN(s.value(sql))
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return lsn
}

// slot returns a column of the slot, or "" if there is no slot.
func (s *pgSource) slot(column string) string {
	s.t.Helper()
	return s.value("SELECT " + column + " FROM pg_replication_slots WHERE slot_name = " + quoteLiteral(s.cfg.SlotName))
}

// confirmed returns what the server takes for flushed.
func (s *pgSource) confirmed() pgoutput.LSN {
	s.t.Helper()
	return s.lsn("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = " + quoteLiteral(s.cfg.SlotName))
}

// eventually polls until cond holds.
func (s *pgSource) eventually(what string, cond func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			s.t.Fatalf("%s: never happened", what)
		}
	}
}

// awaitConfirmed waits until the server takes lsn for flushed.
func (s *pgSource) awaitConfirmed(lsn pgoutput.LSN) {
	s.t.Helper()
	s.eventually("confirmation of "+lsn.String(), func() bool { return s.confirmed() >= lsn })
}

// awaitReports waits until the server has been told the position n times anew.
func (s *pgSource) awaitReports(n int) {
	s.t.Helper()
	const sql = "SELECT max(reply_time) FROM pg_stat_replication WHERE application_name = 'walherald' AND pid = " +
		"(SELECT active_pid FROM pg_replication_slots WHERE slot_name = "
	last := s.value(sql + quoteLiteral(s.cfg.SlotName) + ")")
	s.eventually("status updates", func() bool {
		if now := s.value(sql + quoteLiteral(s.cfg.SlotName) + ")"); now != last {
			last = now
			n--
		}
		return n <= 0
	})
}

// guaranteeRun is a running Listener.
type guaranteeRun struct {
	*Listener
	s      *pgSource
	probes *metrics.Health
	// numbers are its metrics, of those that are watched.
	numbers *prometheus.Registry
	cancel  context.CancelFunc
	ended   chan struct{}
	err     error // of Run, once ended is closed
}

// newRun makes a Listener that does not run yet.
func (s *pgSource) newRun(d publisher.Deliverer) *guaranteeRun {
	s.t.Helper()
	health := metrics.NewHealth(time.Now)
	return s.newFanOut(health, Output{Name: "sink", Route: s.route, Deliverer: d})
}

// newFanOut makes a Listener of several outputs that does not run yet.
func (s *pgSource) newFanOut(health *metrics.Health, outputs ...Output) *guaranteeRun {
	s.t.Helper()
	for i := range outputs {
		if rules := &outputs[i].Route.Rules; len(rules.Map) == 0 && rules.Template == "" {
			*rules = s.cfg.TopicRules()
		}
	}
	l, err := New(s.cfg, s.db, Deps{
		Log:    slog.New(slog.NewTextHandler(s.t.Output(), nil)),
		Health: health, Outputs: outputs, AcceptGap: s.acceptGap,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return &guaranteeRun{Listener: l, s: s, probes: health, ended: make(chan struct{})}
}

// start runs a Listener on the source until the test ends or stop is called.
func (s *pgSource) start(d publisher.Deliverer) *guaranteeRun {
	s.t.Helper()
	r := s.newRun(d)
	r.begin()
	return r
}

// begin runs the Listener.
func (r *guaranteeRun) begin() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.s.ctx))
	r.cancel = cancel
	go func() {
		defer close(r.ended)
		if r.err = r.Run(ctx); r.err != nil {
			r.s.t.Logf("Run returned: %v", r.err)
		}
	}()
	r.s.t.Cleanup(func() {
		cancel()
		<-r.ended
	})
}

// stream starts a Listener and waits until it streams.
func (s *pgSource) stream(d publisher.Deliverer) *guaranteeRun {
	s.t.Helper()
	r := s.start(d)
	r.awaitReady()
	return r
}

// wait waits for Run to return by itself.
func (r *guaranteeRun) wait() error {
	r.s.t.Helper()
	select {
	case <-r.ended:
	case <-r.s.ctx.Done():
		r.s.t.Fatal("Run has not returned")
	}
	return r.err
}

// stop asks Run to end, which must be no error.
func (r *guaranteeRun) stop() {
	r.s.t.Helper()
	r.cancel()
	if err := r.wait(); err != nil {
		r.s.t.Fatalf("Run after a stop: %v", err)
	}
}

// postgres returns what health says of the source.
func (r *guaranteeRun) postgres() metrics.ComponentReport {
	for _, c := range r.probes.Report().Components {
		if c.Name == "postgres" {
			return c
		}
	}
	return metrics.ComponentReport{Reason: "unknown"}
}

// awaitReady waits until the listener streams.
func (r *guaranteeRun) awaitReady() {
	r.s.t.Helper()
	r.s.eventually("streaming", func() bool {
		select {
		case <-r.ended:
			r.s.t.Fatalf("Run has returned: %v", r.err)
		default:
		}
		return r.postgres().Ready
	})
}

// proxied makes the source's listeners connect through a proxy.
func (s *pgSource) proxied() *faultproxy.Proxy {
	s.t.Helper()
	proxy, err := faultproxy.Listen(net.JoinHostPort(s.db.Host, strconv.Itoa(s.db.Port)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = proxy.Close() })
	host, port, err := net.SplitHostPort(proxy.Addr())
	if err == nil {
		s.db.Host = host
		s.db.Port, err = strconv.Atoi(port)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return proxy
}
