package nats

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher"
)

// killLeader kills the stream's leader, waits for another one and starts it again.
func killLeader(t *testing.T, c *natsserver.Cluster) {
	t.Helper()
	leader, err := c.StreamLeader(t.Context(), "cdc")
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StreamLeader(t.Context(), "cdc"); err != nil {
		t.Fatal(err)
	}
	if err := leader.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AwaitComplete(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func stepDown(t *testing.T, c *natsserver.Cluster) {
	t.Helper()
	if err := c.StepDown(t.Context(), "cdc"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StreamLeader(t.Context(), "cdc"); err != nil {
		t.Fatal(err)
	}
}

func TestLeaderLostUnderLoadLosesNothingAndRepeatsNothing(t *testing.T) {
	cluster := natsserver.StartCluster(t, 3, natsserver.Options{})
	forBothModes(t, func(t *testing.T, mode string) {
		urls := cluster.URLs()
		cfg := streamFor(mode)
		cfg.Replicas = 3
		makeStream(t, urls[0], cfg)
		t.Cleanup(func() { deleteStream(t, urls[0]) })
		// What was on its way to a leader that is lost is never answered.
		p, _ := open(t, mode, urls, func(p *Publisher) { p.stall = 1500 * time.Millisecond })
		failed := 0
		l := startLoad(t, retrying(p, &failed), 500)
		for round := range 2 {
			l.next(t, 3)
			if round%2 == 0 {
				stepDown(t, cluster)
			} else {
				killLeader(t, cluster)
			}
		}
		l.next(t, 2)
		confirmed := l.stop(t)
		if failed == 0 {
			t.Error("no attempt has failed: the test shows nothing")
		}
		expectExactly(t, stored(t, urls[0]), confirmed)
	})
}

// A message refused where the replicas apply it stops the stream.
func TestOtherWritersInAClusterCauseNoLossAndNoDisorder(t *testing.T) {
	cluster := natsserver.StartCluster(t, 3, natsserver.Options{})
	forBothModes(t, func(t *testing.T, mode string) {
		urls := cluster.URLs()
		cfg := streamFor(mode)
		cfg.Replicas = 3
		makeStream(t, urls[0], cfg)
		t.Cleanup(func() { deleteStream(t, urls[0]) })
		p, _ := open(t, mode, urls)
		end := intrude(t, urls[0])
		failed := 0
		d := retrying(p, &failed)
		const batches, size = 6, 100
		for b := range batches {
			mustDeliver(t, d, changes(b*size, size))
		}
		if end() == 0 {
			t.Fatal("the other writer has published nothing")
		}
		expectAll(t, stored(t, urls[0]), batches*size)
	})
}

// One node of three is no majority, and says that nobody answers.
func TestClusterWithoutALeaderIsWaitedFor(t *testing.T) {
	cluster := natsserver.StartCluster(t, 3, natsserver.Options{})
	urls := cluster.URLs()
	makeStream(t, urls[0], streamFor(ModeFast))
	for _, node := range cluster.Nodes {
		if err := node.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cluster.Nodes[0].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, _ := open(t, ModeFast, urls[:1], func(p *Publisher) { p.stall = 500 * time.Millisecond })
	failed := 0
	d := publisher.Retry(p, 0, publisher.RetryHooks{Failed: func(error, *publisher.Message, time.Duration) {
		if failed++; failed != 4 {
			return
		}
		for _, node := range cluster.Nodes[1:] {
			if err := node.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}})
	mustDeliver(t, d, changes(0, 100))
	if failed < 4 {
		t.Errorf("%d attempts have failed, want 4 until there is a majority", failed)
	}
	expectExactly(t, stored(t, urls[0]), 100)
}

// A node that was started a moment ago says for a while that nobody answers, as
// this one does for good: the account has no JetStream.
func TestNobodyAnsweringInAClusterIsNoReasonToEnd(t *testing.T) {
	srv := natsserver.InProcess(t, func(o *server.Options) {
		o.Cluster.Name, o.Cluster.Host, o.Cluster.Port = "c", "127.0.0.1", server.RANDOM_PORT
		o.Routes = server.RoutesFromStr("nats://127.0.0.1:1")
		plain := server.NewAccount("plain")
		o.Accounts, o.NoAuthUser = []*server.Account{plain}, "u"
		o.Users = []*server.User{{Username: "u", Password: "p", Account: plain}}
	})
	p, _ := open(t, ModeFast, []string{srv.ClientURL()})
	for range 4 {
		err := p.Deliver(t.Context(), changes(0, 1))
		if !errors.Is(err, errNoLeader) || publisher.IsPermanent(err) {
			t.Fatalf("got %v", err)
		}
	}
}
