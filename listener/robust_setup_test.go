package listener

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgfake"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// robustDB is what the fake server says of itself. Its slot is confirmed up to
// 0/10.
var robustDB = pgfake.NewDatabase("shop", "herald")

// robustLog is a log that can be read while it is written.
type robustLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *robustLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *robustLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// fakeSource is a fake server to read from.
type fakeSource struct {
	*pgSource
	fake *pgfake.Server
	log  *robustLog
	// numbers are those of the listener that was started last.
	numbers *prometheus.Registry
	// ordinary is what connections are given that are not for replication; to be
	// set before a listener is started.
	ordinary pgfake.Step
}

// newFake returns a fake server that plays the scripts. Its listeners do not
// take silence for death, so that scripts may take their time.
func newFake(t testing.TB, sessions ...pgfake.Script) *fakeSource {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	ctx, cancel := context.WithTimeout(t.Context(), pgTestTimeout)
	t.Cleanup(cancel)
	s := &fakeSource{ordinary: pgfake.Play(robustDB.Ordinary()), log: &robustLog{}}
	s.fake = pgfake.Start(ctx, t, pgfake.Options{
		Sessions: sessions, Ordinary: pgfake.Script{func(c *pgfake.Conn) error { return s.ordinary(c) }},
	})
	cfg := config.Default().Listener
	cfg.SlotName, cfg.HeartbeatInterval = "herald", pgTestTimeout
	db := config.Database{Host: s.fake.Host(), Port: s.fake.Port(), Name: robustDB.Name, User: "ada"}
	s.pgSource = &pgSource{t: t, ctx: ctx, cfg: cfg, db: db}
	return s
}

// start runs a Listener on the source until the test ends or stop is called.
func (s *fakeSource) start(d publisher.Deliverer) *guaranteeRun {
	s.t.Helper()
	health := metrics.NewHealth(time.Now)
	s.numbers = prometheus.NewRegistry()
	l, err := New(s.cfg, s.db, Deps{
		Log:     slog.New(slog.NewTextHandler(io.MultiWriter(s.log, s.t.Output()), nil)),
		Metrics: metrics.New(s.numbers, "test"),
		Health:  health, Outputs: []Output{{Name: "sink", Route: Route{Envelope: format.Walherald{}}, Deliverer: d}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	r := &guaranteeRun{Listener: l, s: s.pgSource, probes: health, ended: make(chan struct{})}
	r.begin()
	return r
}

// robustTable describes public.t, whose rows in these tests are a key and a note.
var robustTable = relationMsg(1, pgoutput.IdentityDefault, "public.t", "id*", "note")

// framed frames messages that tell of the position at.
func framed(at uint64, messages ...wire) [][]byte {
	frames := make([][]byte, len(messages))
	for i, m := range messages {
		frames[i] = pgfake.XLogData(pgoutput.LSN(at), m)
	}
	return frames
}

// opened frames the beginning of a transaction that inserts rows by their keys.
// Its commit is at final, its end 8 bytes later.
func opened(final uint64, keys ...string) [][]byte {
	messages := []wire{beginMsg(final), robustTable}
	for _, k := range keys {
		messages = append(messages, insertMsg(1, k, "SECRET"))
	}
	return framed(final, messages...)
}

// whole frames such a transaction up to its commit.
func whole(final uint64, keys ...string) [][]byte {
	return append(opened(final, keys...), framed(final, commitMsg(final))...)
}

// wantKeys waits for messages of rows with these keys, and wants no other and
// each once.
func wantKeys(ctx context.Context, t testing.TB, sink *guaranteeSink, keys ...string) {
	t.Helper()
	var got []string
	messages := sink.awaitAccepted(ctx, t, len(keys))
	for _, m := range messages {
		got = append(got, m.Key)
	}
	if !slices.Equal(got, keys) {
		t.Errorf("messages are of rows %q, want %q", got, keys)
	}
	guaranteeOrdered(t, messages)
}

// wantTold wants the server to have been told, on all connections, only these
// positions as flushed, each at least once and in this order.
func (s *fakeSource) wantTold(positions ...pgoutput.LSN) {
	s.t.Helper()
	if got := slices.Compact(s.fake.Flushed()); !slices.Equal(got, positions) {
		s.t.Errorf("flushed positions told are %v, want %v", got, positions)
	}
}

// awaitTold waits until the server has been told a position as flushed.
func (s *fakeSource) awaitTold(lsn pgoutput.LSN) {
	s.t.Helper()
	s.eventually("position "+lsn.String(), func() bool { return slices.Contains(s.fake.Flushed(), lsn) })
}
