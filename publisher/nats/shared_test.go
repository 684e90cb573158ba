package nats

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher/publishertest"
)

// intrude publishes into the stream all the time, from another connection, and
// returns a function that ends it and says how many messages it has published.
func intrude(t *testing.T, url string) func() int {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	n := 0
	running.Go(func() {
		pace := time.NewTicker(time.Millisecond) // else there is little room for others
		defer pace.Stop()
		for ctx.Err() == nil {
			<-pace.C
			// Confirmed one by one, so that ours come between.
			if _, err := nc.RequestWithContext(ctx, "cdc.t1", fmt.Appendf(nil, "intruder %d", n)); err == nil {
				n++
			}
		}
	})
	end := sync.OnceFunc(func() {
		cancel()
		running.Wait()
		nc.Close()
	})
	t.Cleanup(end)
	return func() int {
		end()
		return n
	}
}

func TestOtherWritersCauseNoLossAndNoDisorder(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		url := natsserver.InProcess(t).ClientURL()
		makeStream(t, url, streamFor(mode))
		proxy, proxied := through(t, url)
		p, _ := open(t, mode, []string{proxied})
		end := intrude(t, url)
		failed := 0
		d := publishertest.Retrying(p, &failed)
		const batches, size = 6, 200
		for b := range batches {
			if b%3 == 2 { // other writers and a fault
				proxy.CutAfter(int64(b * 2000))
			}
			publishertest.Deliver(t, d, changes(b*size, size))
		}
		if end() == 0 {
			t.Fatal("the other writer has published nothing")
		}
		if failed == 0 {
			t.Error("no attempt has failed: the test shows nothing")
		}
		expectAll(t, stored(t, url), batches*size)
	})
}

// What the stream refuses must not be passed by what comes behind it.
func TestOneMessageOfAnotherWriterBreaksNoChain(t *testing.T) {
	forBothModes(t, func(t *testing.T, mode string) {
		url := natsserver.InProcess(t).ClientURL()
		makeStream(t, url, streamFor(mode))
		p, _ := open(t, mode, []string{url})
		nc, err := natsgo.Connect(url)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		failed := 0
		d := publishertest.Retrying(p, &failed)
		const batches, size = 10, 20
		for b := range batches {
			if _, err := nc.RequestWithContext(t.Context(), "cdc.other", []byte("intruder")); err != nil {
				t.Fatal(err)
			}
			publishertest.Deliver(t, d, changes(b*size, size))
		}
		expectExactly(t, stored(t, url), batches*size)
	})
}
