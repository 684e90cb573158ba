package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

var parkedOptions = ParkedOptions{Wait: 2 * time.Second, Log: slog.New(slog.DiscardHandler)}

// parkedDelivery is the n-th event as it is parked for a destination.
func parkedDelivery(t *testing.T, destination string, n int) notifier.Parked {
	t.Helper()
	id, err := publisher.NewID(0x1000, uint64(n), 1)
	if err != nil {
		t.Fatal(err)
	}
	return notifier.Parked{
		Destination: destination, Reason: "status 503",
		Delivery: notifier.Delivery{
			ID: id, Rule: "orders", Topic: "public_t", Table: "public.t", Action: publisher.Insert,
			Key: fmt.Append(nil, n), CommitTime: 1_700_000_000_000_000, Payload: fmt.Appendf(nil, `{"n":%d}`, n),
		},
	}
}

// parkedTable opens the table that cfg means.
func parkedTable(t *testing.T, cfg *config.Config) *parking.Table {
	t.Helper()
	table, err := parking.NewTable(cfg.Database, cfg.Listener.Schema, cfg.Notifier.Parking)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}

// fakeSender takes everything but the deliveries of one event.
type fakeSender struct {
	refuse publisher.ID
	sent   []publisher.ID
}

var errRefused = errors.New("status 400")

// Send implements notifier.Sender.
func (s *fakeSender) Send(_ context.Context, ds []notifier.Delivery) error {
	for _, d := range ds {
		if d.ID == s.refuse {
			return errRefused
		}
		s.sent = append(s.sent, d.ID)
	}
	return nil
}

// Close implements notifier.Sender.
func (s *fakeSender) Close() error { return nil }

// outcomes collects what a retry tells.
type outcomes []string

func (o *outcomes) told(p notifier.Parked, err error) {
	text := "ok"
	if err != nil {
		text = err.Error()
	}
	*o = append(*o, fmt.Sprintf("%s %d %s", p.Destination, p.ID.Ordinal(), text))
}

func TestParkedDeliveryMakesNoEventOfItsOwn(t *testing.T) {
	cfg, dsn := configuration(t, func(*config.Config) {})
	seen := make(chan string, 100)
	r := start(t, cfg, func(batch []publisher.Message, _ time.Time) {
		for _, m := range batch {
			seen <- m.Table + " " + string(m.Key)
		}
	})
	r.log.await(t, "streaming")
	table := parkedTable(t, cfg)
	if err := table.Park(t.Context(), []notifier.Parked{parkedDelivery(t, "hook", 1), parkedDelivery(t, "hook", 2)}); err != nil {
		t.Fatal(err)
	}
	fail := func(context.Context, notifier.Parked) error { return errRefused }
	if n, err := table.Retry(t.Context(), parking.Filter{}, fail); n != 2 || err != nil {
		t.Fatalf("retried %d, %v", n, err)
	}
	if n, err := table.Drop(t.Context(), parking.Filter{}); n != 2 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	// It is in the log behind all of that.
	execute(t, dsn, "INSERT INTO t VALUES (7, 'x')")
	select {
	case got := <-seen:
		if !strings.HasPrefix(got, "public.t ") {
			t.Errorf("an event of %s", got)
		}
	case err := <-r.ended:
		t.Fatalf("the service has ended: %v", err)
	}
	r.stop()
	if err := r.end(t); err != nil || len(seen) > 0 {
		t.Errorf("%d more events, %v", len(seen), err)
	}
}

func TestRetryTellsOfEachAttemptAndKeepsWhatFailed(t *testing.T) {
	cfg, _ := configuration(t, func(*config.Config) {})
	hook := &fakeSender{refuse: parkedDelivery(t, "", 2).ID}
	table := parkedTable(t, cfg)
	var ds []notifier.Parked
	for n := range 4 {
		ds = append(ds, parkedDelivery(t, "hook", n))
	}
	ds = append(ds, parkedDelivery(t, "gone", 1))
	if err := table.Park(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
	var got outcomes
	r := &retrier{cfg: cfg, targets: map[string]target{"hook": {Sender: hook}, "mail": {Sender: &fakeSender{}}}, told: got.told}
	if err := r.retry(t.Context(), parking.Filter{}, parkedOptions); err != nil {
		t.Fatal(err)
	}
	want := outcomes{
		`gone 1 no destination is called "gone": those that rules send to are hook, mail`,
		"hook 0 ok", "hook 1 ok", "hook 2 status 400", "hook 3 ok",
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	left, err := ListParked(t.Context(), cfg, parking.Filter{}, parkedOptions)
	if err != nil || len(left) != 2 || left[0].Destination != "gone" || left[0].Attempts != 0 || left[1].Reason != "status 400" || left[1].Attempts != 1 {
		t.Errorf("left are %+v, %v", left, err)
	}
	for destination, want := range map[string]int{"": 2, "hook": 1, "nobody": 0} {
		some, total, err := ListSomeParked(t.Context(), cfg, destination, 1, parkedOptions)
		if err != nil || total != want || len(some) != min(want, 1) || len(some) > 0 && some[0].Payload != nil {
			t.Errorf("of %q one of %d is %+v, %v; want one of %d", destination, total, some, err, want)
		}
	}
	if err := r.retry(t.Context(), parking.Filter{Destination: "gone"}, parkedOptions); err == nil {
		t.Error("a destination that does not exist is no error")
	}
	one, err := GetParked(t.Context(), cfg, left[1].ID, parking.Filter{}, parkedOptions)
	if err != nil || len(one) != 1 || string(one[0].Payload) != `{"n":2}` {
		t.Errorf("got %+v, %v", one, err)
	}
	if n, err := DropParked(t.Context(), cfg, parking.Filter{Destination: "gone"}); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
}

func TestTopicOfParkedDeliveriesIsReadBack(t *testing.T) {
	broker := natsserver.InProcess(t)
	for _, change := range []func(*config.Publisher){
		func(p *config.Publisher) {
			p.Type, p.Path = config.PublisherFile, filepath.Join(t.TempDir(), "parked.jsonl")
		},
		func(p *config.Publisher) {
			p.Type, p.Topic, p.Address, p.BodyCompression = config.PublisherNATS, "alerts", config.Addresses{broker.ClientURL()}, config.CompressionGzip
		},
		func(p *config.Publisher) {
			p.Type, p.Topic = config.PublisherNATS, "alerts"
			p.Embedded = &config.Embedded{Listen: freeAddress(t), StoreDir: filepath.Join(t.TempDir(), "js"), SyncInterval: time.Second}
		},
	} {
		p := item("", "kept")
		p.Oversize = config.OversizeSkip // which is about events
		change(&p)
		cfg, _ := configuration(t, func(c *config.Config) {
			c.Publisher, c.Publishers = config.Default().Publisher, config.Publishers{p}
			c.Notifier.Parking = config.Parking{Store: config.StoreTopic, Publisher: "kept", Topic: "not delivered"}
		})
		testTopic(t, cfg)
	}
}

// freeAddress returns an address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return l.Addr().String()
}

func testTopic(t *testing.T, cfg *config.Config) {
	t.Helper()
	out := cfg.Outputs()[0]
	s := &service{cfg: cfg, log: slog.New(slog.DiscardHandler), met: metrics.New(prometheus.NewRegistry(), app), health: metrics.NewHealth(time.Now)}
	defer func() { _ = s.close() }()
	// Events go to the same publisher.
	events, err := s.output(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	event := publisher.Message{ID: parkedDelivery(t, "", 9).ID, Writer: "w", Topic: "alerts.public_t", Table: "public.t", Action: publisher.Insert, Body: []byte(`{}`)}
	if err := events.Deliverer.Deliver(t.Context(), []publisher.Message{event}); err != nil {
		t.Fatal(err)
	}
	store, err := s.topicStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if out.Type == config.PublisherNATS {
		huge := parkedDelivery(t, "hook", 8)
		huge.Payload = fmt.Appendf(nil, `"%s"`, strings.Repeat("x", 2<<20)) // NATS takes 1 MiB
		if err := store.Park(t.Context(), []notifier.Parked{huge}); err == nil {
			t.Error("what the broker does not take counts as parked")
		}
	}
	// The events come in another order than they happened, and some twice.
	for _, n := range []int{3, 1, 2, 1} {
		if err := store.Park(t.Context(), []notifier.Parked{parkedDelivery(t, "hook", n), parkedDelivery(t, "mail", n)}); err != nil {
			t.Fatal(err)
		}
	}
	var listed []string
	all, err := ListParked(t.Context(), cfg, parking.Filter{}, parkedOptions)
	for _, e := range all {
		listed = append(listed, fmt.Sprintf("%s %d %d", e.Destination, e.ID.Ordinal(), e.Size))
	}
	if want := []string{"hook 3 7", "mail 3 7", "hook 1 7", "mail 1 7", "hook 2 7", "mail 2 7"}; err != nil || !slices.Equal(listed, want) {
		t.Errorf("%s: listed %q, %v, want %q", out.Type, listed, err, want)
	}
	some, total, err := ListSomeParked(t.Context(), cfg, "mail", 2, parkedOptions)
	if err != nil || total != 3 || len(some) != 2 || some[1].ID.Ordinal() != 1 || some[1].Size != 7 || some[1].Payload != nil {
		t.Errorf("%s: two of %d are %+v, %v", out.Type, total, some, err)
	}
	one, err := GetParked(t.Context(), cfg, parkedDelivery(t, "", 2).ID, parking.Filter{Destination: "mail"}, parkedOptions)
	if err != nil || len(one) != 1 || string(one[0].Payload) != `{"n":2}` {
		t.Errorf("%s: got %+v, %v", out.Type, one, err)
	}
	var got outcomes
	r := &retrier{cfg: cfg, targets: map[string]target{"mail": {Sender: &fakeSender{refuse: parkedDelivery(t, "", 1).ID}}}, told: got.told}
	if err := r.retry(t.Context(), parking.Filter{Destination: "mail", Limit: 2}, parkedOptions); err != nil {
		t.Error(err)
	}
	if want := (outcomes{"mail 3 ok", "mail 1 status 400"}); !slices.Equal(got, want) {
		t.Errorf("%s: told %q, want %q", out.Type, got, want)
	}
	if _, err := DropParked(t.Context(), cfg, parking.Filter{}); err == nil || !strings.Contains(err.Error(), "topic not delivered of publisher kept") {
		t.Errorf("%s: a drop returns %v", out.Type, err)
	}
}
