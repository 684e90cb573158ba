package nats

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
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
		l := startLoad(t, publishertest.Retrying(p, &failed), 500)
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
		d := publishertest.Retrying(p, &failed)
		const batches, size = 6, 100
		for b := range batches {
			publishertest.Deliver(t, d, changes(b*size, size))
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
	publishertest.Deliver(t, d, changes(0, 100))
	if failed < 4 {
		t.Errorf("%d attempts have failed, want 4 until there is a majority", failed)
	}
	expectExactly(t, stored(t, urls[0]), 100)
}

// A node that was started a moment ago says for a while that nobody answers.
func TestNobodyAnsweringInAClusterIsNoReasonToEnd(t *testing.T) {
	for cluster, permanent := range map[string]bool{"c": false, "": true} {
		p, _ := open(t, ModeFast, []string{emptyNode(t, cluster)})
		for attempt := range 4 {
			err := p.Deliver(t.Context(), changes(0, 1))
			if !errors.Is(err, natsgo.ErrNoResponders) || publisher.IsPermanent(err) != (permanent && attempt > 0) {
				t.Fatalf("attempt %d in cluster %q: %v", attempt, cluster, err)
			}
		}
	}
}

// emptyNode is a server with JetStream, of a cluster, that says to every request
// that nobody answers: for a moment every node is one.
func emptyNode(t *testing.T, cluster string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { sayNobodyAnswers(conn, cluster) })
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return "nats://" + l.Addr().String()
}

// sayNobodyAnswers speaks as much of the protocol as it takes, until the client
// leaves (https://docs.nats.io/reference/reference-protocols/nats-protocol).
func sayNobodyAnswers(conn net.Conn, cluster string) {
	defer conn.Close()
	fmt.Fprintf(conn, "INFO {\"server_id\":\"x\",\"version\":\"2.15.2\",\"headers\":true,\"max_payload\":1048576,\"jetstream\":true,\"cluster\":%q}\r\n", cluster)
	inboxes := make(map[string]string) // the id of the subscription to a prefix
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch words := strings.Fields(lines.Text()); {
		case len(words) == 0:
		case words[0] == "PING":
			fmt.Fprint(conn, "PONG\r\n")
		case words[0] == "SUB":
			inboxes[strings.TrimSuffix(words[1], "*")] = words[len(words)-1]
		case words[0] == "PUB":
			reply, status := words[2], "NATS/1.0 503\r\n\r\n"
			sid := inboxes[reply[:strings.LastIndexByte(reply, '.')+1]]
			fmt.Fprintf(conn, "HMSG %s %s %d %d\r\n%s\r\n", reply, sid, len(status), len(status), status)
		}
	}
}
