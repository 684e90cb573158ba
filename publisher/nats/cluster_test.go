package nats

import (
	"testing"
	"time"

	"github.com/walherald/walherald/internal/natsserver"
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
