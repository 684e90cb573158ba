package natsserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/walherald/walherald/internal/pgserver/child"
)

const (
	clusterName = "test"
	// clusterTimeout bounds the first election.
	clusterTimeout = time.Minute
	// askTimeout bounds one question to a server that may be dead or leaderless.
	askTimeout = 2 * time.Second
)

// Cluster is some JetStream servers that replicate, each in a process of its own.
type Cluster struct {
	// Nodes are the servers, running or not, in the order of their names.
	Nodes []*Server
}

// StartCluster starts a cluster of n servers that belongs to one test and ends
// with it. It returns once streams of n replicas can be created.
func StartCluster(t testing.TB, n int, opts Options) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clusterTimeout)
	defer cancel()
	nodes, err := newNodes(ctx, n, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		child.EndWith(t, node)
	}
	for _, node := range nodes {
		if err := node.Restart(ctx); err != nil { // somebody may have had a port in the meantime
			t.Fatal(err)
		}
	}
	c := &Cluster{Nodes: nodes}
	if _, err := c.AwaitComplete(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// newNodes makes servers that know each other's ports before any has started.
func newNodes(ctx context.Context, n int, opts Options) ([]*Server, error) {
	ports, err := child.FreePorts(3 * n)
	if err != nil {
		return nil, err
	}
	var routes []string
	for _, port := range ports[:n] {
		routes = append(routes, "nats://"+net.JoinHostPort(host, strconv.Itoa(port)))
	}
	var nodes []*Server
	for i := range n {
		node := &Server{
			name: fmt.Sprintf("node%d", i+1), options: opts,
			peers: &peers{cluster: clusterName, port: ports[i], routes: strings.Join(routes, ",")},
			port:  ports[n+i], httpPort: ports[2*n+i],
		}
		if err := node.prepare(ctx); err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// URLs returns the URLs of all nodes, running or not, for a client.
func (c *Cluster) URLs() []string {
	var urls []string
	for _, node := range c.Nodes {
		urls = append(urls, node.URL())
	}
	return urls
}

// AwaitLeader waits until a running node leads the cluster's administration (the
// meta leader, without which no stream can be created) and returns it.
func (c *Cluster) AwaitLeader(ctx context.Context) (*Server, error) {
	return c.awaitMeta(ctx, func(*server.MetaClusterInfo) error { return nil })
}

// AwaitComplete waits until the meta leader sees all nodes running and up to
// date, and returns it.
func (c *Cluster) AwaitComplete(ctx context.Context) (*Server, error) {
	return c.awaitMeta(ctx, func(meta *server.MetaClusterInfo) error {
		current := 1 // the leader itself
		for _, peer := range meta.Replicas {
			if peer.Current && !peer.Offline {
				current++
			}
		}
		if current != len(c.Nodes) {
			return fmt.Errorf("%d of %d nodes are up to date", current, len(c.Nodes))
		}
		return nil
	})
}

// awaitMeta polls until the meta leader's own view of the cluster is accepted.
func (c *Cluster) awaitMeta(ctx context.Context, accept func(*server.MetaClusterInfo) error) (*Server, error) {
	var leader *Server
	err := poll(ctx, func(ctx context.Context) error {
		for _, node := range c.Nodes {
			meta, err := node.meta(ctx)
			if err == nil && meta.Leader == node.name {
				leader = node
				return accept(meta)
			}
		}
		return errors.New("no node leads the cluster")
	})
	return leader, err
}

// meta asks the node for its view of the cluster.
func (s *Server) meta(ctx context.Context) (*server.MetaClusterInfo, error) {
	url := "http://" + net.JoinHostPort(host, strconv.Itoa(s.httpPort)) + "/jsz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true // keep no connection, nor its goroutines
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its state: %w", s.name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var info server.JSInfo
	if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
		return nil, fmt.Errorf("read the state of %s: %w", s.name, err)
	}
	if info.Meta == nil {
		return nil, fmt.Errorf("%s is not part of a cluster yet", s.name)
	}
	return info.Meta, nil
}

// StreamLeader waits until a running node leads the stream and returns it.
func (c *Cluster) StreamLeader(ctx context.Context, stream string) (*Server, error) {
	var leader *Server
	err := poll(ctx, func(ctx context.Context) error {
		info, err := c.streamInfo(ctx, stream)
		if err != nil {
			return err
		}
		leader, err = c.leaderOf(info)
		return err
	})
	return leader, err
}

// streamInfo is the part of the answer to $JS.API.STREAM.INFO that counts here.
type streamInfo struct {
	Cluster struct {
		Leader string `json:"leader"`
	} `json:"cluster"`
}

func (c *Cluster) streamInfo(ctx context.Context, stream string) (*streamInfo, error) {
	var info streamInfo
	if err := c.ask(ctx, "STREAM.INFO."+stream, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// leaderOf finds the node that leads. A dead one is remembered as the leader
// until the others have elected another.
func (c *Cluster) leaderOf(info *streamInfo) (*Server, error) {
	for _, node := range c.Nodes {
		if node.name == info.Cluster.Leader && node.Running() {
			return node, nil
		}
	}
	return nil, fmt.Errorf("the stream's leader is %q, which does not run", info.Cluster.Leader)
}

// StepDown makes the stream's leader give up its role. The next one is not
// elected yet when it returns: StreamLeader waits for it.
func (c *Cluster) StepDown(ctx context.Context, stream string) error {
	return poll(ctx, func(ctx context.Context) error {
		var answer struct{}
		return c.ask(ctx, "STREAM.LEADER.STEPDOWN."+stream, &answer)
	})
}

// ask sends one request to the JetStream API through any node.
func (c *Cluster) ask(ctx context.Context, subject string, answer any) error {
	nc, err := nats.Connect(strings.Join(c.URLs(), ","), nats.NoReconnect())
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	defer nc.Close()
	msg, err := nc.RequestWithContext(ctx, "$JS.API."+subject, nil)
	if err != nil {
		return fmt.Errorf("request %s: %w", subject, err)
	}
	var failure struct {
		Error *server.ApiError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &failure); err != nil {
		return fmt.Errorf("read the answer to %s: %w", subject, err)
	}
	if failure.Error != nil {
		return fmt.Errorf("request %s: %w", subject, failure.Error)
	}
	return json.Unmarshal(msg.Data, answer)
}

// poll tries again until it succeeds or ctx ends. The error then holds the last
// answer that ctx itself did not cut off.
func poll(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := child.Bounded(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var last error
	for {
		attempt, cancelAttempt := context.WithTimeout(ctx, askTimeout)
		err := try(attempt)
		cancelAttempt()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; last answer: %w", ctx.Err(), last)
		}
	}
}
