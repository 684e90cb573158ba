package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgserver.WithShared(m)) }

// patience bounds every wait.
const patience = time.Minute

// configuration is one for a new database with a table t.
func configuration(t *testing.T, change func(*config.Config)) (cfg *config.Config, dsn string) {
	t.Helper()
	s := pgserver.Shared(t)
	name := s.TestDatabase(t)
	c := config.Default()
	c.Listener.SlotName = name
	c.Database = config.Database{Host: s.Host(), Port: s.Port(), Name: name, User: s.User()}
	c.Publisher.Type = config.PublisherDiscard
	change(&c)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	execute(t, s.DSN(name), "CREATE TABLE t (id int PRIMARY KEY, v text)")
	return &c, s.DSN(name)
}

func execute(t *testing.T, dsn, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// journal is a log that can be read and waited for.
type journal struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed and replaced with each record
}

func newJournal() *journal { return &journal{written: make(chan struct{})} }

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	close(j.written)
	j.written = make(chan struct{})
	return j.text.Write(p)
}

func (j *journal) read() (string, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String(), j.written
}

// await waits until the log holds the words.
func (j *journal) await(t *testing.T, words string) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		text, written := j.read()
		if strings.Contains(text, words) {
			return
		}
		select {
		case <-written:
		case <-limit.C:
			t.Fatalf("%q is not in the log:\n%s", words, text)
		}
	}
}

// running is a service that runs.
type running struct {
	stop  context.CancelFunc
	ended chan error
	log   *journal
}

func start(t *testing.T, cfg *config.Config, observe func([]publisher.Message, time.Time)) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{stop: stop, ended: make(chan error, 1), log: newJournal()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- Run(ctx, cfg, Options{Version: "test", Log: slog.New(slog.NewTextHandler(r.log, nil)), Observe: observe})
	}()
	t.Cleanup(func() { stop(); <-done })
	return r
}

// end waits for the end and returns its error.
func (r *running) end(t *testing.T) error {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-r.ended:
		return err
	case <-limit.C:
		t.Fatal("the service does not end")
		return nil
	}
}

func TestRunTellsOfWhatIsConfirmedAndEndsWithItsContext(t *testing.T) {
	broker := natsserver.InProcess(t)
	cfg, dsn := configuration(t, func(c *config.Config) {
		c.Publisher.Type, c.Publisher.Topic, c.Publisher.Address = config.PublisherNATS, "cdc", config.Addresses{broker.ClientURL()}
	})
	seen := make(chan string, 10)
	r := start(t, cfg, func(batch []publisher.Message, confirmed time.Time) {
		for _, m := range batch {
			if confirmed.UnixMicro() < m.CommitTime {
				t.Errorf("confirmed at %v, before the commit", confirmed)
			}
			seen <- fmt.Sprintf("%s %s %s %s", m.Topic, m.Table, m.Action, m.Key)
		}
	})
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t VALUES (7, 'x')")
	select {
	case got := <-seen:
		if !strings.HasPrefix(got, "cdc.public_t public.t INSERT ") || !strings.Contains(got, "7") {
			t.Errorf("told of %q", got)
		}
	case err := <-r.ended:
		t.Fatalf("the service has ended: %v", err)
	}
	r.stop()
	if err := r.end(t); err != nil {
		t.Errorf("a stop that was asked for returns %v", err)
	}
}

func TestRunEndsWithWhatOnlyAHumanCanMend(t *testing.T) {
	cfg, dsn := configuration(t, func(*config.Config) {})
	other, _ := configuration(t, func(*config.Config) {})
	execute(t, dsn, "SELECT pg_create_logical_replication_slot('"+cfg.Listener.SlotName+"', 'pgoutput')")
	other.Listener.SlotName = cfg.Listener.SlotName
	if err := start(t, other, nil).end(t); err == nil || !strings.Contains(err.Error(), "belongs to database") {
		t.Errorf("with the slot of another database Run returns %v", err)
	}
}

func TestOversizeMessageStopsTheServiceUnlessItMayBeSkipped(t *testing.T) {
	broker := natsserver.InProcess(t, func(o *server.Options) { o.MaxPayload = 4096 })
	cfg, dsn := configuration(t, func(c *config.Config) {
		c.Publisher.Type, c.Publisher.Topic, c.Publisher.Address = config.PublisherNATS, "cdc", config.Addresses{broker.ClientURL()}
	})
	confirmed := make(chan string, 10)
	observe := func(batch []publisher.Message, _ time.Time) {
		for _, m := range batch {
			confirmed <- string(m.Key)
		}
	}
	r := start(t, cfg, observe)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t VALUES (1, repeat('x', 5000)); INSERT INTO t VALUES (2, 'small')")
	if err := r.end(t); err == nil || !strings.Contains(err.Error(), "public.t") || !strings.Contains(err.Error(), "oversize") {
		t.Fatalf("Run returns %v", err)
	}
	if len(confirmed) > 0 {
		t.Errorf("%d messages were confirmed although the first could not be sent", len(confirmed))
	}

	cfg.Publisher.Oversize = config.OversizeSkip
	r = start(t, cfg, observe)
	select {
	case <-confirmed: // the batch, of which one message is left out
	case err := <-r.ended:
		t.Fatalf("the service has ended: %v", err)
	}
	r.log.await(t, "message dropped because it is too large")
	r.stop()
	if err := r.end(t); err != nil {
		t.Error(err)
	}
}

func TestPortThatIsTakenNamesItsKeyAndLeavesNothingRunning(t *testing.T) {
	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := free.Addr().String()
	_ = free.Close()
	cfg, _ := configuration(t, func(c *config.Config) {
		c.Listener.ServerPort = taken.Addr().(*net.TCPAddr).Port
		c.Publisher.Type, c.Publisher.Topic = config.PublisherNATS, "cdc"
		c.Publisher.Embedded = &config.Embedded{Listen: listen, StoreDir: filepath.Join(t.TempDir(), "js"), SyncInterval: time.Second}
	})
	if err := start(t, cfg, nil).end(t); err == nil || !strings.Contains(err.Error(), "listener.serverPort") {
		t.Errorf("Run returns %v", err)
	}
	again, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatalf("the embedded server still listens: %v", err)
	}
	_ = again.Close()
}

func TestKindThisVersionLacksIsNamed(t *testing.T) {
	out := config.Output{Publisher: config.Publisher{Type: "postcard"}, Section: "publishers[1]"}
	_, err := newOutput(t.Context(), out, publisher.Content{}, hooks{})
	if err == nil || !strings.Contains(err.Error(), "publishers[1].type: postcard is not available") {
		t.Error(err)
	}
}

func TestTLSFilesThatCannotBeUsedAreNamedAtTheStart(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for key, cfg := range map[string]config.Publisher{
		"publisher.caCert":     {Type: config.PublisherNATS, EnableTLS: true, CACert: missing},
		"publisher.clientCert": {Type: config.PublisherNATS, EnableTLS: true, ClientCert: missing, ClientKey: missing},
	} {
		if _, err := newOutput(t.Context(), config.Output{Publisher: cfg, Section: "publisher"}, publisher.Content{}, hooks{}); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// once fails its first delivery.
type once struct{ made int }

var errDown = errors.New("broker is down")

func (o *once) Deliver(context.Context, []publisher.Message) error {
	if o.made++; o.made == 1 {
		return errDown
	}
	return nil
}

func (*once) Close() error { return nil }

func TestOnlyWhatIsConfirmedIsObserved(t *testing.T) {
	told := 0
	d := &observed{Deliverer: &once{}, observe: func(batch []publisher.Message, _ time.Time) { told += len(batch) }}
	batch := make([]publisher.Message, 3)
	if err := d.Deliver(t.Context(), batch); !errors.Is(err, errDown) || told != 0 {
		t.Errorf("after a failure: %v, told of %d", err, told)
	}
	if err := d.Deliver(t.Context(), nil); err != nil || told != 0 {
		t.Errorf("after an empty batch: %v, told of %d", err, told)
	}
	if err := d.Deliver(t.Context(), batch); err != nil || told != 3 {
		t.Errorf("after a delivery: %v, told of %d", err, told)
	}
}

func TestFailedAttemptBlocksTheOutputUntilOneSucceeds(t *testing.T) {
	log := newJournal()
	s := &service{
		log: slog.New(slog.NewTextHandler(log, nil)),
		met: metrics.New(prometheus.NewRegistry(), app), health: metrics.NewHealth(time.Now),
	}
	hooks := s.retryHooks("nats")
	id, err := publisher.NewID(0x16B374D848, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	hooks.Failed(errDown, &publisher.Message{ID: id}, time.Second)
	if r := s.health.Report(); r.Ready || r.Components[0].LSN != "16/B374D848" || r.Components[0].Reason != errDown.Error() {
		t.Errorf("after a failure the report is %+v", r)
	}
	hooks.Failed(errDown, nil, time.Second) // nothing waits: there is no position
	if r := s.health.Report(); r.Ready || r.Components[0].LSN != "" {
		t.Errorf("after a failed probe the report is %+v", r)
	}
	hooks.Succeeded()
	hooks.Succeeded()
	text, _ := log.read()
	if !s.health.Report().Ready || strings.Count(text, "takes messages again") != 1 || strings.Count(text, "trying again") != 2 {
		t.Errorf("after a success the report is %+v and the log:\n%s", s.health.Report(), text)
	}
}
