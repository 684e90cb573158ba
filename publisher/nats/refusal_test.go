package nats

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// oversizeLimits are the two ways a message can be too large.
var oversizeLimits = map[string]struct {
	payload int32
	message int32
}{
	"max_payload":  {payload: 8192, message: -1},
	"max_msg_size": {payload: 1 << 20, message: 8192},
}

// withOversize prepares a stream and a batch whose sixth message is too large for it.
func withOversize(t *testing.T, test func(t *testing.T, mode, url string, batch []publisher.Message)) {
	forBothModes(t, func(t *testing.T, mode string) {
		for name, limit := range oversizeLimits {
			t.Run(name, func(t *testing.T) {
				url := natsserver.InProcess(t, func(o *server.Options) { o.MaxPayload = limit.payload }).ClientURL()
				cfg := streamFor(mode)
				cfg.MaxMsgSize = limit.message
				makeStream(t, url, cfg)
				batch := changes(0, 10)
				batch[5].Body = append(batch[5].Body, bytes.Repeat([]byte("x"), 8192)...)
				test(t, mode, url, batch)
			})
		}
	})
}

func TestOversizeStopsAfterWhatCameBeforeIsStored(t *testing.T) {
	withOversize(t, func(t *testing.T, mode, url string, batch []publisher.Message) {
		p, _ := open(t, mode, []string{url})
		failed := 0
		err := publishertest.Retrying(p, &failed).Deliver(t.Context(), batch)
		publishertest.ExpectPermanent(t, err, "public.t", `"key-5"`, "8192 bytes", "publisher.oversize")
		expectExactly(t, stored(t, url), 5)
		if failed > 0 {
			t.Errorf("%d more attempts are made", failed)
		}
	})
}

func TestOversizeIsSkippedAloneAndToldOf(t *testing.T) {
	withOversize(t, func(t *testing.T, mode, url string, batch []publisher.Message) {
		p, told := open(t, mode, []string{url}, func(p *Publisher) { p.cfg.SkipOversize = true })
		publishertest.Deliver(t, p, batch)
		if got, want := stored(t, url), []int{0, 1, 2, 3, 4, 6, 7, 8, 9}; !slices.Equal(got, want) {
			t.Errorf("stream holds %v, want %v", got, want)
		}
		if want := []publisher.ID{publishertest.ID(5)}; !slices.Equal(told.skipped, want) {
			t.Errorf("skipped %v, want %v", told.skipped, want)
		}
	})
}

// The largest message that passes our limit passes the server's, too.
func TestLargestMessageIsTaken(t *testing.T) {
	withOversize(t, func(t *testing.T, mode, url string, batch []publisher.Message) {
		p, _ := open(t, mode, []string{url})
		publishertest.Deliver(t, p, batch[:1])
		room := p.session.limit - p.session.headerSize(&batch[5])
		batch[5].Body = batch[5].Body[:room]
		publishertest.Deliver(t, p, batch)
		expectExactly(t, stored(t, url), 10)
		if room < 8192-400 {
			t.Errorf("headers are taken for %d bytes", 8192-room)
		}
	})
}

func TestSubjectTheStreamDoesNotTakeIsAPermanentError(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		url := natsserver.InProcess(t).ClientURL()
		cfg := streamFor(mode)
		cfg.Subjects = []string{"cdc.*"}
		makeStream(t, url, cfg)
		p, _ := open(t, mode, []string{url})
		batch := changes(0, 10)
		batch[7].Topic = "cdc.audit.log"
		failed := 0
		err := publishertest.Retrying(p, &failed).Deliver(t.Context(), batch)
		publishertest.ExpectPermanent(t, err, `"cdc.audit.log"`, "stream cdc", "cdc.*", "public.t")
		expectExactly(t, stored(t, url), 7)
	})
}

// streamConfig returns the configuration of stream cdc.
func streamConfig(t *testing.T, url string) jetstream.StreamConfig {
	t.Helper()
	js, end := jetStream(t, url)
	defer end()
	st, err := js.Stream(t.Context(), "cdc")
	if err != nil {
		t.Fatal(err)
	}
	return st.CachedInfo().Config
}

func TestExistingStreamIsUsedAsItIs(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	makeStream(t, url, jetstream.StreamConfig{Name: "cdc", Subjects: []string{"cdc.*"}})
	before := streamConfig(t, url)
	p, _ := open(t, ModeMsgID, []string{url})
	publishertest.Deliver(t, p, changes(0, 10))
	expectExactly(t, stored(t, url), 10)
	if after := streamConfig(t, url); !slices.Equal(after.Subjects, before.Subjects) || after.AllowBatchPublish {
		t.Errorf("stream is now %+v", after)
	}
}

func TestMissingStreamIsMadeForFastIngest(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	p, _ := open(t, ModeFast, []string{url})
	publishertest.Deliver(t, p, changes(0, 10))
	expectExactly(t, stored(t, url), 10)
	cfg := streamConfig(t, url)
	if !slices.Equal(cfg.Subjects, []string{"cdc.>"}) || !cfg.AllowBatchPublish || cfg.Storage != jetstream.FileStorage {
		t.Errorf("stream is made as %+v", cfg)
	}
}

func TestPublishersThatMakeTheStreamAtOnceShareIt(t *testing.T) {
	for range 10 {
		url := natsserver.InProcess(t).ClientURL()
		var running sync.WaitGroup
		errs := make(chan error, 4)
		for range cap(errs) {
			running.Go(func() {
				p := New(Config{URLs: []string{url}, Topic: "cdc"}, Hooks{}, slog.New(slog.DiscardHandler))
				errs <- p.Deliver(t.Context(), nil)
				_ = p.Close()
			})
		}
		running.Wait()
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	}
}

func TestJetStreamThatIsOffEndsTheRetries(t *testing.T) {
	for name, change := range map[string]func(*server.Options){
		"server": func(o *server.Options) { o.JetStream = false },
		"account": func(o *server.Options) {
			plain := server.NewAccount("plain")
			o.Accounts, o.NoAuthUser = []*server.Account{plain}, "u"
			o.Users = []*server.User{{Username: "u", Password: "p", Account: plain}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := open(t, ModeFast, []string{natsserver.InProcess(t, change).ClientURL()})
			failed := 0
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			publishertest.ExpectPermanent(t, publishertest.Retrying(p, &failed).Deliver(ctx, changes(0, 1)), "JetStream", "-js")
			if failed != 1 {
				t.Errorf("%d more attempts are made, want 1 to make sure", failed)
			}
		})
	}
}

func TestFullStreamIsWaitedForAndLosesNothing(t *testing.T) {
	for name, limit := range map[string]func(*jetstream.StreamConfig){
		"messages": func(c *jetstream.StreamConfig) { c.MaxMsgs = 25 },
		"bytes":    func(c *jetstream.StreamConfig) { c.MaxBytes = 25 * (publishertest.BodySize + 150) },
	} {
		t.Run(name, func(t *testing.T) {
			forBothModes(t, func(t *testing.T, mode string) {
				url := natsserver.InProcess(t).ClientURL()
				cfg := streamFor(mode)
				cfg.Discard = jetstream.DiscardNew
				limited := cfg
				limit(&limited)
				makeStream(t, url, limited)
				p, _ := open(t, mode, []string{url})
				failed := 0
				d := publisher.Retry(p, testTimeout, publisher.RetryHooks{Failed: func(err error, _ *publisher.Message, _ time.Duration) {
					if failed++; failed == 3 {
						makeStream(t, url, cfg) // room for all
						return
					}
					// Of a message in the middle of a chain only the refusal of those
					// behind it is told; the next attempt begins with it.
					chained := failed == 1 && mode == ModeMsgID && errors.Is(err, errWrongSequence)
					if !chained && !strings.Contains(err.Error(), "exceeded") {
						t.Errorf("attempt %d has failed with %v", failed, err)
					}
				}})
				for n := 0; n < 100; n += 10 {
					publishertest.Deliver(t, d, changes(n, 10))
				}
				if failed < 3 {
					t.Errorf("%d attempts have failed, want 3", failed)
				}
				expectExactly(t, stored(t, url), 100)
			})
		})
	}
}
