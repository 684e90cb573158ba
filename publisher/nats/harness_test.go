package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/internal/faultproxy"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// testTimeout bounds what a test waits for.
const testTimeout = time.Minute

// forBothModes runs a test once for each way of writing.
func forBothModes(t *testing.T, test func(t *testing.T, mode string)) {
	t.Helper()
	for _, mode := range []string{ModeFast, ModeMsgID} {
		t.Run(mode, func(t *testing.T) { test(t, mode) })
	}
}

// streamFor is the configuration of a stream that makes a Publisher use mode.
func streamFor(mode string) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: "cdc", Subjects: []string{"cdc.>"}, AllowBatchPublish: mode == ModeFast}
}

// recorder counts what the hooks of a Publisher tell.
type recorder struct {
	t       *testing.T
	mode    string // that every session has to have
	held    int
	skipped []publisher.ID
}

func (r *recorder) hooks() Hooks {
	return Hooks{
		Mode: func(mode string) {
			if r.mode != mode {
				r.t.Errorf("session has mode %s, want %s", mode, r.mode)
			}
		},
		Held:    func(n int) { r.held += n },
		Skipped: func(m publisher.Message) { r.skipped = append(r.skipped, m.ID) },
	}
}

// open makes a Publisher of topic cdc that ends with the test; change may alter it.
func open(t *testing.T, mode string, urls []string, change ...func(*Publisher)) (*Publisher, *recorder) {
	t.Helper()
	r := &recorder{t: t, mode: mode}
	p := New(Config{URLs: urls, Topic: "cdc"}, r.hooks(), slog.New(slog.DiscardHandler))
	for _, c := range change {
		c(p)
	}
	return publishertest.Closed(t, p), r
}

// through puts a proxy before the server.
func through(t *testing.T, url string) (*faultproxy.Proxy, string) {
	t.Helper()
	proxy, err := faultproxy.Listen(strings.TrimPrefix(url, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	return publishertest.Closed(t, proxy), "nats://" + proxy.Addr()
}

// changes makes the messages of the changes from first on, n of them, on three
// subjects in turn.
func changes(first, n int) []publisher.Message {
	batch := publishertest.Changes("", first, n)
	for i := range batch {
		batch[i].Topic = fmt.Sprintf("cdc.t%d", (first+i)%3)
	}
	return batch
}

// stored reads the numbers of the changes in the stream, in its order; those of
// other writers are left out.
func stored(t *testing.T, url string) []int {
	t.Helper()
	var numbers []int
	for _, m := range storedMessages(t, url) {
		if id, writer := EventID(m.Headers()); writer == publishertest.Writer {
			numbers = append(numbers, publishertest.Number(t, m.Data(), id))
		}
	}
	return numbers
}

// jetStream connects to a server until end is called.
func jetStream(t *testing.T, url string) (js jetstream.JetStream, end func()) {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	js, err = jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js, nc.Close
}

// storedMessages reads everything from stream cdc.
func storedMessages(t *testing.T, url string) []jetstream.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	js, end := jetStream(t, url)
	defer end()
	for {
		all, err := readAll(ctx, t, js)
		if err == nil {
			return all
		}
		if !errors.Is(err, natsgo.ErrNoResponders) || ctx.Err() != nil { // the consumer is not known everywhere yet
			t.Fatal(err)
		}
	}
}

func readAll(ctx context.Context, t *testing.T, js jetstream.JetStream) (all []jetstream.Msg, err error) {
	t.Helper()
	st, consumer := openStream(ctx, t, js)
	for left := int(st.CachedInfo().State.Msgs); left > 0; {
		got, err := consumer.Fetch(min(left, 500), jetstream.FetchContext(ctx))
		if err != nil {
			return nil, err
		}
		for m := range got.Messages() {
			all = append(all, m)
			left--
		}
		if err := got.Error(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// askTimeout bounds one question to a server that may not know its cluster yet.
const askTimeout = 2 * time.Second

// untilAnswered asks until there is an answer. A node of a cluster that has just
// been started says that nobody answers, or nothing at all, until it has found the
// others and they have a leader.
func untilAnswered(ctx context.Context, t *testing.T, ask func(context.Context) error) {
	t.Helper()
	for {
		attempt, cancel := context.WithTimeout(ctx, askTimeout)
		err := ask(attempt)
		cancel()
		var api *jetstream.APIError
		switch {
		case err == nil:
			return
		case errors.Is(err, natsgo.ErrNoResponders), errors.Is(err, context.DeadlineExceeded), errors.As(err, &api):
		default:
			t.Fatal(err)
		}
		if publisher.Sleep(ctx, 20*time.Millisecond) != nil {
			t.Fatal(err)
		}
	}
}

// withJetStream asks a server for something until it answers.
func withJetStream(t *testing.T, url string, ask func(context.Context, jetstream.JetStream) error) {
	t.Helper()
	// Not that of the test, which has ended when a cleanup asks.
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	js, end := jetStream(t, url)
	defer end()
	untilAnswered(ctx, t, func(ctx context.Context) error { return ask(ctx, js) })
}

func makeStream(t *testing.T, url string, cfg jetstream.StreamConfig) {
	t.Helper()
	withJetStream(t, url, func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateOrUpdateStream(ctx, cfg)
		return err
	})
}

func deleteStream(t *testing.T, url string) {
	t.Helper()
	withJetStream(t, url, func(ctx context.Context, js jetstream.JetStream) error {
		err := js.DeleteStream(ctx, "cdc")
		if errors.Is(err, jetstream.ErrStreamNotFound) { // as an attempt before it has left it
			return nil
		}
		return err
	})
}

// openStream finds stream cdc and makes a consumer of it.
func openStream(ctx context.Context, t *testing.T, js jetstream.JetStream) (st jetstream.Stream, c jetstream.Consumer) {
	t.Helper()
	untilAnswered(ctx, t, func(ctx context.Context) (err error) {
		if st, err = js.Stream(ctx, "cdc"); err != nil {
			return err
		}
		c, err = st.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
		return err
	})
	return st, c
}

// expectExactly wants the changes 0 to n-1 once each and in order.
func expectExactly(t *testing.T, got []int, n int) {
	t.Helper()
	for i, c := range got {
		if c != i {
			t.Fatalf("stream holds change %d at place %d; around it: %v", c, i, got[max(0, i-3):min(len(got), i+4)])
		}
	}
	if len(got) != n {
		t.Fatalf("stream holds %d changes, want %d", len(got), n)
	}
}

// expectAll wants all changes from 0 to n-1, the first occurrences in order.
func expectAll(t *testing.T, got []int, n int) {
	t.Helper()
	next := 0
	for i, c := range got {
		if c > next {
			t.Fatalf("stream holds change %d before %d, at place %d", c, next, i)
		}
		if c == next {
			next++
		}
	}
	if next != n {
		t.Fatalf("stream holds the changes up to %d, want %d", next, n)
	}
}
